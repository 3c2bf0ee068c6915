//! Why a body is refused.

use thiserror::Error;

use crate::json::error::JsonError;

/// Why a body is refused. All of these are the client's: 400.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnalyzeError {
    /// Not a JSON object.
    #[error("body is not a JSON object: {0}")]
    Body(#[from] JsonError),
    /// 4 GiB or more.
    #[error("body is too large: {0} bytes")]
    TooLarge(usize),
    /// A member that the router reads or strips is there twice.
    #[error("body has `{member}` twice, again at byte {at}: send it once")]
    Duplicate {
        /// The member.
        member: &'static str,
        /// Offset of the second.
        at: usize,
    },
    /// A member has a value of another type.
    #[error("`{member}` must be {expected}, at byte {at}")]
    WrongType {
        /// The member.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
        /// Offset of the value.
        at: usize,
    },
    /// Transfer parameters where the engine would take them for the router's.
    #[error(
        "`{member}` must not hold `{key}`, at byte {at}: transfer parameters are the router's to set"
    )]
    Reserved {
        /// The member.
        member: &'static str,
        /// What is inside it.
        key: &'static str,
        /// Offset of the latter.
        at: usize,
    },
    /// More members to strip than any client has a reason to send.
    #[error("body has too many `bootstrap_*` members, at byte {at}: leave them out")]
    TooManyStripped {
        /// Offset of the first one too many.
        at: usize,
    },
}

impl AnalyzeError {
    /// The member at fault: `param` of an OpenAI-shaped error.
    #[must_use]
    pub const fn param(&self) -> Option<&'static str> {
        match self {
            Self::Duplicate { member, .. }
            | Self::WrongType { member, .. }
            | Self::Reserved { member, .. } => Some(member),
            Self::Body(_) | Self::TooLarge(_) | Self::TooManyStripped { .. } => None,
        }
    }
}
