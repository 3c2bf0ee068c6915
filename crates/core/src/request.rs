//! What a client's request asks for, read from its bytes, and the bodies of the legs that are made from it.
//!
//! Must not know: routes, endpoints, plans.

pub mod analyze;
pub mod multipart;
pub mod splice;
