//! One walk over a body.

use crate::json::error::JsonError;
use crate::json::scanner::Scanner;
use crate::json::value::{Kind, Value};
use crate::phase::Phase;
use crate::request::analyze::analysis::{Api, WholeReason};
use crate::request::analyze::error::AnalyzeError;
use crate::request::analyze::lenient::{self, Read};
use crate::request::analyze::members::{Members, Name};
use crate::request::analyze::nested::{self, MAX_NAME_BYTES, Prompt};

/// The most `bootstrap_*` members of one body. Each is cut out, which costs one more piece of the leg's body. SGLang
/// sends three or four.
const MAX_BOOTSTRAP: usize = 16;

/// What a body asks for.
#[derive(Default)]
pub(super) struct BodyFacts {
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) previous_response_id: Option<String>,
    pub(super) prompt: Prompt,
    pub(super) members: Members,
    /// One bit for each [`Name`] that was read.
    seen: u32,
    /// The request names an earlier message or response.
    continues: bool,
    has_messages: bool,
    has_assistant: bool,
    messages_bytes: usize,
    prompt_bytes: usize,
    input_bytes: usize,
    pub(super) prompt_at: usize,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    whole: Option<WholeReason>,
}

impl BodyFacts {
    pub(super) fn of(body: &[u8]) -> Result<Self, AnalyzeError> {
        if u32::try_from(body.len()).is_err() {
            return Err(AnalyzeError::TooLarge(body.len()));
        }
        let mut scan = Scanner::new(body)?;
        let mut open = scan.object()?;
        let mut facts = Self { members: Members::from_brace(scan.position()), ..Self::default() };
        while let Some(key) = scan.key(&mut open)? {
            let name = Name::of(&key);
            scan.peek()?;
            let start = scan.position();
            match name {
                Some(name) => {
                    facts.only_once(name, key.at)?;
                    facts.read(name, &mut scan)?;
                }
                None => drop(scan.skip()?),
            }
            facts.members.push(name, key.at, start..scan.position());
        }
        facts.members.closed(scan.position() - 1);
        scan.end()?;
        Ok(facts)
    }

    fn only_once(&mut self, name: Name, at: usize) -> Result<(), AnalyzeError> {
        if name == Name::Bootstrap {
            let room = self.members.count_of(name) < MAX_BOOTSTRAP;
            return if room { Ok(()) } else { Err(AnalyzeError::TooManyStripped { at }) };
        }
        let bit = 1 << name as u32;
        if self.seen & bit != 0 {
            return Err(AnalyzeError::Duplicate { member: name.as_str(), at });
        }
        self.seen |= bit;
        Ok(())
    }

    fn read(&mut self, name: Name, scan: &mut Scanner<'_>) -> Result<(), AnalyzeError> {
        let start = scan.position();
        match name {
            Name::Messages => {
                self.prompt_at = start;
                self.messages(scan)?;
                self.messages_bytes = scan.position() - start;
            }
            Name::Prompt => {
                self.prompt_at = start;
                self.prompt = nested::prompt(scan)?;
                self.prompt_bytes = scan.position() - start;
            }
            Name::Input => self.input_bytes = scan.skip()?.raw.len(),
            Name::StreamOptions => self.stream_options(scan)?,
            Name::VllmXargs => nested::extra_arguments(name, scan)?,
            Name::SamplingParams => nested::sampling_params(scan)?,
            _ => self.scalar(name, &scan.skip()?)?,
        }
        Ok(())
    }

    fn scalar(&mut self, name: Name, value: &Value<'_>) -> Result<(), AnalyzeError> {
        match name {
            Name::Model => self.model = string(name, value)?,
            Name::Stream => self.stream = stream(value)?,
            Name::PreviousResponseId => {
                self.previous_response_id = string(name, value)?;
                self.continues |= !value.is_null();
            }
            Name::ParentId | Name::PreviousMessageId => self.continues |= !value.is_null(),
            Name::MaxTokens => self.max_tokens = self.limit(value),
            Name::MaxCompletionTokens => self.max_completion_tokens = self.limit(value),
            Name::N | Name::BestOf => match lenient::integer(value) {
                Read::Null | Read::Is(1) => {}
                Read::Is(_) | Read::Unreadable => self.must_be_whole(WholeReason::Several),
            },
            Name::UseBeamSearch => self.whole_if_set(value, WholeReason::BeamSearch),
            Name::Echo => self.whole_if_set(value, WholeReason::Echo),
            Name::PromptLogprobs if !value.is_null() => {
                self.must_be_whole(WholeReason::PromptLogprobs)
            }
            Name::PromptEmbeds if !value.is_null() => self.must_be_whole(WholeReason::PromptEmbeds),
            Name::DataParallelRank if !value.is_null() => self.must_be_whole(WholeReason::Pinned),
            _ => {}
        }
        Ok(())
    }

    fn limit(&mut self, value: &Value<'_>) -> Option<i64> {
        match lenient::integer(value) {
            Read::Null => None,
            Read::Is(limit) if u32::try_from(limit).is_ok() => Some(limit),
            Read::Is(_) | Read::Unreadable => {
                self.must_be_whole(WholeReason::Unreadable);
                None
            }
        }
    }

    fn whole_if_set(&mut self, value: &Value<'_>, reason: WholeReason) {
        match lenient::flag(value) {
            Read::Null | Read::Is(false) => {}
            Read::Is(true) | Read::Unreadable => self.must_be_whole(reason),
        }
    }

    /// Notes a reason to serve the request whole; the first one in the body is reported.
    fn must_be_whole(&mut self, reason: WholeReason) {
        self.whole.get_or_insert(reason);
    }

    /// Looks for an assistant message.
    fn messages(&mut self, scan: &mut Scanner<'_>) -> Result<(), JsonError> {
        let kind = scan.peek()?;
        if kind != Kind::Array {
            return scan.skip().map(drop);
        }
        self.has_messages = true;
        let mut list = scan.array()?;
        while scan.item(&mut list)? {
            self.has_assistant |= nested::is_assistant(scan)?;
        }
        Ok(())
    }

    fn stream_options(&mut self, scan: &mut Scanner<'_>) -> Result<(), JsonError> {
        if scan.peek()? != Kind::Object {
            return scan.skip().map(drop);
        }
        let mut options = scan.object()?;
        while let Some(key) = scan.key(&mut options)? {
            let value = scan.skip()?;
            if key.is("include_usage") {
                self.include_usage = lenient::flag(&value) == Read::Is(true);
            }
        }
        Ok(())
    }

    pub(super) fn phase(&self) -> Phase {
        if self.continues || self.has_assistant { Phase::Decoding } else { Phase::Prefill }
    }

    pub(super) fn prompt_bytes(&self, api: Api) -> usize {
        match api {
            Api::ChatCompletions => self.messages_bytes,
            Api::Completions => self.prompt_bytes,
            Api::Other => self.messages_bytes + self.prompt_bytes + self.input_bytes,
        }
    }

    pub(super) fn max_tokens(&self) -> Option<u32> {
        self.max_completion_tokens.or(self.max_tokens).and_then(|limit| u32::try_from(limit).ok())
    }

    pub(super) fn whole(&self, api: Api) -> Option<WholeReason> {
        let of_prompt = match (api, self.prompt) {
            (Api::Other, _) => return Some(WholeReason::OtherApi),
            (Api::ChatCompletions, _) => (!self.has_messages).then_some(WholeReason::Unreadable),
            (Api::Completions, Prompt::None) => Some(WholeReason::Unreadable),
            (Api::Completions, Prompt::Batch) => Some(WholeReason::Batch),
            (Api::Completions, Prompt::Text | Prompt::Tokens(_)) => None,
        };
        let single = self.max_tokens().is_some_and(|limit| limit <= 1);
        self.whole.or(of_prompt).or(single.then_some(WholeReason::SingleToken))
    }
}

/// The string that `member` is; `None` for `null`.
fn string(member: Name, value: &Value<'_>) -> Result<Option<String>, AnalyzeError> {
    let wrong =
        |expected| AnalyzeError::WrongType { member: member.as_str(), expected, at: value.at };
    match value.kind {
        Kind::Null => Ok(None),
        Kind::String if value.raw.len() > MAX_NAME_BYTES => Err(wrong("at most 1022 bytes long")),
        _ => value.text().map(|text| Some(text.into_owned())).ok_or_else(|| wrong("a string")),
    }
}

fn stream(value: &Value<'_>) -> Result<bool, AnalyzeError> {
    match lenient::flag(value) {
        Read::Null => Ok(false),
        Read::Is(stream) => Ok(stream),
        Read::Unreadable => Err(AnalyzeError::WrongType {
            member: Name::Stream.as_str(),
            expected: "a boolean",
            at: value.at,
        }),
    }
}
