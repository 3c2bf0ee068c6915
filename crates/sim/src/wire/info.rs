//! Information about a server, and the small paths beside the generating ones.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::app::App;
use crate::text::{self, Chain, Token};
use crate::wire::body::{check_model, members, parse_value};
use crate::wire::error::ApiError;
use crate::wire::reply::Reply;
use crate::wire::template::chat_prompt;

/// The number of dimensions of an embedding.
const DIMENSIONS: usize = 64;

/// Answers `/v1/models` with the models and their adapters.
pub(super) fn models(app: &App) -> Reply {
    let catalog = app.catalog();
    let base = catalog.models.first();
    let models =
        catalog.models.iter().map(|name| card(app, name, None, Some(catalog.max_model_len)));
    let loras = catalog.loras.iter().map(|name| card(app, name, base, None));
    let data: Vec<Value> = models.chain(loras).collect();
    Reply::value(&json!({"object": "list", "data": data}))
}

fn card(app: &App, name: &str, parent: Option<&String>, longest: Option<u32>) -> Value {
    let created = app.started() as u64;
    json!({
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": name,
        "parent": parent,
        "max_model_len": longest,
        "permission": [{
            "id": format!("modelperm-{}", app.fresh_id()),
            "object": "model_permission",
            "created": created,
            "allow_create_engine": false,
            "allow_sampling": true,
            "allow_logprobs": true,
            "allow_search_indices": false,
            "allow_view": true,
            "allow_fine_tuning": false,
            "organization": "*",
            "group": null,
            "is_blocking": false,
        }],
    })
}

/// Answers `/load` with the number of requests in the engine.
pub(super) fn load(app: &App) -> Reply {
    let load = app.driver.with_engine(|engine, _| engine.running() + engine.waiting().0);
    Reply::value(&json!({ "server_load": load }))
}

/// Answers `/tokenize` for a prompt or for messages.
pub(super) fn tokenize(app: &App, body: &Bytes) -> Result<Reply, ApiError> {
    let body = parse_value(body)?;
    let text = match (body.get("prompt"), body.get("messages")) {
        (Some(Value::String(prompt)), _) => prompt.clone(),
        (_, Some(Value::Array(messages))) => chat_prompt(messages, false, true),
        _ => return Err(ApiError::missing("prompt", &members(&body))),
    };
    let tokens = text::tokenize(&text);
    Ok(Reply::value(&json!({
        "count": tokens.len(),
        "max_model_len": app.catalog().max_model_len,
        "tokens": tokens,
        "token_strs": null,
    })))
}

/// Answers `/detokenize`.
pub(super) fn detokenize(body: &Bytes) -> Result<Reply, ApiError> {
    let body = parse_value(body)?;
    let Some(tokens) = body.get("tokens").and_then(Value::as_array) else {
        return Err(ApiError::missing("tokens", &members(&body)));
    };
    let tokens: Vec<Token> = tokens.iter().filter_map(Value::as_u64).collect();
    Ok(Reply::value(&json!({"prompt": text::detokenize(&tokens)})))
}

/// Answers `/v1/embeddings` with unit vectors that depend on the texts alone.
pub(super) fn embeddings(app: &App, body: &Bytes) -> Result<Reply, ApiError> {
    let body = parse_value(body)?;
    let asked = body.get("model").and_then(Value::as_str).map(str::to_owned);
    let model = check_model(asked, &app.catalog())?;
    let inputs: Vec<&str> = match body.get("input") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
        _ => return Err(ApiError::missing("input", &members(&body))),
    };
    let mut tokens = 0;
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let ids = text::tokenize(text);
            tokens += ids.len();
            json!({"index": index, "object": "embedding", "embedding": embedding(&ids)})
        })
        .collect();
    Ok(Reply::value(&json!({
        "id": format!("embd-{}", app.fresh_id()),
        "object": "list",
        "created": app.unix_time() as u64,
        "model": model,
        "data": data,
        "usage": {
            "prompt_tokens": tokens,
            "total_tokens": tokens,
            "completion_tokens": 0,
            "prompt_tokens_details": null,
        },
    })))
}

fn embedding(tokens: &[Token]) -> Vec<f64> {
    let chain = tokens.iter().fold(Chain::START, |chain, token| chain.push(*token));
    let raw: Vec<f64> = (0..DIMENSIONS as u64)
        .map(|dimension| (chain.push(dimension).0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
        .collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    raw.into_iter().map(|x| x / length).collect()
}
