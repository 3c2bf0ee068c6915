//! Multipart forms, as audio requests have them: their `model` field is found, and fields that reach into the engine
//! are refused. The rest of a form is not looked at.

use memchr::memmem;

/// Longest model name that is taken.
const LONGEST_MODEL: usize = 256;
/// A part's head is not searched further than this.
const LONGEST_HEAD: usize = 1024;
/// Fields by which a client could set KV transfer parameters: vLLM copies `vllm_xargs` to where it looks for them.
const RESERVED: [&str; 3] = ["vllm_xargs", "kv_transfer_params", "ec_transfer_params"];

/// What a form says that a router needs to know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// The value of its `model` field.
    pub(crate) model: Option<String>,
    /// A field that clients must not send.
    pub(crate) reserved: Option<&'static str>,
}

/// Reads a form.
pub(crate) fn read(content_type: &str, body: &[u8]) -> Form {
    let mut form = Form::default();
    let Some(boundary) = boundary(content_type) else { return form };
    let delimiter = format!("--{boundary}");
    let starts: Vec<usize> = memmem::find_iter(body, delimiter.as_bytes()).collect();
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(body.len());
        let part = &body[start + delimiter.len()..end];
        let head_end = memmem::find(&part[..part.len().min(LONGEST_HEAD)], b"\r\n\r\n");
        let Some(head_end) = head_end else { continue };
        let Some(name) = field_name(&part[..head_end]) else { continue };
        if form.model.is_none() && name == "model" {
            form.model = model(&part[head_end + 4..]);
        }
        form.reserved = form.reserved.or(RESERVED.into_iter().find(|reserved| *reserved == name));
    }
    form
}

fn boundary(content_type: &str) -> Option<&str> {
    let parameter = content_type.split(';').map(str::trim).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let boundary = parameter.trim_matches('"');
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// The name of a part's field: the `name` of its `Content-Disposition`.
fn field_name(head: &[u8]) -> Option<&str> {
    let disposition = std::str::from_utf8(head).ok()?.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    disposition.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("name").then(|| value.trim().trim_matches('"'))
    })
}

fn model(value: &[u8]) -> Option<String> {
    let end = memmem::find(value, b"\r\n")?;
    let model = std::str::from_utf8(&value[..end]).ok()?;
    (1..=LONGEST_MODEL).contains(&model.len()).then(|| model.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";
    const FORM: &str = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav\r\n\r\nRIFF name=\"model\"\r\n\r\nfake\r\n--XX\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--XX--\r\n";

    #[test]
    fn the_model_field_is_found_and_nothing_like_it() {
        let model = |content_type: &str, body: &[u8]| read(content_type, body).model;
        assert_eq!(model(TYPE, FORM.as_bytes()).as_deref(), Some("whisper-1"));
        let quoted = "multipart/form-data; boundary=\"XX\"";
        assert_eq!(model(quoted, FORM.as_bytes()).as_deref(), Some("whisper-1"));
        assert_eq!(model("multipart/form-data; boundary=YY", FORM.as_bytes()), None);
        assert_eq!(model("multipart/form-data", FORM.as_bytes()), None);
        assert_eq!(model(TYPE, &FORM.as_bytes()[..160]), None);
    }

    #[test]
    fn fields_that_reach_into_the_engine_are_found_wherever_they_are() {
        for name in RESERVED {
            for quoted in [format!("\"{name}\""), name.to_owned()] {
                let evil = format!(
                    "--XX\r\nContent-Disposition: form-data; NAME={quoted}\r\n\r\n{{}}\r\n{FORM}"
                );
                assert_eq!(read(TYPE, evil.as_bytes()).reserved, Some(name));
            }
        }
        assert_eq!(read(TYPE, FORM.as_bytes()).reserved, None);
    }
}
