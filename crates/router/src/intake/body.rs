//! Reads a request's body whole, within limits of size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::failure::Failure;
use crate::shared::body_memory::{BodyMemory, Reserved};

/// A request's body must come within this time from the end of its head.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// Memory that is taken for an announced body with its first byte, at most; later, as much is taken ahead as has come. An
/// HTTP/2 client that announces much and sends one byte in each of its 250 streams holds 4 MiB. 16 KiB is the usual
/// size of an HTTP/2 DATA frame (RFC 9113, 6.5.2): at half, a body that comes in two frames is copied once more; at
/// double, such a client holds twice as much.
const AHEAD_BYTES: usize = 16 << 10;

/// An announced length is believed once one part in this many of it has come: the buffer then gets its final size.
/// While it is copied, the old and the new one are counted, so a body of 8/9 of all body memory still fits; by doubling
/// alone, a body of half of it would not. At 4, it is 4/5; at 16, a client that stops there holds 16 times what it sent.
const BELIEVED_SHARE: usize = 8;

/// Reads the body whole. Its memory stays reserved until the last slice of the returned bytes is dropped.
pub(crate) async fn read(
    body: Incoming,
    headers: &HeaderMap,
    limit: usize,
    memory: &Arc<BodyMemory>,
) -> Result<Bytes, Failure> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let too_large = Failure::BodyTooLarge(limit as u64);
    let announced = match announced.map(usize::try_from) {
        Some(Ok(announced)) if announced <= limit => announced,
        Some(_) => return Err(too_large),
        None => 0,
    };
    let buffer = Buffer::new(memory, announced, limit);
    tokio::time::timeout(BODY_WITHIN, collect(body, buffer))
        .await
        .unwrap_or(Err(Failure::BodyTimeout(BODY_WITHIN.as_secs())))
}

/// Each piece is copied out of hyper's read buffer: kept as it is, a piece of a few bytes would hold that buffer
/// whole, and the connection would have to allocate another one.
async fn collect(mut body: Incoming, mut buffer: Buffer) -> Result<Bytes, Failure> {
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failure::BodyUnreadable)?.into_data() else { continue };
        buffer.push(&data)?;
    }
    Ok(buffer.into_bytes())
}

/// A body that grows, and the memory that it holds.
struct Buffer {
    memory: Arc<BodyMemory>,
    held: CountedBytes,
    /// The bytes that the client announced; 0 where it announced none.
    announced: usize,
    limit: usize,
}

/// An allocation and its reservation, which end together.
#[derive(Default)]
struct CountedBytes {
    bytes: Vec<u8>,
    /// For the capacity of `bytes`; `None` without any.
    _reserved: Option<Reserved>,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Buffer {
    fn new(memory: &Arc<BodyMemory>, announced: usize, limit: usize) -> Self {
        Self { memory: Arc::clone(memory), held: CountedBytes::default(), announced, limit }
    }

    fn push(&mut self, data: &[u8]) -> Result<(), Failure> {
        let length = self.held.bytes.len() + data.len();
        if length > self.limit {
            return Err(Failure::BodyTooLarge(self.limit as u64));
        }
        if length > self.held.bytes.capacity() {
            self.grow(self.capacity_for(length))?;
        }
        self.held.bytes.extend_from_slice(data);
        Ok(())
    }

    /// The next capacity that `length` bytes fit into: what was announced, up to [`AHEAD_BYTES`], then twice as much each
    /// time, so that a body is copied once on average; and all that was announced, once a share of it is there.
    fn capacity_for(&self, length: usize) -> usize {
        if length <= self.announced && length >= self.announced / BELIEVED_SHARE {
            return self.announced;
        }
        let doubled = self.held.bytes.capacity() * 2;
        let most = if self.announced >= length { self.announced } else { self.limit };
        let first = self.announced.min(AHEAD_BYTES);
        doubled.max(first).min(most).max(length)
    }

    /// Moves the bytes to a larger allocation. Both are held until they are copied, and both are counted.
    fn grow(&mut self, capacity: usize) -> Result<(), Failure> {
        let reserved = self.memory.reserve(capacity).ok_or(Failure::BodyMemory)?;
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(&self.held.bytes);
        self.held = CountedBytes { bytes, _reserved: Some(reserved) };
        Ok(())
    }

    fn into_bytes(self) -> Bytes {
        if self.held.bytes.is_empty() { Bytes::new() } else { Bytes::from_owner(self.held) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: usize = 1 << 20;

    fn buffer(announced: usize, limit: usize) -> (Arc<BodyMemory>, Buffer) {
        let memory = Arc::new(BodyMemory::new(MEMORY));
        (Arc::clone(&memory), Buffer::new(&memory, announced, limit))
    }

    #[test]
    fn the_counter_never_lies_below_the_bytes_held() {
        for announced in [0, 1, 1000, 30_000, 100_000] {
            let (memory, mut buffer) = buffer(announced, 200_000);
            let mut sent = Vec::new();
            for piece in [1, 7, 4096, 3, 16_384, 0, 65_536, 12] {
                let data = vec![u8::try_from(piece % 251).expect("a byte"); piece];
                sent.extend_from_slice(&data);
                buffer.push(&data).expect("there is room");
                let counted = MEMORY - memory.left();
                assert!(counted >= buffer.held.bytes.capacity(), "{announced} {piece}: {counted}");
            }
            assert_eq!(buffer.into_bytes(), sent, "{announced}");
            assert_eq!(memory.left(), MEMORY);
        }
    }

    #[test]
    fn an_announced_body_of_most_of_the_memory_fits() {
        let announced = MEMORY * 7 / 8;
        let (memory, mut buffer) = buffer(announced, MEMORY);
        for _ in 0..announced / 4096 {
            buffer.push(&[1; 4096]).expect("it fits");
        }
        assert_eq!(buffer.held.bytes.capacity(), announced);
        drop(buffer);
        assert_eq!(memory.left(), MEMORY);
    }

    #[test]
    fn an_announced_body_is_allocated_once_and_exactly() {
        let (memory, mut buffer) = buffer(5000, 200_000);
        for _ in 0..5 {
            buffer.push(&[1; 1000]).expect("there is room");
            assert_eq!((MEMORY - memory.left(), buffer.held.bytes.capacity()), (5000, 5000));
        }
    }

    /// One HTTP/2 connection carries 250 requests.
    #[test]
    fn clients_that_announce_much_and_send_little_leave_room_for_others() {
        let memory = Arc::new(BodyMemory::new(8 << 20));
        let mut buffers: Vec<_> =
            (0..250).map(|_| Buffer::new(&memory, 4 << 20, 8 << 20)).collect();
        for buffer in &mut buffers {
            buffer.push(&[1]).expect("there is room for one byte each");
        }
        assert!(memory.left() >= 4 << 20, "{}", memory.left());
    }

    #[test]
    fn what_is_taken_ahead_is_bounded_by_what_has_come() {
        let memory = Arc::new(BodyMemory::new(16 << 20));
        let mut buffer = Buffer::new(&memory, 4 << 20, 8 << 20);
        for piece in 1..=400 {
            buffer.push(&[1; 10_000]).expect("there is room");
            let counted = (16 << 20) - memory.left();
            let times = if counted == 4 << 20 { BELIEVED_SHARE } else { 2 };
            assert!(counted <= (times * piece * 10_000).max(AHEAD_BYTES), "{piece}: {counted}");
        }
    }

    #[test]
    fn a_growing_body_needs_room_for_its_old_and_its_new_allocation() {
        let memory = Arc::new(BodyMemory::new(299));
        let mut full = Buffer::new(&memory, 0, 1000);
        full.push(&[1; 100]).expect("there is room");
        assert!(matches!(full.push(&[1]), Err(Failure::BodyMemory)), "100 and 200 are over 299");
        drop(full);
        assert_eq!(memory.left(), 299, "and nothing stays behind");
    }

    #[test]
    fn memory_is_held_until_the_last_slice_is_gone() {
        let (memory, mut buffer) = buffer(0, 1000);
        buffer.push(&[1; 600]).expect("there is room");
        let body = buffer.into_bytes();
        let leg = body.slice(590..);
        drop(body);
        assert_eq!(MEMORY - memory.left(), 600, "a slice holds the whole allocation");
        drop(leg);
        assert_eq!(memory.left(), MEMORY);
    }

    #[test]
    fn a_body_over_its_limit_is_refused_with_its_first_byte_too_many() {
        let (_, mut buffer) = buffer(0, 10);
        buffer.push(&[1; 10]).expect("as many as allowed");
        assert!(matches!(buffer.push(&[1]), Err(Failure::BodyTooLarge(10))));
    }
}
