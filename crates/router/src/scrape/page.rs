//! One page of an endpoint.

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request};
use qoe_core::request::splice::Segments;

use crate::scrape::slots::WITHIN;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::exchange::read_all;
use crate::upstream::leg::Leg;
use crate::upstream::request;

/// The largest page in bytes that is read. An engine of vLLM publishes 60 kB, a server one set for each data-parallel
/// rank: this is enough for 64 of them. At half, the largest servers would not be read; at double, all slots together
/// could hold 512 MiB.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// Reads one page, over `connection` if it is still open; an empty one where there is no such page. Leaves the
/// connection for the next page.
///
/// # Errors
/// The endpoint cannot be reached, breaks off, or sends more than [`MAX_BYTES`].
pub(super) async fn get(
    authority: &str,
    idle: &mut Option<Connection>,
    path: &'static str,
) -> Result<Bytes, UpstreamError> {
    let make = || {
        let mut request = Request::new(Leg::from(Segments::from(Bytes::new())));
        *request.uri_mut() = http::Uri::from_static(path);
        let host = HeaderValue::from_str(authority);
        request.headers_mut().insert(HOST, host.expect("an authority is a valid header value"));
        request
    };
    let open = || Connection::open(authority, WITHIN);
    let (head, exchange) = request::request(idle.take(), open, make).await?;
    let (page, exchange) = read_all(exchange, MAX_BYTES).await?;
    *idle = exchange.into_idle();
    Ok(if head.status.is_success() { page } else { Bytes::new() })
}
