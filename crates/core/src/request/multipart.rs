//! Multipart forms, as audio requests send them: finds the `model` field, and refuses fields that reach into the
//! engine.
//!
//! vLLM copies the form field `vllm_xargs` to where its engine looks for KV transfer parameters. Two readers of one
//! form may differ in what its fields are called, so every form that is not plain is refused: the router must
//! not see less than the engine does.

use memchr::memmem;
use thiserror::Error;

/// The longest model name that is read, in bytes. A longer one counts as none, and no route has it.
const MAX_MODEL_BYTES: usize = 256;
/// The longest head of a part, in bytes: it is the part of the form that is searched. Heads that clients send take some
/// 200.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Fields by which a client could set KV transfer parameters.
const RESERVED: [&str; 3] = ["vllm_xargs", "kv_transfer_params", "ec_transfer_params"];

/// Why a form is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// The content type has no usable boundary.
    #[error("the form's content type needs one `boundary` of 1 to 70 characters")]
    Boundary,
    /// A part has no plain head.
    #[error("a part of the form needs a head with one `Content-Disposition` that has one `name`")]
    Part,
    /// A field that only the router may set.
    #[error("the form must not have the field `{0}`: what it sets is the router's")]
    Reserved(&'static str),
}

/// The value of the form's `model` field, if it has one.
pub fn model(content_type: &str, body: &[u8]) -> Result<Option<String>, FormError> {
    // Searched in the whole form, because two readers may split it differently. Encoded names are refused below.
    if let Some(name) =
        RESERVED.into_iter().find(|name| memmem::find(body, name.as_bytes()).is_some())
    {
        return Err(FormError::Reserved(name));
    }
    let delimiter = format!("--{}", boundary(content_type).ok_or(FormError::Boundary)?);
    let starts: Vec<usize> = memmem::find_iter(body, delimiter.as_bytes()).collect();
    let mut model = None;
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(body.len());
        let part = &body[start + delimiter.len()..end];
        if part.starts_with(b"--") {
            break;
        }
        let head_end = memmem::find(&part[..part.len().min(MAX_HEAD_BYTES)], b"\r\n\r\n");
        let head_end = head_end.ok_or(FormError::Part)?;
        let name = field_name(&part[..head_end]).ok_or(FormError::Part)?;
        if model.is_none() && name == "model" {
            model = model_name(&part[head_end + 4..]);
        }
    }
    Ok(model)
}

fn boundary(content_type: &str) -> Option<String> {
    let boundary = only(parameters(content_type)?, "boundary")?;
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// The name of a part's field: the one `name` of its one `Content-Disposition`.
fn field_name(head: &[u8]) -> Option<String> {
    let mut disposition = None;
    for line in std::str::from_utf8(head).ok()?.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        if name.trim().eq_ignore_ascii_case("content-disposition")
            && disposition.replace(value).is_some()
        {
            return None;
        }
    }
    only(parameters(disposition?)?, "name")
}

/// The only parameter of this name; `None` also where it is there in its encoded form (`name*`, RFC 2231).
fn only(parameters: Vec<(String, String)>, name: &str) -> Option<String> {
    let same =
        |given: &str| given.trim_end_matches('*') == name || given.starts_with(&format!("{name}*"));
    let mut found = parameters.into_iter().filter(|(given, _)| same(given));
    let (given, value) = found.next()?;
    (found.next().is_none() && given == name).then_some(value)
}

/// The parameters behind a header's first word, names in lower case. `None`: a quote that does not end, or a
/// backslash, which readers understand differently.
fn parameters(value: &str) -> Option<Vec<(String, String)>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in value.chars() {
        match c {
            '\\' => return None,
            '"' => quoted = !quoted,
            ';' if !quoted => parts.push(String::new()),
            c => parts.last_mut()?.push(c),
        }
    }
    let split = |part: &String| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    (!quoted).then(|| parts.iter().skip(1).filter_map(split).collect())
}

fn model_name(value: &[u8]) -> Option<String> {
    let end = memmem::find(value, b"\r\n")?;
    let model = std::str::from_utf8(&value[..end]).ok()?;
    (1..=MAX_MODEL_BYTES).contains(&model.len()).then(|| model.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";
    const FORM: &str = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model; name=x\"\r\nContent-Type: audio/wav\r\n\r\nRIFF name=\"model\"\r\n\r\nfake\r\n--XX\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--XX--\r\n";

    fn with_head(head: &str) -> Result<Option<String>, FormError> {
        model(TYPE, format!("--XX\r\n{head}\r\n\r\nv\r\n{FORM}").as_bytes())
    }

    #[test]
    fn the_model_field_is_found_and_nothing_like_it() {
        let whisper = Ok(Some("whisper-1".to_owned()));
        assert_eq!(model(TYPE, FORM.as_bytes()), whisper);
        assert_eq!(model("multipart/form-data; boundary=\"XX\"", FORM.as_bytes()), whisper);
        assert_eq!(model("multipart/form-data; boundary=YY", FORM.as_bytes()), Ok(None));
        assert_eq!(
            with_head("Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''a"),
            whisper
        );
    }

    #[test]
    fn fields_that_reach_into_the_engine_are_refused_wherever_they_are() {
        for name in RESERVED {
            let refused = Err(FormError::Reserved(name));
            assert_eq!(with_head(&format!("Content-Disposition: form-data; NAME={name}")), refused);
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let heads = [
            "Content-Disposition: form-data; name=a; name=b",
            "Content-Disposition: form-data; name*=utf-8''vllm%5fxargs",
            "Content-Disposition: form-data; name=a; name*0=b",
            "Content-Disposition: form-data; name=\"a\\\"\"",
            "Content-Disposition: form-data; name=\"a",
            "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
            "Content-Type: text/plain",
            "garbage",
        ];
        for head in heads {
            assert_eq!(with_head(head), Err(FormError::Part), "{head}");
        }
        assert_eq!(with_head(&format!("X: {}", "x".repeat(MAX_HEAD_BYTES))), Err(FormError::Part));
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for kind in ["multipart/form-data", "multipart/form-data; boundary=AA; boundary=XX", &long]
        {
            assert_eq!(model(kind, FORM.as_bytes()), Err(FormError::Boundary), "{kind}");
        }
    }
}
