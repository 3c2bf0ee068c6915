//! Request bodies of the generating paths, parsed and validated into a [`Generation`].

use serde::Deserialize;
use serde_json::Value;

use crate::app::Catalog;
use crate::text::{Token, tokenize};
use crate::wire::error::ApiError;
use crate::wire::template::chat_prompt;

/// The two generating APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Completion,
}

/// The field `stream_options`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage_stats: bool,
}

/// The prompt of a completion.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PromptInput {
    Text(String),
    Ids(Vec<Token>),
    Texts(Vec<String>),
    IdLists(Vec<Vec<Token>>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    model: Option<String>,
    messages: Option<Value>,
    prompt: Option<PromptInput>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    min_tokens: Option<u32>,
    temperature: Option<f64>,
    n: Option<u32>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    echo: Option<bool>,
    logprobs: Option<Value>,
    ignore_eos: Option<bool>,
    priority: Option<i64>,
    return_token_ids: Option<bool>,
    add_generation_prompt: Option<bool>,
    continue_final_message: Option<bool>,
    kv_transfer_params: Option<Value>,
    /// The number of members, which error messages contain.
    #[serde(skip)]
    members: usize,
}

impl Body {
    fn described(&self) -> String {
        format!("<dict of {} items>", self.members)
    }
}

/// The description of a whole body in an error message.
pub(crate) fn members(body: &Value) -> String {
    format!("<dict of {} items>", body.as_object().map_or(0, serde_json::Map::len))
}

/// A validated request.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) api: Api,
    pub(crate) model: String,
    pub(crate) prompts: Vec<Vec<Token>>,
    /// The number of samples of each prompt.
    pub(crate) samples: u32,
    /// The maximum number of tokens in each sample, by prompt.
    pub(crate) max_tokens: Vec<u32>,
    pub(crate) min_tokens: u32,
    /// Whether the model decides when the answer ends, because the request does not.
    pub(crate) until_end: bool,
    pub(crate) stream: bool,
    pub(crate) stream_options: StreamOptions,
    pub(crate) echo: bool,
    pub(crate) logprobs: bool,
    pub(crate) token_ids: bool,
    pub(crate) priority: i64,
}

/// A parsed body. The KV parameters take effect even if the rest is refused.
pub(crate) struct Parsed {
    pub(crate) kv: Option<Value>,
    pub(crate) generation: Result<Generation, ApiError>,
}

/// Parses and validates the body of a generating request.
pub(crate) fn parse(api: Api, bytes: &[u8], catalog: &Catalog) -> Result<Parsed, ApiError> {
    let mut body: Body =
        serde_json::from_slice(bytes).map_err(|error| json_error(bytes, &error))?;
    if body.messages.is_none() && body.prompt.is_none() {
        body.members = parse_value(bytes)?.as_object().map_or(0, serde_json::Map::len);
    }
    let kv = body.kv_transfer_params.take().filter(|kv| !kv.is_null());
    Ok(Parsed { kv, generation: check(api, body, catalog) })
}

/// Parses the body of any other request.
pub(crate) fn parse_value(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| json_error(bytes, &error))
}

fn json_error(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    if error.is_data() {
        return ApiError::bad_member("", "type_error", &error.to_string(), "");
    }
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    ApiError::bad_json(lines.map(<[u8]>::len).sum::<usize>() + error.column())
}

/// The requested model. It must be in the catalog.
pub(crate) fn check_model(asked: Option<String>, catalog: &Catalog) -> Result<String, ApiError> {
    let Some(model) = asked else { return Ok(catalog.models.first().cloned().unwrap_or_default()) };
    match catalog.models.contains(&model) || catalog.loras.contains(&model) {
        true => Ok(model),
        false => Err(ApiError::unknown_model(&model, &catalog.models)),
    }
}

fn check(api: Api, body: Body, catalog: &Catalog) -> Result<Generation, ApiError> {
    let asked_tokens = body.max_completion_tokens.or(body.max_tokens);
    if let Some(temperature) = body.temperature.filter(|temperature| *temperature < 0.0) {
        let what = format!("temperature must be non-negative, got {temperature:?}.");
        return Err(ApiError::bad_value("temperature", format!("{temperature:?}"), &what));
    }
    let prompts = match api {
        Api::Chat => vec![chat(&body)?],
        Api::Completion => match body.prompt {
            None => return Err(ApiError::missing("prompt", &body.described())),
            Some(prompt) => completion(prompt)?,
        },
    };
    let model = check_model(body.model, catalog)?;
    let max_tokens = prompts
        .iter()
        .map(|prompt| limit(api, asked_tokens, prompt.len(), catalog.max_model_len))
        .collect::<Result<_, _>>()?;
    Ok(Generation {
        api,
        model,
        prompts,
        samples: body.n.unwrap_or(1).max(1),
        max_tokens,
        min_tokens: body.min_tokens.unwrap_or(0),
        until_end: asked_tokens.is_none() && !body.ignore_eos.unwrap_or(false),
        stream: body.stream.unwrap_or(false),
        stream_options: body.stream_options.unwrap_or_default(),
        echo: body.echo.unwrap_or(false),
        logprobs: body
            .logprobs
            .is_some_and(|asked| !matches!(asked, Value::Null | Value::Bool(false))),
        token_ids: body.return_token_ids.unwrap_or(false),
        priority: body.priority.unwrap_or(0),
    })
}

fn chat(body: &Body) -> Result<Vec<Token>, ApiError> {
    let messages = match &body.messages {
        None => return Err(ApiError::missing("messages", &body.described())),
        Some(Value::Array(messages)) => messages,
        Some(other) => {
            let what = "Input should be a valid list";
            let input = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            return Err(ApiError::bad_member("messages", "list_type", what, &input));
        }
    };
    let open = body.continue_final_message.unwrap_or(false);
    let answer = body.add_generation_prompt.unwrap_or(!open);
    Ok(tokenize(&chat_prompt(messages, open, answer)))
}

fn completion(prompt: PromptInput) -> Result<Vec<Vec<Token>>, ApiError> {
    let prompts = match prompt {
        PromptInput::Text(text) => vec![tokenize(&text)],
        PromptInput::Texts(texts) => texts.iter().map(|text| tokenize(text)).collect(),
        PromptInput::Ids(ids) => vec![ids],
        PromptInput::IdLists(lists) => lists,
    };
    if prompts.is_empty() || prompts.iter().any(Vec::is_empty) {
        return Err(ApiError::bad_value("prompt", "", "The prompt must not be empty."));
    }
    Ok(prompts)
}

/// The maximum number of tokens to write after a prompt of `prompt` tokens.
fn limit(api: Api, asked: Option<i64>, prompt: usize, longest: u32) -> Result<u32, ApiError> {
    let longest = i64::from(longest);
    let room = longest - i64::try_from(prompt).unwrap_or(i64::MAX);
    if let Some(asked) = asked.filter(|asked| *asked < 1) {
        let what = format!("max_tokens must be at least 1, got {asked}.");
        return Err(ApiError::bad_value("max_tokens", asked, &what));
    }
    if let Some(asked) = asked.filter(|asked| *asked > longest) {
        let what = format!(
            "max_tokens={asked} cannot be greater than max_model_len={longest}. Please request \
             fewer output tokens."
        );
        return Err(ApiError::bad_value("max_tokens", asked, &what));
    }
    let what = match asked {
        _ if room < 1 => format!(
            "This model's maximum context length is {longest} tokens. However, your prompt contains \
             at least {prompt} input tokens, which exceeds this limit even without any output \
             tokens. Please reduce the length of the input prompt."
        ),
        Some(asked) if asked > room => format!(
            "This model's maximum context length is {longest} tokens. However, you requested \
             {asked} output tokens and your prompt contains {prompt} input tokens. Please reduce \
             the length of the input prompt or the number of requested output tokens."
        ),
        asked => {
            let default = if api == Api::Chat { room } else { 16 };
            return Ok(u32::try_from(asked.unwrap_or(default).min(room)).unwrap_or(u32::MAX));
        }
    };
    Err(ApiError::bad_value("input_tokens", prompt, &what))
}
