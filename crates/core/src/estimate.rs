//! Estimators of numbers that change over time. They know nothing of LLMs, endpoints or requests.

pub mod bias;
pub mod rls;
mod uncertainty;
