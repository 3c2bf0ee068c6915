//! What a plan is expected to take.

/// What is expected of a plan. Seconds and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Until the first token.
    pub ttft: f64,
    /// Between tokens.
    pub itl: f64,
    /// Until it is the prompt's turn.
    pub wait: f64,
    /// Prompt tokens in the prefix cache of who reads it.
    pub cached: f64,
    /// Prompt tokens whose KV is moved.
    pub moved: f64,
}
