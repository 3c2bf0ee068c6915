//! Checks answers: latency, number of tokens, and completeness.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::client::head::Head;
use crate::client::{Client, Sink};
use crate::relay::workload::RelayWorkload;
use crate::sse::{Events, SseEvent};

const GIVE_UP: Duration = Duration::from_secs(20);

/// The result of one request: its latency, if the answer was valid.
pub(super) struct Checked {
    pub(super) latency: Option<Duration>,
}

/// Counts the tokens of a stream while it runs.
pub(super) struct Counting {
    pub(super) count: Arc<AtomicU64>,
    pub(super) events: Events,
}

impl Sink for Counting {
    fn head(&mut self, _: &Head<'_>) {}

    fn data(&mut self, bytes: &[u8]) {
        let mut tokens = 0;
        self.events.push(bytes, |event| tokens += u64::from(event == SseEvent::Token));
        self.count.fetch_add(tokens, Ordering::Relaxed);
    }
}

/// Checks one answer: the time of its first token, and its completeness.
pub(super) struct Check {
    sent: Instant,
    pub(super) status: u16,
    streamed: bool,
    bytes: usize,
    tokens: u32,
    done: bool,
    first: Option<Duration>,
    events: Events,
}

impl Check {
    pub(super) fn new(streamed: bool) -> Self {
        Self {
            sent: Instant::now(),
            status: 0,
            streamed,
            bytes: 0,
            tokens: 0,
            done: false,
            first: None,
            events: Events::default(),
        }
    }

    /// The result: the latency, if the answer is complete.
    pub(super) fn outcome(self, expected: Option<u32>) -> Checked {
        let whole = match expected {
            Some(tokens) => self.done && self.tokens == tokens,
            None => self.bytes > 1_900,
        };
        let latency = if self.streamed { self.first } else { Some(self.sent.elapsed()) };
        Checked { latency: latency.filter(|_| whole && self.status == 200) }
    }
}

impl Sink for Check {
    fn head(&mut self, head: &Head<'_>) {
        self.status = head.status;
    }

    fn data(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        if !self.streamed {
            return;
        }
        let before = self.tokens;
        self.events.push(bytes, |event| match event {
            SseEvent::Token => self.tokens += 1,
            SseEvent::Done => self.done = true,
            SseEvent::Error | SseEvent::Other => {}
        });
        if before == 0 && self.tokens > 0 {
            self.first = Some(self.sent.elapsed());
        }
    }
}

pub(super) async fn one(client: &mut Client, request: &[u8], workload: RelayWorkload) -> Checked {
    let expected = workload.tokens(0);
    let mut check = Check::new(expected.is_some());
    match timeout(GIVE_UP, client.send(request, &mut check)).await {
        Ok(Ok(())) => check.outcome(expected),
        _ => Checked { latency: None },
    }
}

/// Whether the router answers one simple request correctly.
pub(in crate::relay) async fn answers(address: SocketAddr) -> bool {
    let request = RelayWorkload::Unary.request(0);
    one(&mut Client::new(address), &request, RelayWorkload::Unary).await.latency.is_some()
}
