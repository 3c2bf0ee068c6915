//! Headers: what is not passed on.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};
use rand::RngExt;

/// The header that names a request; on both legs, and on the answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header by which a client asks for the plan.
pub(crate) const EXPLAIN: HeaderName = HeaderName::from_static("x-qoe-explain");

/// A longer id than this is replaced.
const LONGEST_REQUEST_ID: usize = 256;

/// Headers of one connection, not of a message (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers by which other routers steer: from a client they would reach hosts that nobody chose.
const STEERING: [HeaderName; 8] = [
    HeaderName::from_static("x-prefiller-host-port"),
    HeaderName::from_static("x-prefiller-url"),
    HeaderName::from_static("x-encoder-hosts-ports"),
    HeaderName::from_static("x-gateway-destination-endpoint"),
    HeaderName::from_static("x-gateway-destination-endpoint-subset"),
    HeaderName::from_static("x-gateway-destination-endpoint-served"),
    HeaderName::from_static("x-kv-cache-source-host-port"),
    HeaderName::from_static("proxy-authorization"),
];

/// Removes what belongs to one connection, including what `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(connection) = headers.get(CONNECTION) {
        let named: Vec<HeaderName> = connection
            .to_str()
            .unwrap_or_default()
            .split(',')
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        named.iter().for_each(|name| drop(headers.remove(name)));
    }
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
}

/// Makes a client's headers those of a leg: nothing of the connection, nothing that steers, framing anew.
pub(crate) fn prepare(headers: &mut HeaderMap, request_id: &HeaderValue) {
    strip_hop_by_hop(headers);
    STEERING.iter().for_each(|name| drop(headers.remove(name)));
    for name in [HOST, CONTENT_LENGTH, EXPECT, ACCEPT_ENCODING, EXPLAIN] {
        headers.remove(name);
    }
    headers.insert(REQUEST_ID, request_id.clone());
}

/// The request's id: the client's, if it is a sensible one, else a new one.
pub(crate) fn request_id(headers: &HeaderMap, rng: &mut impl rand::Rng) -> HeaderValue {
    let sensible = |id: &&HeaderValue| {
        (1..=LONGEST_REQUEST_ID).contains(&id.len())
            && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(sensible).cloned().unwrap_or_else(|| {
        let id = format!("{:032x}", rng.random::<u128>());
        HeaderValue::try_from(id).expect("hexadecimal is a valid header value")
    })
}

/// Whether a body is a stream of events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let event_stream = |value: &HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
    headers.get(CONTENT_TYPE).is_some_and(event_stream)
}

/// Whether a client asks for another protocol on its connection.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let names_upgrade = |value: &HeaderValue| {
        value.to_str().is_ok_and(|v| v.split(',').any(|v| v.trim().eq_ignore_ascii_case("upgrade")))
    };
    headers.contains_key(UPGRADE) && headers.get(CONNECTION).is_some_and(names_upgrade)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(k, v): &(&'static str, &'static str)| {
            (HeaderName::from_static(k), HeaderValue::from_static(v))
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn nothing_of_the_connection_and_nothing_that_steers_is_passed_on() {
        let mut headers = headers(&[
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("keep-alive", "1"),
            ("x-prefiller-host-port", "evil:1"),
            ("x-gateway-destination-endpoint", "evil:1"),
            ("content-length", "3"),
            ("authorization", "Bearer x"),
        ]);
        prepare(&mut headers, &HeaderValue::from_static("r1"));
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["authorization", "x-request-id"]);
    }

    #[test]
    fn a_sensible_request_id_is_kept_and_any_other_replaced() {
        let mut rng = SmallRng::seed_from_u64(1);
        let kept = request_id(&headers(&[("x-request-id", "abc-1")]), &mut rng);
        assert_eq!(kept, "abc-1");
        let made = request_id(&headers(&[("x-request-id", "with space")]), &mut rng);
        assert_eq!(made.len(), 32);
        assert_ne!(made, request_id(&HeaderMap::new(), &mut rng));
    }
}
