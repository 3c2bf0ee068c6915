//! Work as the features of the models of speed: prompts and streams.

/// A prompt to be read, and what runs beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PromptWork {
    /// Tokens to compute.
    pub uncached: f64,
    /// Tokens found in the prefix cache.
    pub cached: f64,
    /// Streams that run on the same engine.
    pub streams: f64,
}

impl PromptWork {
    pub(crate) fn features(self) -> [f64; 4] {
        let pairs = self.uncached * (self.cached + self.uncached / 2.0);
        [1.0, self.uncached / 1e3, pairs / 1e6, self.streams / 10.0]
    }
}

/// The streams that run on one engine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamLoad {
    /// The number of streams.
    pub streams: f64,
    /// KV tokens they hold together.
    pub tokens: f64,
}

impl StreamLoad {
    pub(crate) fn features(self) -> [f64; 3] {
        [1.0, self.streams / 10.0, self.tokens / 1e5]
    }
}
