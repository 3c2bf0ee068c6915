//! The figures of one run.
//!
//! Latencies are those of requests that got a token. QoE, SLA and goodput count all requests, so that a policy gains
//! nothing by refusing slow ones.

pub mod figures;
pub mod summarize;

#[cfg(test)]
mod tests;

const GIB: f64 = (1u64 << 30) as f64;
