//! Bodies of requests, and what there is in answers.

use serde_json::{Value, json};

/// `/v1/chat/completions`
pub const CHAT: &str = "/v1/chat/completions";
/// `/v1/completions`
pub const COMPLETIONS: &str = "/v1/completions";

/// A prompt of about `words` tokens. Prompts of different lengths differ from their beginning, so that no prefix
/// cache makes one shorter than it is.
#[must_use]
pub fn prompt(words: usize) -> String {
    format!("{words} {}", "lorem ".repeat(words))
}

/// A chat request of about `words` tokens that wants `max_tokens`.
#[must_use]
pub fn chat(words: usize, max_tokens: u32) -> Value {
    let content = prompt(words);
    let messages = json!([{"role": "user", "content": content}]);
    json!({"model": "tiny", "messages": messages, "max_tokens": max_tokens})
}

/// A completion request of about `words` tokens that wants `max_tokens`.
#[must_use]
pub fn completion(words: usize, max_tokens: u32) -> Value {
    json!({"model": "tiny", "prompt": prompt(words), "max_tokens": max_tokens})
}

/// The body with one member set.
#[must_use]
pub fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

/// The body, asking for a stream.
#[must_use]
pub fn streamed(body: Value) -> Value {
    with(body, "stream", true)
}

/// The text of an answer in one piece, of either API.
///
/// # Panics
/// There is none.
#[must_use]
pub fn text(answer: &Value) -> String {
    let choice = &answer["choices"][0];
    let text = choice["message"]["content"].as_str().or_else(|| choice["text"].as_str());
    text.unwrap_or_else(|| panic!("an answer without text: {answer}")).to_owned()
}

/// The data of all events of a stream, in order.
///
/// # Panics
/// It is not UTF-8.
#[must_use]
pub fn events(stream: &[u8]) -> Vec<String> {
    let stream = std::str::from_utf8(stream).expect("events are UTF-8");
    let data = |event: &str| event.trim_start().strip_prefix("data: ").map(str::to_owned);
    stream.split("\n\n").filter_map(data).collect()
}

/// The text that a stream of either API spelled.
#[must_use]
pub fn streamed_text(stream: &[u8]) -> String {
    let piece = |event: String| {
        let event: Value = serde_json::from_str(&event).ok()?;
        let choice = &event["choices"][0];
        let piece = choice["delta"]["content"].as_str().or_else(|| choice["text"].as_str())?;
        Some(piece.to_owned())
    };
    events(stream).into_iter().filter_map(piece).collect()
}

/// The text of an answer in one piece or of a stream, whichever `body` asked for.
///
/// # Panics
/// It has none.
#[must_use]
pub fn text_of(body: &Value, answer: &[u8]) -> String {
    if body["stream"] == true {
        return streamed_text(answer);
    }
    let answer = serde_json::from_slice(answer);
    text(&answer.expect("an answer in one piece is JSON"))
}
