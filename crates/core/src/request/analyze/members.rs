//! The members of a body that the router knows, and where those are that a leg may change.

use crate::json::scanner::Key;
use crate::json::text::unescape;

/// A top-level member that the router reads, replaces or strips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Model,
    Stream,
    StreamOptions,
    Messages,
    Prompt,
    Input,
    MaxTokens,
    MaxCompletionTokens,
    MinTokens,
    N,
    BestOf,
    UseBeamSearch,
    Echo,
    PromptLogprobs,
    PromptEmbeds,
    DataParallelRank,
    ParentId,
    PreviousMessageId,
    PreviousResponseId,
    VllmXargs,
    SamplingParams,
    Priority,
    KvTransferParams,
    EcTransferParams,
    /// Any member whose name starts with `bootstrap_`.
    Bootstrap,
}

impl Name {
    const ALL: [Self; 24] = [
        Self::Model,
        Self::Stream,
        Self::StreamOptions,
        Self::Messages,
        Self::Prompt,
        Self::Input,
        Self::MaxTokens,
        Self::MaxCompletionTokens,
        Self::MinTokens,
        Self::N,
        Self::BestOf,
        Self::UseBeamSearch,
        Self::Echo,
        Self::PromptLogprobs,
        Self::PromptEmbeds,
        Self::DataParallelRank,
        Self::ParentId,
        Self::PreviousMessageId,
        Self::PreviousResponseId,
        Self::VllmXargs,
        Self::SamplingParams,
        Self::Priority,
        Self::KvTransferParams,
        Self::EcTransferParams,
    ];

    /// The member's name; for `bootstrap_*`, the prefix.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::Messages => "messages",
            Self::Prompt => "prompt",
            Self::Input => "input",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MinTokens => "min_tokens",
            Self::N => "n",
            Self::BestOf => "best_of",
            Self::UseBeamSearch => "use_beam_search",
            Self::Echo => "echo",
            Self::PromptLogprobs => "prompt_logprobs",
            Self::PromptEmbeds => "prompt_embeds",
            Self::DataParallelRank => "data_parallel_rank",
            Self::ParentId => "parent_id",
            Self::PreviousMessageId => "previous_message_id",
            Self::PreviousResponseId => "previous_response_id",
            Self::VllmXargs => "vllm_xargs",
            Self::SamplingParams => "sampling_params",
            Self::Priority => "priority",
            Self::KvTransferParams => "kv_transfer_params",
            Self::EcTransferParams => "ec_transfer_params",
            Self::Bootstrap => "bootstrap_",
        }
    }

    /// The known member that has this name, however it is escaped.
    pub(super) fn of(key: &Key<'_>) -> Option<Self> {
        let name = unescape(key.raw);
        if name.starts_with(Self::Bootstrap.as_str()) {
            return Some(Self::Bootstrap);
        }
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// Whether no endpoint may ever see a client's value of this member.
    pub(crate) const fn is_stripped(self) -> bool {
        matches!(self, Self::KvTransferParams | Self::EcTransferParams | Self::Bootstrap)
    }

    /// Whether a leg may cut, replace or add this member.
    const fn is_edited(self) -> bool {
        self.is_stripped()
            || matches!(
                self,
                Self::Stream
                    | Self::StreamOptions
                    | Self::MaxTokens
                    | Self::MaxCompletionTokens
                    | Self::MinTokens
                    | Self::N
                    | Self::Priority
            )
    }
}

/// Where a member is, as byte offsets into the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) name: Name,
    /// How many members come before it.
    pub(crate) index: u32,
    /// The end of the member before it, or of the object's brace.
    pub(crate) after_previous: u32,
    /// The opening quote of its name.
    pub(crate) key: u32,
    /// Its value.
    pub(crate) value: std::ops::Range<u32>,
    /// The opening quote of the name after it, or the object's closing brace.
    pub(crate) next: u32,
}

/// Where the members are that a leg may change, and where the object ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// In the order of the body.
    pub(crate) spots: Vec<Spot>,
    /// How many members there are, of any name.
    pub(crate) count: u32,
    /// The object's closing brace.
    pub(crate) close: u32,
    /// Where the last member so far ended.
    last_end: u32,
}

impl Members {
    /// An object whose opening brace ends at `at`, without members so far.
    pub(super) fn from_brace(at: usize) -> Self {
        Self { last_end: offset(at), ..Self::default() }
    }

    /// Adds the next member of the body, whose value was just read.
    pub(super) fn push(&mut self, name: Option<Name>, key: usize, value: std::ops::Range<usize>) {
        self.next_starts(offset(key));
        let value = offset(value.start)..offset(value.end);
        let after_previous = std::mem::replace(&mut self.last_end, value.end);
        if let Some(name) = name.filter(|name| name.is_edited()) {
            let (index, key) = (self.count, offset(key));
            self.spots.push(Spot { name, index, after_previous, key, value, next: 0 });
        }
        self.count += 1;
    }

    /// Notes that the object ends with the brace at `close`.
    pub(super) fn closed(&mut self, close: usize) {
        self.next_starts(offset(close));
        self.close = offset(close);
    }

    /// The number of members called `name`.
    pub(super) fn count_of(&self, name: Name) -> usize {
        self.spots.iter().filter(|spot| spot.name == name).count()
    }

    fn next_starts(&mut self, at: u32) {
        match self.spots.last_mut() {
            Some(spot) if spot.index + 1 == self.count => spot.next = at,
            _ => {}
        }
    }
}

/// Bodies of 4 GiB are refused before their members are read.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
