//! Headers of requests and answers: what is passed on, what is not, and what the router adds.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use rand::RngExt;

/// The header that names a request; on both legs, and on the answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header by which a client asks for the plan.
pub(crate) const EXPLAIN: HeaderName = HeaderName::from_static("x-qoe-explain");

/// Longest request id that is kept, in bytes; a longer one is replaced. UUIDs and trace ids have 36 and 55. An id
/// is copied into each leg, log line and record: double costs that much more, half could cut ids of some gateways.
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
const STEERING: [HeaderName; 5] = [
    HeaderName::from_static("x-prefiller-host-port"),
    HeaderName::from_static("x-prefiller-url"),
    HeaderName::from_static("x-encoder-hosts-ports"),
    HeaderName::from_static("x-kv-cache-source-host-port"),
    HeaderName::from_static("proxy-authorization"),
];

/// All headers that begin with this steer, too.
const STEERING_PREFIX: &str = "x-gateway-destination-endpoint";

/// Removes what belongs to one connection, including what `Connection` names.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
        let named =
            lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok());
        let named: Vec<HeaderName> = named.collect();
        named.iter().for_each(|name| drop(headers.remove(name)));
    }
    // Chunks override a length beside them (RFC 9112, 6.3): passed on alone, it would cut the message.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    HOP_BY_HOP.iter().for_each(|name| drop(headers.remove(name)));
}

/// Makes a client's headers those of a leg: nothing of the connection, nothing that steers, framing anew.
pub(crate) fn prepare(headers: &mut HeaderMap, request_id: &HeaderValue) {
    strip_hop_by_hop(headers);
    STEERING.iter().for_each(|name| drop(headers.remove(name)));
    let steers = |name: &&HeaderName| name.as_str().starts_with(STEERING_PREFIX);
    while let Some(name) = headers.keys().find(steers).cloned() {
        headers.remove(name);
    }
    for name in [HOST, CONTENT_LENGTH, EXPECT, ACCEPT_ENCODING, EXPLAIN] {
        headers.remove(name);
    }
    headers.insert(REQUEST_ID, request_id.clone());
}

/// The bytes of these headers in a message of HTTP/1.
pub(crate) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
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

/// Whether a client asks for a WebSocket. Offers of other protocols (`h2c`, of some clients with every request) are
/// passed over, as RFC 9110, 7.8, allows.
pub(crate) fn is_websocket<B>(request: &Request<B>) -> bool {
    let says = |name, wanted: &str| {
        let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|v| v.trim().eq_ignore_ascii_case(wanted))
    };
    request.method() == Method::GET && says(UPGRADE, "websocket") && says(CONNECTION, "upgrade")
}

/// Tells an HTTP/1 client that this answer is the last of its connection.
pub(crate) fn say_last<B>(response: &mut Response<B>, version: Version) {
    if version <= Version::HTTP_11 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
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
            ("x-gateway-destination-endpoint-subset", "evil:1"),
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

    #[test]
    fn what_connection_names_is_of_the_connection() {
        let mut several =
            headers(&[("connection", "X-One , x-two"), ("x-one", "1"), ("x-two", "2")]);
        several.append("connection", HeaderValue::from_static("x-three"));
        several.insert("x-three", HeaderValue::from_static("3"));
        several.insert("x-four", HeaderValue::from_static("4"));
        strip_hop_by_hop(&mut several);
        let left: Vec<_> = several.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-four"]);
    }

    #[test]
    fn a_length_beside_chunks_is_not_passed_on() {
        let mut chunked = headers(&[("transfer-encoding", "chunked"), ("content-length", "3")]);
        strip_hop_by_hop(&mut chunked);
        assert!(chunked.is_empty());
        let mut sized = headers(&[("content-length", "3")]);
        strip_hop_by_hop(&mut sized);
        assert_eq!(sized[CONTENT_LENGTH], "3");
    }

    #[test]
    fn request_ids_of_any_sensible_length_are_kept() {
        let mut rng = SmallRng::seed_from_u64(1);
        for (length, kept) in [(0, false), (1, true), (256, true), (257, false)] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::try_from("x".repeat(length)).unwrap());
            let id = request_id(&headers, &mut rng);
            assert_eq!(id == headers[REQUEST_ID], kept, "{length}");
        }
    }

    #[test]
    fn event_streams_are_known_by_their_type() {
        for (value, is) in [
            ("text/event-stream", true),
            ("text/event-stream; charset=utf-8", true),
            ("application/json", false),
        ] {
            assert_eq!(is_event_stream(&headers(&[("content-type", value)])), is, "{value}");
        }
        assert!(!is_event_stream(&HeaderMap::new()));
    }

    #[test]
    fn only_a_get_that_asks_for_a_websocket_is_upgraded() {
        let websocket = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        for (method, pairs, is) in [
            (Method::GET, &websocket[..], true),
            (Method::POST, &websocket, false),
            (Method::GET, &websocket[..1], false),
            (Method::GET, &websocket[1..], false),
            (Method::GET, &[("connection", "upgrade"), ("upgrade", "h2c")], false),
        ] {
            let mut request = Request::new(());
            *request.method_mut() = method;
            *request.headers_mut() = headers(pairs);
            assert_eq!(is_websocket(&request), is, "{request:?}");
        }
    }

    #[test]
    fn an_http1_client_is_told_of_its_last_answer() {
        for (version, status, told) in [
            (Version::HTTP_10, 200, true),
            (Version::HTTP_11, 200, true),
            (Version::HTTP_11, 101, false),
            (Version::HTTP_2, 200, false),
        ] {
            let mut response = Response::builder().status(status).body(()).unwrap();
            say_last(&mut response, version);
            assert_eq!(response.headers().contains_key(CONNECTION), told, "{version:?} {status}");
        }
    }
}
