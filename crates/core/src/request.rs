//! What a client's request is and needs, read from its bytes, and the bodies of the legs that are made from it.

pub mod analyze;
pub mod multipart;
pub mod splice;
