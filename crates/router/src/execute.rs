//! Plans are carried out until one succeeds.

pub(crate) mod attempts;
pub(crate) mod call;
pub(crate) mod first_bytes;
mod legs;
pub(crate) mod serve;
pub(crate) mod setback;
mod tunnel;
mod turn;
pub(crate) mod upgrade;
