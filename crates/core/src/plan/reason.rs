//! Why a plan is what it is.

use serde::{Serialize, Serializer};

use crate::request::analyze::WholeReason;

/// Why a plan is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request is in its prefill phase, so prefill and decoding are disaggregated.
    PrefillPhase,
    /// The request continues a conversation, so a decoding endpoint serves it whole.
    DecodingPhase,
    /// The prompt is too short for a handoff to pay.
    ShortPrompt,
    /// The route never hands off.
    HandoffNever,
    /// No prefill endpoint can be used.
    PrefillPoolEmpty,
    /// No decoding endpoint can be used.
    DecodingPoolEmpty,
    /// No prefill and decoding endpoint have both a connector and a group in common.
    NoPair,
    /// Prefill was tried and failed.
    PrefillFailed,
    /// Prefill answered without usable KV parameters.
    KvParamsMissing,
    /// KV caches handed off by the prefill endpoints failed to load lately.
    KvDistrusted,
    /// A handoff was tried and decoding failed.
    HandoffFailed,
    /// The request is of a kind that one endpoint serves whole.
    Whole(WholeReason),
    /// The endpoint holds the stored response that the request continues.
    StoredResponse,
    /// The first token is expected sooner with this plan.
    FirstTokenSooner,
    /// The plan costs other requests less: streams are not stalled by the prompt.
    StreamsSpared,
    /// The ITL is expected to be lower with this plan.
    StreamFaster,
    /// Most of the prompt is expected in the endpoint's prefix cache.
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
