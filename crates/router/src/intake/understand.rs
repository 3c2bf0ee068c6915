//! Reads a request's body for what it asks for. It must not know any route.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use qoe_core::request::analyze::{Analysis, Api, HeaderRules, analyze};
use qoe_core::request::multipart;

use crate::failure::Failure;
use crate::intake::surface::Surface;

/// Analyzes a request. A body that is neither a form nor a JSON object is refused on every path, also on
/// administrative ones that a route allows: it could carry KV transfer parameters that nobody has checked.
pub(crate) fn understand(
    surface: Surface,
    head: &http::request::Parts,
    body: &Bytes,
) -> Result<Analysis, Failure> {
    // The route, and with it the names of its headers, is known only after the model.
    let rules = HeaderRules::default();
    let content_type = head.headers.get(CONTENT_TYPE);
    let is = |prefix: &str| {
        content_type.and_then(|t| t.to_str().ok()).is_some_and(|t| t.starts_with(prefix))
    };
    let api = surface.generates().unwrap_or(Api::Other);
    if head.uri.path().starts_with("/v1/audio/") && is("multipart/form-data") {
        let content_type = content_type.and_then(|t| t.to_str().ok()).unwrap_or_default();
        let model = multipart::model(content_type, body)?;
        return Ok(Analysis { model, ..Analysis::without_body(&head.headers, &rules) });
    }
    if body.is_empty() && api == Api::Other {
        return Ok(Analysis::without_body(&head.headers, &rules));
    }
    Ok(analyze(api, &head.headers, body, &rules)?)
}
