//! vLLM's administrative paths, as far as clients can observe them. A router must block them, and a test of that needs
//! a server on which they work.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::wire::body::{members, parse_value};
use crate::wire::error::ApiError;
use crate::wire::reply::Reply;

/// An administrative action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Sleep,
    WakeUp,
    IsSleeping,
    Pause,
    Resume,
    IsPaused,
    ResetPrefixCache,
    LoadLora,
    UnloadLora,
}

impl Action {
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/sleep" => Self::Sleep,
            "/wake_up" => Self::WakeUp,
            "/is_sleeping" => Self::IsSleeping,
            "/pause" => Self::Pause,
            "/resume" => Self::Resume,
            "/is_paused" => Self::IsPaused,
            "/reset_prefix_cache" => Self::ResetPrefixCache,
            "/v1/load_lora_adapter" | "/load_lora_adapter" => Self::LoadLora,
            "/v1/unload_lora_adapter" | "/unload_lora_adapter" => Self::UnloadLora,
            _ => return None,
        })
    }

    pub(super) fn method(self) -> Method {
        match self {
            Self::IsSleeping | Self::IsPaused => Method::GET,
            _ => Method::POST,
        }
    }
}

/// Carries out an action.
pub(super) fn act(
    app: &App,
    action: Action,
    query: Option<&str>,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    match action {
        Action::Sleep => {
            let level = query.and_then(|query| query.strip_prefix("level=")).unwrap_or("1");
            app.set_sleep(if level == "2" { 2 } else { 1 });
            app.driver.pause();
        }
        Action::WakeUp => {
            app.set_sleep(0);
            app.driver.resume();
        }
        Action::IsSleeping => return Ok(Reply::value(&json!({"is_sleeping": app.sleep() > 0}))),
        Action::Pause => app.driver.pause(),
        Action::Resume => app.driver.resume(),
        Action::IsPaused => {
            return Ok(Reply::value(&json!({"is_paused": app.driver.is_paused()})));
        }
        Action::ResetPrefixCache => {
            app.driver.with_engine(|engine, _| engine.reset_prefix_cache());
        }
        Action::LoadLora | Action::UnloadLora => return lora(app, action, body),
    }
    Ok(Reply::empty())
}

fn lora(app: &App, action: Action, body: &Bytes) -> Result<Reply, ApiError> {
    let body = parse_value(body)?;
    let Some(name) = body.get("lora_name").and_then(Value::as_str) else {
        return Err(ApiError::missing("lora_name", &members(&body)));
    };
    let known = app.update_catalog(|catalog| {
        let known = catalog.loras.iter().any(|lora| lora == name);
        catalog.loras.retain(|lora| lora != name);
        if action == Action::LoadLora {
            catalog.loras.push(name.to_owned());
        }
        known
    });
    match (action, known) {
        (Action::UnloadLora, false) => {
            Err(ApiError::not_found(format!("The lora adapter '{name}' cannot be found.")))
        }
        (Action::UnloadLora, true) => {
            Ok(done(&format!("LoRA adapter '{name}' removed successfully.")))
        }
        _ => Ok(done(&format!("Success: LoRA adapter '{name}' added successfully."))),
    }
}

fn done(message: &str) -> Reply {
    Reply::json(StatusCode::OK, Value::from(message).to_string())
}
