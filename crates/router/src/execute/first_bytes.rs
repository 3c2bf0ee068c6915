//! The first bytes of an answer: until they are sent on, a failure can still be repaired.

use std::future::poll_fn;

use bytes::Bytes;
use qoe_core::response::sse::{Finish, Scan, Summary};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::upstream::error::UpstreamError;
use crate::upstream::exchange::Exchange;

/// A stream goes on to the client after this many chunks, also without content. vLLM sends one role chunk; the rest
/// are comments of proxies that keep the connection alive, one each 15 s or so. At half or double, only how long such
/// a stream is held back changes, and the timeout of the first token ends that anyway.
const MAX_FIRST_CHUNKS: usize = 64;

/// The first bytes of an answer. Of a stream of generated tokens: all up to its first content, which a role or a
/// comment is not; an error, an abort or an end that comes before is no answer.
pub(crate) async fn first_bytes<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<S>,
    generated: bool,
) -> Result<Option<Bytes>, UpstreamError> {
    let mut chunks: Vec<Bytes> = Vec::new();
    let mut scan = Scan::default();
    while chunks.len() < MAX_FIRST_CHUNKS {
        let chunk = poll_fn(|cx| exchange.poll_chunk(cx)).await.transpose();
        let Some(chunk) = chunk.map_err(UpstreamError::Broken)? else {
            let incomplete = generated && !scan.summary().done_seen;
            return if incomplete { Err(UpstreamError::EndedEarly) } else { Ok(joined(chunks)) };
        };
        scan.feed(&chunk);
        chunks.push(chunk);
        let Summary { content_events, error_seen, finish, .. } = scan.summary();
        if generated && finish == Some(Finish::Abort) {
            return Err(UpstreamError::Aborted);
        }
        if generated && content_events == 0 && error_seen {
            return Err(UpstreamError::ErrorEvent);
        }
        if content_events > 0 || !generated {
            break;
        }
    }
    Ok(joined(chunks))
}

fn joined(mut chunks: Vec<Bytes>) -> Option<Bytes> {
    match chunks.len() {
        0 | 1 => chunks.pop(),
        _ => Some(chunks.concat().into()),
    }
}

#[cfg(test)]
mod tests;
