//! The number that stands for one endpoint in the prefix index.

use std::sync::atomic::{AtomicU32, Ordering};

/// A number that no two endpoints of this process share. *Why not a hash of the name*: at 32 bits two of some ten
/// thousand endpoints collide and would seem to hold each other's prefixes, and the index has no room for 64.
/// The default is the tag of no endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EndpointTag(u32);

/// The next tag. It wraps after 4 billion endpoints: at one new pod a second, after 136 years.
static NEXT: AtomicU32 = AtomicU32::new(1);

impl EndpointTag {
    /// A tag that was not handed out before.
    #[must_use]
    pub fn next() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
impl From<u32> for EndpointTag {
    fn from(tag: u32) -> Self {
        Self(tag)
    }
}
