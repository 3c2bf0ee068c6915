//! The routers that are compared.

/// The kinds of routers, between which ratios and goals are computed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouterKind {
    /// No router: load goes directly to the stand-in backend.
    Direct,
    /// qoe-router without handoff.
    Local,
    /// qoe-router with a handoff for every request.
    Handoff,
    /// Envoy.
    Envoy,
    /// vllm-router, round-robin.
    VllmRouter,
    /// vllm-router with prefill and decoding servers.
    VllmRouterPd,
    /// A router given on the command line.
    Other(String),
}

impl RouterKind {
    /// Whether it is qoe-router.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Local | Self::Handoff)
    }

    /// The row title and log name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Direct => "direct",
            Self::Local => "ours-local",
            Self::Handoff => "ours-handoff",
            Self::Envoy => "envoy",
            Self::VllmRouter => "vllm-router",
            Self::VllmRouterPd => "vllm-router-pd",
            Self::Other(name) => name,
        }
    }
}
