//! The `model` field of a multipart form, as audio requests have it. Nothing else of the form is looked at.

use memchr::memmem;

/// Longest model name that is taken.
const LONGEST_MODEL: usize = 256;
/// A part's head is not searched further than this.
const LONGEST_HEAD: usize = 1024;

/// The value of the form's `model` field.
pub(crate) fn model(content_type: &str, body: &[u8]) -> Option<String> {
    let delimiter = format!("--{}", boundary(content_type)?);
    let mut rest = body;
    while let Some(at) = memmem::find(rest, delimiter.as_bytes()) {
        let part = rest[at + delimiter.len()..].strip_prefix(b"\r\n")?;
        let head = &part[..part.len().min(LONGEST_HEAD)];
        let Some(end) = memmem::find(head, b"\r\n\r\n") else {
            rest = part;
            continue;
        };
        let value = &part[end + 4..];
        if names_model(&head[..end]) {
            let end = memmem::find(value, b"\r\n")?;
            let model = std::str::from_utf8(&value[..end]).ok()?;
            return (1..=LONGEST_MODEL).contains(&model.len()).then(|| model.to_owned());
        }
        rest = value;
    }
    None
}

fn boundary(content_type: &str) -> Option<&str> {
    let parameter = content_type.split(';').map(str::trim).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let boundary = parameter.trim_matches('"');
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// Whether a part's head says that its field is `model`, and no file.
fn names_model(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else { return false };
    head.lines().filter(|line| !line.is_empty()).any(|line| {
        let Some((name, value)) = line.split_once(':') else { return false };
        let mut parameters = value.split(';').map(str::trim);
        name.eq_ignore_ascii_case("content-disposition")
            && parameters.any(|parameter| matches!(parameter, "name=\"model\"" | "name=model"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\nRIFF name=\"model\"\r\n\r\nfake\r\n--XX\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--XX--\r\n";

    #[test]
    fn the_model_field_is_found_and_nothing_like_it() {
        let content_type = "multipart/form-data; boundary=XX";
        assert_eq!(model(content_type, FORM.as_bytes()).as_deref(), Some("whisper-1"));
        assert_eq!(
            model("multipart/form-data; boundary=\"XX\"", FORM.as_bytes()).as_deref(),
            Some("whisper-1")
        );
        assert_eq!(model("multipart/form-data; boundary=YY", FORM.as_bytes()), None);
        assert_eq!(model("multipart/form-data", FORM.as_bytes()), None);
        assert_eq!(model(content_type, &FORM.as_bytes()[..160]), None);
    }
}
