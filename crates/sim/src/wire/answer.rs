//! Answers of the generating paths that are not streamed, and what streams share with them. Members are in vLLM's
//! order.

use std::fmt::Write as _;

use serde_json::Value;

use crate::engine::request::{Prefilled, Reason};
use crate::text::{Token, detokenize};
use crate::wire::body::{Api, Generation};

/// The `system_fingerprint` of every answer.
pub(super) const FINGERPRINT: &str = "vllm-0.32.0-qoe-sim";

/// The part that all answers to one request share.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) api: Api,
    pub(crate) id: String,
    created: u64,
    model: String,
    pub(crate) prompts: Vec<Vec<Token>>,
    pub(crate) samples: usize,
    pub(crate) echo: bool,
    logprobs: bool,
    token_ids: bool,
    pub(super) include_usage: bool,
    pub(super) continuous_usage: bool,
}

impl Head {
    pub(crate) fn new(generation: Generation, id: String, created: u64) -> Self {
        Self {
            api: generation.api,
            id,
            created,
            model: generation.model,
            prompts: generation.prompts,
            samples: generation.samples as usize,
            echo: generation.echo && generation.api == Api::Completion,
            logprobs: generation.logprobs,
            token_ids: generation.token_ids,
            include_usage: generation.stream_options.include_usage,
            continuous_usage: generation.stream_options.continuous_usage_stats,
        }
    }

    /// The number of choices of the whole request.
    pub(crate) fn choices(&self) -> usize {
        self.prompts.len() * self.samples
    }

    pub(super) fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(Vec::len).sum()
    }

    pub(super) fn prompt_of(&self, choice: usize) -> &[Token] {
        &self.prompts[choice / self.samples]
    }

    fn object(&self, stream: bool) -> &'static str {
        match (self.api, stream) {
            (Api::Chat, true) => "chat.completion.chunk",
            (Api::Chat, false) => "chat.completion",
            (Api::Completion, _) => "text_completion",
        }
    }

    pub(super) fn opening(&self, stream: bool) -> String {
        format!(
            r#"{{"id":{},"object":"{}","created":{},"model":{},"choices":["#,
            quoted(&self.id),
            self.object(stream),
            self.created,
            quoted(&self.model)
        )
    }

    /// The body of an answer that is not streamed.
    pub(crate) fn whole(&self, choices: &[Choice], kv: Option<&Value>) -> String {
        let mut out = self.opening(false);
        for (index, choice) in choices.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.push_choice(&mut out, index, choice);
        }
        let usage = self.usage(choices);
        let _ = write!(
            out,
            r#"],"service_tier":null,"system_fingerprint":"{FINGERPRINT}","usage":{usage},"#
        );
        if self.api == Api::Chat {
            let ids = self.ids(&self.prompts[0]);
            let _ = write!(
                out,
                r#""prompt_logprobs":null,"prompt_token_ids":{ids},"prompt_text":null,"#
            );
        }
        let kv = kv.map_or_else(|| "null".to_owned(), Value::to_string);
        let _ =
            write!(out, r#""kv_transfer_params":{kv},"ec_transfer_params":null,"metrics":null}}"#);
        out
    }

    fn push_choice(&self, out: &mut String, index: usize, choice: &Choice) {
        let text = quoted(&self.text(index, choice));
        let logprobs = self.logprobs(&choice.tokens);
        let reason = choice.reason.map_or("null", reason_name);
        let ids = self.ids(&choice.tokens);
        let _ = match self.api {
            Api::Chat => write!(
                out,
                r#"{{"index":{index},"message":{{"role":"assistant","content":{text},"refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null}},"logprobs":{logprobs},"finish_reason":{reason},"stop_reason":null,"token_ids":{ids},"routed_experts":null}}"#
            ),
            Api::Completion => write!(
                out,
                r#"{{"index":{index},"text":{text},"logprobs":{logprobs},"finish_reason":{reason},"stop_reason":null,"token_ids":{ids},"prompt_logprobs":null,"prompt_token_ids":{},"routed_experts":null}}"#,
                self.ids(self.prompt_of(index))
            ),
        };
    }

    fn text(&self, index: usize, choice: &Choice) -> String {
        match self.echo {
            true => detokenize(self.prompt_of(index)) + &detokenize(&choice.tokens),
            false => detokenize(&choice.tokens),
        }
    }

    pub(super) fn ids(&self, tokens: &[Token]) -> String {
        match self.token_ids {
            true => serde_json::to_string(tokens).unwrap_or_default(),
            false => "null".to_owned(),
        }
    }

    fn usage(&self, choices: &[Choice]) -> String {
        let written: usize = choices.iter().map(|choice| choice.tokens.len()).sum();
        let prompt = self.prompt_tokens();
        let Prefilled { cached, created } = sum_prefilled(choices, self.samples);
        let created = match self.api {
            Api::Chat => created.to_string(),
            Api::Completion => "null".to_owned(),
        };
        format!(
            r#"{{"prompt_tokens":{prompt},"total_tokens":{},"completion_tokens":{written},"prompt_tokens_details":{{"cached_tokens":{cached},"created_cache_tokens":{created},"multimodal_tokens":null}},"completion_tokens_details":null}}"#,
            prompt + written
        )
    }

    /// Invented but deterministic log probabilities, in the format of the request's API.
    pub(super) fn logprobs(&self, tokens: &[Token]) -> String {
        if !self.logprobs {
            return "null".to_owned();
        }
        let value = match self.api {
            Api::Chat => super::logprobs::chat(tokens),
            Api::Completion => super::logprobs::completion(tokens),
        };
        value.to_string()
    }
}

/// One choice, as far as it is written.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) tokens: Vec<Token>,
    pub(crate) prefilled: Prefilled,
    pub(crate) reason: Option<Reason>,
}

/// The cache counts of all prompts. A prompt with several samples counts once.
pub(super) fn sum_prefilled(choices: &[Choice], samples: usize) -> Prefilled {
    choices.iter().step_by(samples).fold(Prefilled::default(), |sum, choice| Prefilled {
        cached: sum.cached + choice.prefilled.cached,
        created: sum.created + choice.prefilled.created,
    })
}

pub(super) fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Stop => r#""stop""#,
        Reason::Length => r#""length""#,
    }
}

pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
