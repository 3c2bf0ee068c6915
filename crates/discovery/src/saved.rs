//! Routes as a router keeps them on disk: the pushes that are in use, behind a checksum.

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

use crate::Version;
use crate::proto::{SavedRoute, SavedRoutes};

/// One route: its name, the version and the body of its last push.
pub type Saved = (String, Version, Bytes);

/// Begins every file; the last byte counts formats.
const MAGIC: &[u8; 8] = b"qoe-rt\0\x01";

/// Why bytes are not what was saved.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Damaged {
    /// It begins otherwise.
    #[error("it is not a file of saved routes, or of another release")]
    Foreign,
    /// It is not whole.
    #[error("it is not whole")]
    Incomplete,
}

/// The bytes to save.
#[must_use]
pub fn encode<'a>(routes: impl Iterator<Item = (&'a str, &'a Version, &'a Bytes)>) -> Vec<u8> {
    let routes = routes.map(|(route, version, body)| SavedRoute {
        route: route.to_owned(),
        version: Some(*version),
        body: body.clone(),
    });
    let routes = SavedRoutes { routes: routes.collect() };
    let body = routes.encode_to_vec();
    [MAGIC.as_slice(), &checksum(&body).to_be_bytes(), &body].concat()
}

/// What was saved.
///
/// # Errors
/// The bytes are not what [`encode`] made.
pub fn decode(bytes: &[u8]) -> Result<Vec<Saved>, Damaged> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Damaged::Foreign)?;
    let (sum, body) = rest.split_first_chunk().ok_or(Damaged::Incomplete)?;
    if u64::from_be_bytes(*sum) != checksum(body) {
        return Err(Damaged::Incomplete);
    }
    let routes = SavedRoutes::decode(body).map_err(|_| Damaged::Incomplete)?.routes;
    let of = |saved: SavedRoute| (saved.route, saved.version.unwrap_or_default(), saved.body);
    Ok(routes.into_iter().map(of).collect())
}

/// FNV-1a: against half-written files, not against malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_what_is_read_and_nothing_damaged_is() {
        let (version, body) = (Version { pods: 3, routes: 4 }, Bytes::from_static(b"body"));
        let bytes = encode([("a/b", &version, &body)].into_iter());
        assert_eq!(decode(&bytes), Ok(vec![("a/b".to_owned(), version, body)]));
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
            let mut changed = bytes.clone();
            changed[end] ^= 1;
            assert!(decode(&changed).is_err(), "changed at {end}");
        }
        assert_eq!(decode(&[]), Err(Damaged::Foreign));
    }
}
