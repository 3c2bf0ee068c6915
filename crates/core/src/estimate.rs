//! Estimators of numbers that change over time. They know nothing of LLMs, endpoints or requests.

pub mod average;
pub mod bias;
pub mod fade;
pub mod likeness;
pub mod rate;
pub mod rls;
mod uncertainty;
