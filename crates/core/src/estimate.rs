//! Estimators of numbers that change over time.
//!
//! Must not know: LLMs, endpoints, requests.

pub mod average;
pub mod bias;
pub mod fade;
pub mod likeness;
pub mod rate;
pub mod rls;
mod uncertainty;
