//! Log probabilities in the formats of both APIs. The simulator has none, so it derives one from each token. Two
//! servers therefore agree.

use serde_json::{Map, Value, json};

use crate::text::{Token, append_token};

fn logprob(token: Token) -> f64 {
    -((token.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as f64) / 256.0
}

fn bytes(token: Token) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_token(&mut bytes, token);
    bytes
}

/// The format of chats, `{"content":[{"token","logprob","bytes","top_logprobs"}]}`.
pub(super) fn chat(tokens: &[Token]) -> Value {
    let entry = |token: Token| {
        let bytes = bytes(token);
        json!({"token": String::from_utf8_lossy(&bytes), "logprob": logprob(token), "bytes": bytes})
    };
    let content: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let mut whole = entry(*token);
            whole["top_logprobs"] = json!([entry(*token)]);
            whole
        })
        .collect();
    json!({ "content": content })
}

/// The format of completions, `{"text_offset","token_logprobs","tokens","top_logprobs"}`.
pub(super) fn completion(tokens: &[Token]) -> Value {
    let texts: Vec<String> =
        tokens.iter().map(|token| String::from_utf8_lossy(&bytes(*token)).into_owned()).collect();
    let offsets: Vec<usize> = texts
        .iter()
        .scan(0, |at, text| {
            let offset = *at;
            *at += text.chars().count();
            Some(offset)
        })
        .collect();
    let logprobs: Vec<f64> = tokens.iter().map(|token| logprob(*token)).collect();
    let top: Vec<Value> = texts
        .iter()
        .zip(&logprobs)
        .map(|(text, logprob)| Map::from_iter([(text.clone(), json!(logprob))]).into())
        .collect();
    json!({
        "text_offset": offsets,
        "token_logprobs": logprobs,
        "tokens": texts,
        "top_logprobs": top,
    })
}
