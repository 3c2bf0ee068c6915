//! The forecast for a plan.

/// What a plan is expected to take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Seconds until the first token.
    pub ttft: f64,
    /// Seconds between tokens.
    pub itl: f64,
    /// Seconds until the prompt's turn at the endpoint that reads it.
    pub wait: f64,
    /// Prompt tokens in the prefix cache of the endpoint that reads it.
    pub cached: f64,
    /// Prompt tokens whose KV cache is moved.
    pub moved: f64,
}
