//! Plans are carried out until one succeeds.

pub(crate) mod attempts;
mod legs;
mod turn;
pub(crate) mod upgrade;
