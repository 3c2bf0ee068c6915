//! Events of a stream, with members in vLLM's order.
//!
//! Each event begins with a prepared opening, so a token costs a few copies and no JSON tree.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use crate::engine::request::{Prefilled, Reason};
use crate::text::{Token, append_token, detokenize};
use crate::wire::answer::{Choice, FINGERPRINT, Head, quoted, reason_name, sum_prefilled};
use crate::wire::body::Api;

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

    /// Writes the first event of a choice: the role of a chat, or the prompt that is echoed.
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

    /// Writes one token. For the last token of a choice, `end` has the reason and whether all choices have ended.
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

    /// Writes the usage event, if it was requested, and the end of the stream.
    pub(crate) fn end(&self, out: &mut BytesMut) {
        if self.head.include_usage {
            self.begin(out);
            let written: usize = self.choices.iter().map(|choice| choice.tokens.len()).sum();
            let prompt = self.head.prompt_tokens();
            let Prefilled { cached, created } = sum_prefilled(&self.choices, self.head.samples);
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

    /// Writes an error and the end of the stream.
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
