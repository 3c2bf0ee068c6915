//! The systems that are compared.

/// Which router it is: goals and ratios are between these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// No router: the stand-in itself.
    Direct,
    /// Ours, every request whole on one endpoint.
    Local,
    /// Ours, every request handed off.
    Handoff,
    /// Envoy.
    Envoy,
    /// vllm-router, round-robin.
    VllmRouter,
    /// vllm-router with prefill and decoding servers.
    VllmRouterPd,
    /// One given on the command line.
    Other(String),
}

impl Kind {
    /// Whether it is our router.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Local | Self::Handoff)
    }

    /// Row title and log name.
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
