//! `/v1/models`, merged over all endpoints: each model that a client can name, once.

use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::answer::reply::Reply;
use crate::failure::Failure;
use crate::routes::no_route::NoRoute;
use crate::routes::snapshot::Snapshot;

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Box<RawValue>>,
}

/// Answers `/v1/models` and `/v1/models/{id}`.
pub(crate) fn answer(snapshot: &Snapshot, path: &str) -> Result<Response<Reply>, Failure> {
    let models = snapshot.models();
    let body = match path.strip_prefix("/v1/models/") {
        Some(id) => {
            let found = models.iter().find(|(name, _)| name == id);
            let (name, card) = found.ok_or_else(|| NoRoute::UnknownModel {
                model: id.to_owned(),
                known: snapshot.known_models(),
            })?;
            card_of(name, card.as_deref()).get().as_bytes().to_vec()
        }
        None => {
            let data = models.iter().map(|(id, card)| card_of(id, card.as_deref())).collect();
            serde_json::to_vec(&List { object: "list", data }).expect("JSON always serializes")
        }
    };
    let mut response = Response::new(Reply::full(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The model's card as an endpoint gave it, or a minimal one where no endpoint has reported the model yet.
fn card_of(id: &str, card: Option<&str>) -> Box<RawValue> {
    let own = card.and_then(|card| RawValue::from_string(card.to_owned()).ok());
    own.unwrap_or_else(|| {
        let plain =
            serde_json::json!({"id": id, "object": "model", "created": 0, "owned_by": "vllm"});
        RawValue::from_string(plain.to_string()).expect("JSON is JSON")
    })
}
