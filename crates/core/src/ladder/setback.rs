//! What can go wrong with a plan before the first byte of its answer.

/// How an endpoint failed a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegFailure {
    /// No usable answer came: no connection, a broken one, a timeout, an aborted stream, a redirect.
    NoAnswer,
    /// The stream began with an error event.
    ErrorEvent,
    /// The answer has this HTTP status, which is no success.
    Status(u16),
}

impl LegFailure {
    /// Whether the request itself is at fault, so that every endpoint would answer the same. 429 is not: it says
    /// that this endpoint has too many requests.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Status(400..=428 | 430..=499))
    }

    /// Whether it speaks against the endpoint's health. 429 and 503 do not: a full queue is no illness.
    #[must_use]
    pub const fn is_ill(self) -> bool {
        matches!(self, Self::NoAnswer | Self::ErrorEvent | Self::Status(500..=502 | 504..=599))
    }

    /// Whether vLLM answers so when a KV cache that was handed over cannot be loaded: with 500, or with an error event
    /// if the head of the stream was sent already.
    #[must_use]
    pub const fn could_be_kv_failure(self) -> bool {
        matches!(self, Self::ErrorEvent | Self::Status(500))
    }
}

/// What went wrong with a plan before the first byte of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// The prefill endpoint has no connector to hand over with; nothing was sent.
    NoConnector,
    /// The prefill leg failed.
    Prefill(LegFailure),
    /// The prefill leg was answered without KV parameters that a decoding endpoint can use.
    NoKvParams,
    /// The leg whose answer the client gets failed.
    Answer(LegFailure),
}

impl Setback {
    /// Whether no other plan would do better.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Prefill(failure) | Self::Answer(failure) => failure.is_final(),
            Self::NoConnector | Self::NoKvParams => false,
        }
    }

    /// Whether it speaks against the health of the endpoint that failed.
    #[must_use]
    pub const fn is_ill(self) -> bool {
        match self {
            Self::Prefill(failure) | Self::Answer(failure) => failure.is_ill(),
            Self::NoConnector | Self::NoKvParams => false,
        }
    }

    /// Whether the endpoint does not know what the request refers to.
    #[must_use]
    pub(super) const fn is_not_found(self) -> bool {
        matches!(self, Self::Answer(LegFailure::Status(404)))
    }
}
