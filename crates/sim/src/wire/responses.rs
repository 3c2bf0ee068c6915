//! The path `/v1/responses`, without streaming. Each server keeps its own responses.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::app::App;
use crate::wire::body::{Api, check_model, members, parse_value};
use crate::wire::error::ApiError;
use crate::wire::generate;
use crate::wire::reply::Reply;

/// The stored response with this id, and the conversation up to it.
fn stored(app: &App, id: &str) -> Result<(Value, Vec<Value>), ApiError> {
    let missing = || ApiError::not_found(format!("Response with id '{id}' not found."));
    app.stored.get(id).ok_or_else(missing)
}

/// Answers `GET /v1/responses/{id}`.
pub(super) fn get(app: &App, id: &str) -> Result<Reply, ApiError> {
    stored(app, id).map(|(response, _)| Reply::value(&response))
}

/// Answers `POST /v1/responses`.
pub(super) async fn create(app: &App, body: &Bytes) -> Result<Reply, ApiError> {
    let body = parse_value(body)?;
    if body.get("stream").and_then(Value::as_bool) == Some(true) {
        let what = "This simulator does not stream responses.";
        return Err(ApiError::bad_value("stream", true, what));
    }
    let asked = body.get("model").and_then(Value::as_str).map(str::to_owned);
    let model = check_model(asked, &app.catalog())?;
    let previous = body.get("previous_response_id").and_then(Value::as_str);
    let mut conversation = match previous {
        Some(id) => stored(app, id)?.1,
        None => Vec::new(),
    };
    conversation.extend(input(&body)?);
    let (text, usage) = answer(app, &model, &body, &conversation).await?;
    conversation.push(json!({"role": "assistant", "content": text}));
    let id = format!("resp_{}", app.fresh_id());
    let response = response(app, &id, &model, previous, &text, &usage);
    app.stored.insert(&id, response.clone(), conversation);
    Ok(Reply::value(&response))
}

/// The messages of `input`, which is a text or a list of messages.
fn input(body: &Value) -> Result<Vec<Value>, ApiError> {
    match body.get("input") {
        Some(Value::String(text)) => Ok(vec![json!({"role": "user", "content": text})]),
        Some(Value::Array(messages)) => Ok(messages.clone()),
        _ => Err(ApiError::missing("input", &members(body))),
    }
}

/// Generates the next message of the conversation through the chat handler.
async fn answer(
    app: &App,
    model: &str,
    body: &Value,
    conversation: &[Value],
) -> Result<(String, Value), ApiError> {
    let chat = json!({
        "model": model,
        "messages": conversation,
        "max_tokens": body.get("max_output_tokens"),
    });
    let reply =
        generate::generate(app, Api::Chat, &HeaderMap::new(), &chat.to_string().into()).await?;
    let answer = parse_value(&reply.into_bytes().await)?;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    Ok((text.to_owned(), answer["usage"].clone()))
}

fn response(
    app: &App,
    id: &str,
    model: &str,
    previous: Option<&str>,
    text: &str,
    usage: &Value,
) -> Value {
    json!({
        "id": id,
        "object": "response",
        "created_at": app.unix_time() as u64,
        "status": "completed",
        "model": model,
        "previous_response_id": previous,
        "output": [{
            "id": format!("msg_{}", app.fresh_id()),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }],
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "output_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"],
        },
    })
}
