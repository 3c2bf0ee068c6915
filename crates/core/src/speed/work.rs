//! Work as the models of speed see it: prompts and streams.

/// A prompt as work: what has to be computed of it, and beside what.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PromptWork {
    /// Tokens to compute.
    pub uncached: f64,
    /// Tokens found in the prefix cache.
    pub cached: f64,
    /// Streams of the same engine.
    pub streams: f64,
}

impl PromptWork {
    pub(crate) fn features(self) -> [f64; 4] {
        let pairs = self.uncached * (self.cached + self.uncached / 2.0);
        [1.0, self.uncached / 1e3, pairs / 1e6, self.streams / 10.0]
    }
}

/// Streams as load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamLoad {
    /// How many.
    pub streams: f64,
    /// KV tokens they hold together.
    pub tokens: f64,
}

impl StreamLoad {
    pub(crate) fn features(self) -> [f64; 3] {
        [1.0, self.streams / 10.0, self.tokens / 1e5]
    }
}
