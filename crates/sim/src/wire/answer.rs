//! Answers of the generating endpoints, byte for byte in vLLM's member order.
//!
//! Chunks are put together from prepared pieces: a token costs two copies and no JSON tree.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::Value;

use super::body::{Api, Generation};
use crate::engine::{Prefilled, Reason};
use crate::text::{Token, append_token, detokenize};

/// vLLM's name for the build, which ends up in every answer.
const FINGERPRINT: &str = "vllm-0.32.0-qoe-sim";

/// What all answers of one request have in common.
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
    include_usage: bool,
    continuous_usage: bool,
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

    /// Choices of the whole request.
    pub(crate) fn choices(&self) -> usize {
        self.prompts.len() * self.samples
    }

    fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(Vec::len).sum()
    }

    fn prompt_of(&self, choice: usize) -> &[Token] {
        &self.prompts[choice / self.samples]
    }

    fn object(&self, stream: bool) -> &'static str {
        match (self.api, stream) {
            (Api::Chat, true) => "chat.completion.chunk",
            (Api::Chat, false) => "chat.completion",
            (Api::Completion, _) => "text_completion",
        }
    }

    fn opening(&self, stream: bool) -> String {
        format!(
            r#"{{"id":{},"object":"{}","created":{},"model":{},"choices":["#,
            quoted(&self.id),
            self.object(stream),
            self.created,
            quoted(&self.model)
        )
    }

    /// The whole answer, not streamed.
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

    fn ids(&self, tokens: &[Token]) -> String {
        match self.token_ids {
            true => serde_json::to_string(tokens).unwrap_or_default(),
            false => "null".to_owned(),
        }
    }

    fn usage(&self, choices: &[Choice]) -> String {
        let written: usize = choices.iter().map(|choice| choice.tokens.len()).sum();
        let prompt = self.prompt_tokens();
        let Prefilled { cached, created } = sum_prefilled(choices);
        let created = match self.api {
            Api::Chat => created.to_string(),
            Api::Completion => "null".to_owned(),
        };
        format!(
            r#"{{"prompt_tokens":{prompt},"total_tokens":{},"completion_tokens":{written},"prompt_tokens_details":{{"cached_tokens":{cached},"created_cache_tokens":{created},"multimodal_tokens":null}},"completion_tokens_details":null}}"#,
            prompt + written
        )
    }

    /// Invented but steady log probabilities, in the shape of the API that is spoken.
    fn logprobs(&self, tokens: &[Token]) -> String {
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

/// What has been written of one choice.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) tokens: Vec<Token>,
    pub(crate) prefilled: Prefilled,
    pub(crate) reason: Option<Reason>,
}

fn sum_prefilled(choices: &[Choice]) -> Prefilled {
    choices.iter().fold(Prefilled::default(), |sum, choice| Prefilled {
        cached: sum.cached + choice.prefilled.cached,
        created: sum.created + choice.prefilled.created,
    })
}

fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Stop => r#""stop""#,
        Reason::Length => r#""length""#,
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes the events of a stream.
#[derive(Debug)]
pub(crate) struct Chunks {
    head: Head,
    opening: String,
    choices: Vec<Choice>,
    scratch: Vec<u8>,
}

impl Chunks {
    pub(crate) fn new(head: Head) -> Self {
        let opening = format!("data: {}", head.opening(true));
        let choices = (0..head.choices()).map(|_| Choice::default()).collect();
        Self { head, opening, choices, scratch: Vec::new() }
    }

    /// The first event of a choice: a chat's role, or the prompt that is echoed.
    pub(crate) fn first(&mut self, out: &mut BytesMut, index: usize, prefilled: Prefilled) {
        self.choices[index].prefilled = prefilled;
        if self.head.api == Api::Chat {
            self.begin(out);
            let _ = write!(
                out,
                r#"{{"index":{index},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]"#
            );
            self.push_usage(out);
            let ids = self.head.ids(&self.head.prompts[0]);
            let _ = write!(out, r#","prompt_token_ids":{ids},"prompt_text":null}}"#);
            out.put_slice(b"\n\n");
        } else if self.head.echo {
            let echo = quoted(&detokenize(self.head.prompt_of(index)));
            self.push_event(out, index, &echo, &[], None, false);
        }
    }

    /// One token; `reason` and `last` (of the whole request) if it is the choice's last.
    pub(crate) fn token(
        &mut self,
        out: &mut BytesMut,
        index: usize,
        token: Token,
        end: Option<(Reason, bool)>,
    ) {
        self.choices[index].tokens.push(token);
        self.scratch.clear();
        append_token(&mut self.scratch, token);
        let text = quoted(&String::from_utf8_lossy(&self.scratch));
        let reason = end.map(|(reason, _)| reason);
        let last = end.is_some_and(|(_, last)| last);
        self.push_event(out, index, &text, &[token], reason, last);
    }

    fn push_event(
        &self,
        out: &mut BytesMut,
        index: usize,
        text: &str,
        tokens: &[Token],
        reason: Option<Reason>,
        last: bool,
    ) {
        self.begin(out);
        let logprobs = match tokens {
            [] => "null".to_owned(),
            tokens => self.head.logprobs(tokens),
        };
        let ids = self.head.ids(tokens);
        let finish = reason.map_or("null", reason_name);
        let _ = match self.head.api {
            Api::Chat => write!(
                out,
                r#"{{"index":{index},"delta":{{"content":{text}}},"logprobs":{logprobs},"finish_reason":{finish}{},"token_ids":{ids}}}]"#,
                if reason.is_some() { r#","stop_reason":null"# } else { "" }
            ),
            Api::Completion => write!(
                out,
                r#"{{"index":{index},"text":{text},"logprobs":{logprobs},"finish_reason":{finish},"stop_reason":null,"prompt_token_ids":null,"token_ids":{ids}}}]"#
            ),
        };
        self.push_usage(out);
        if last && !self.head.include_usage {
            let _ = write!(out, r#","system_fingerprint":"{FINGERPRINT}""#);
        }
        out.put_slice(b"}\n\n");
    }

    /// The usage event, if it was asked for, and the end of the stream.
    pub(crate) fn end(&self, out: &mut BytesMut) {
        if self.head.include_usage {
            self.begin(out);
            let written: usize = self.choices.iter().map(|choice| choice.tokens.len()).sum();
            let prompt = self.head.prompt_tokens();
            let Prefilled { cached, created } = sum_prefilled(&self.choices);
            let _ = write!(
                out,
                r#"],"usage":{{"prompt_tokens":{prompt},"total_tokens":{},"completion_tokens":{written},"prompt_tokens_details":{{"cached_tokens":{cached}"#,
                prompt + written
            );
            if self.head.api == Api::Chat {
                let _ = write!(out, r#","created_cache_tokens":{created}"#);
            }
            let _ = write!(out, r#"}}}},"system_fingerprint":"{FINGERPRINT}"}}"#);
            out.put_slice(b"\n\n");
        }
        out.put_slice(b"data: [DONE]\n\n");
    }

    /// An error in the middle of a stream.
    pub(crate) fn failed(out: &mut BytesMut, body: &str) {
        out.put_slice(b"data: ");
        out.put_slice(body.as_bytes());
        out.put_slice(b"\n\ndata: [DONE]\n\n");
    }

    fn begin(&self, out: &mut BytesMut) {
        out.put_slice(self.opening.as_bytes());
    }

    fn push_usage(&self, out: &mut BytesMut) {
        if !self.head.continuous_usage {
            return;
        }
        let written: usize = self.choices.iter().map(|choice| choice.tokens.len()).sum();
        let prompt = self.head.prompt_tokens();
        let _ = write!(
            out,
            r#","usage":{{"prompt_tokens":{prompt},"total_tokens":{},"completion_tokens":{written},"completion_tokens_details":null}}"#,
            prompt + written
        );
    }

    pub(crate) fn choices(&self) -> usize {
        self.choices.len()
    }
}

/// Splits what has been written off the buffer.
pub(crate) fn take(out: &mut BytesMut) -> Bytes {
    out.split().freeze()
}
