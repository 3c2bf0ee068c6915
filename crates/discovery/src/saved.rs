//! The file in which a router saves its routes: the pushes that are in use, behind a checksum.

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

use crate::Version;
use crate::proto::{SavedRoute, SavedRoutes};

/// One route: its name, the version and the body of its last push.
pub type Saved = (String, Version, Bytes);

/// The first bytes of every file; the last one is the version of the format.
const MAGIC: &[u8; 8] = b"qoe-rt\0\x01";

/// Why a file cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Damaged {
    /// It does not begin as such a file does.
    #[error("it is not a file of saved routes, or is one of another release")]
    Foreign,
    /// Its checksum does not match: it was cut or changed.
    #[error("it is incomplete or damaged")]
    Incomplete,
}

/// Encodes routes as the content of a file.
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

/// Decodes the content of a file.
///
/// # Errors
/// It was not made by [`encode`].
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

/// FNV-1a. It detects half-written files, not malice.
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
