//! Every decision of the product, and nothing that acts on one.
//!
//! Owns: what a request is and needs (analyze, json, splice), what a stream tells (sse, qoe),
//! what an endpoint is and how it does (phase, exposition), what to do with a request, and how many
//! endpoints each phase needs (scale).
//! Must not: do IO, spawn, read a clock or an RNG of its own. `now` and `&mut impl Rng` are arguments, so the same
//! code runs in the proxy and in virtual time.

pub mod admit;
pub mod analyze;
pub mod answer;
pub mod bias;
pub mod budget;
pub mod connector;
pub mod endpoint;
pub mod exposition;
pub mod flight;
pub mod json;
pub mod learn;
pub mod lengths;
pub mod line;
pub mod memory;
pub mod phase;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod prefix;
pub mod qoe;
pub mod scale;
pub mod signals;
pub mod speed;
pub mod splice;
pub mod sse;
pub mod track;
