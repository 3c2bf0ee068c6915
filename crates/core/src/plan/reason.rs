//! Why a plan is what it is.

use serde::{Serialize, Serializer};

use crate::request::analyze::WholeReason;

/// Why a plan is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request begins with its prompt: the phases are parted.
    PrefillPhase,
    /// A conversation goes on: it goes whole to a decoding endpoint.
    DecodingPhase,
    /// The prompt is too short for a handoff to pay.
    ShortPrompt,
    /// The route hands nothing over.
    HandoffNever,
    /// No prefill endpoint can be used.
    PrefillPoolEmpty,
    /// No decoding endpoint can be used.
    DecodingPoolEmpty,
    /// No pair of endpoints has a connector, and a group, in common.
    NoPair,
    /// Prefill was tried and failed.
    PrefillFailed,
    /// Prefill answered without usable KV parameters.
    KvParamsMissing,
    /// KV caches handed over by the prefill endpoints could not be used lately.
    KvDistrusted,
    /// A handoff was tried and decoding failed.
    HandoffFailed,
    /// The request is of a kind that one endpoint serves whole.
    Whole(WholeReason),
    /// The endpoint that holds the conversation.
    StoredResponse,
    /// The first token is expected sooner this way.
    FirstTokenSooner,
    /// Streams of the endpoint that would serve it whole are spared the reading of its prompt.
    StreamsSpared,
    /// Its tokens are expected faster this way.
    StreamFaster,
    /// Most of the prompt is expected in the prefix cache there.
    PrefixCached,
}

impl Reason {
    /// The reason's name in headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrefillPhase => "prefill_phase",
            Self::DecodingPhase => "decoding_phase",
            Self::ShortPrompt => "short_prompt",
            Self::HandoffNever => "handoff_never",
            Self::PrefillPoolEmpty => "prefill_pool_empty",
            Self::DecodingPoolEmpty => "decoding_pool_empty",
            Self::NoPair => "no_pair",
            Self::PrefillFailed => "prefill_failed",
            Self::KvParamsMissing => "kv_params_missing",
            Self::KvDistrusted => "kv_distrusted",
            Self::HandoffFailed => "handoff_failed",
            Self::Whole(why) => why.as_str(),
            Self::StoredResponse => "stored_response",
            Self::FirstTokenSooner => "first_token_sooner",
            Self::StreamsSpared => "streams_spared",
            Self::StreamFaster => "stream_faster",
            Self::PrefixCached => "prefix_cached",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
