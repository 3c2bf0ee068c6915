//! Reads a request's body whole, within limits of size, time and memory.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::failure::Failure;
use crate::shared::body_memory::Reserved;

/// A request's body must come within this.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// Memory is taken ahead for an announced body, but not more than this: the rest may never come.
const RESERVE_AHEAD: usize = 4 << 20;

/// The body, whole.
pub(crate) async fn read(
    body: Incoming,
    headers: &HeaderMap,
    limit: usize,
    reserved: &mut Reserved,
) -> Result<Bytes, Failure> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(Failure::BodyTooLarge(limit as u64));
    }
    tokio::time::timeout(BODY_WITHIN, collect(body, limit, reserved))
        .await
        .unwrap_or(Err(Failure::BodyTimeout(BODY_WITHIN.as_secs())))
}

/// A body up to `limit` bytes, for which memory is taken as they come. One that comes in one piece is not copied.
pub(crate) async fn collect(
    mut body: Incoming,
    limit: usize,
    reserved: &mut Reserved,
) -> Result<Bytes, Failure> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failure::BodyUnreadable)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            return Err(Failure::BodyTooLarge(limit as u64));
        }
        if !reserved.grow(data.len()) {
            return Err(Failure::BodyMemory);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            let left = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit);
            all.reserve(first.len() + data.len() + left.min(RESERVE_AHEAD));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
