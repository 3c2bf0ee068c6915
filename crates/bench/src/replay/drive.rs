//! Sends arrivals at their times (open loop), and records the result of each in the lab's format.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qoe_core::flight::qoe::Qoe;
use qoe_core::request::analyze::Priority;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::Sink;
use crate::client::head::Head;
use crate::client::pool::Pool;
use crate::demo::Progress;
use crate::lab::arrival::Arrival;
use crate::lab::outcome::Outcome;
use crate::replay::prompt;
use crate::request;
use crate::sse::{Events, SseEvent};

/// The time after which a request that has not ended counts as lost.
const GIVE_UP: Duration = Duration::from_secs(300);

/// The result of one request.
#[derive(Debug)]
pub(super) struct Seen {
    /// The outcome in the lab's format, without the values that only the lab has.
    pub(super) outcome: Outcome,
    /// How late the load generator sent the request, in seconds.
    pub(super) lateness: f64,
    /// Why the request failed.
    pub(super) failure: Option<String>,
}

/// Sends all arrivals to `address`. Returns the results in order of arrival, once every request has ended.
pub(super) async fn drive(
    address: SocketAddr,
    model: &str,
    arrivals: &[Arrival],
    progress: &mut Progress,
) -> Vec<Seen> {
    // Requests are built before the clock starts, because writing a prompt takes longer than sending it.
    let requests: Vec<_> = arrivals.iter().map(|arrival| request(arrival, model)).collect();
    let pool = Arc::new(Pool::new(address));
    let mut running = JoinSet::new();
    let mut seen = Vec::with_capacity(arrivals.len());
    let start = Instant::now() + Duration::from_millis(100);
    for (index, (arrival, request)) in arrivals.iter().zip(requests).enumerate() {
        sleep_until(start + arrival.at).await;
        let (pool, arrival) = (Arc::clone(&pool), arrival.clone());
        running.spawn(async move { (index, one(&pool, &arrival, &request, start).await) });
        while let Some(ended) = running.try_join_next() {
            seen.extend(ended);
        }
        progress.show(start.elapsed(), arrivals.len(), seen.len(), running.len());
    }
    while let Some(ended) = running.join_next().await {
        seen.extend(ended);
        progress.show(start.elapsed(), arrivals.len(), seen.len(), running.len());
    }
    seen.sort_by_key(|(index, _)| *index);
    seen.into_iter().map(|(_, seen)| seen).collect()
}

fn request(arrival: &Arrival, model: &str) -> Vec<u8> {
    let (tokens, prompt) = (arrival.output_tokens, prompt::text(&arrival.prompt));
    let goes_on = if arrival.goes_on { r#","parent_id":"before""# } else { "" };
    let body = format!(
        r#"{{"model":"{model}","prompt":"{prompt}","max_tokens":{tokens},"ignore_eos":true,"temperature":0,"stream":true{goes_on}}}"#
    );
    let priority = match arrival.priority {
        Priority::High => 1,
        Priority::Medium => 2,
        Priority::Low => 3,
    };
    let milliseconds = |duration: Duration| duration.as_millis().to_string();
    let mut headers = vec![
        ("x-request-priority", priority.to_string()),
        ("x-sla-target-ms", milliseconds(arrival.target.ttft)),
        ("x-llm-d-slo-tpot-ms", milliseconds(arrival.target.itl)),
        ("x-qoe-explain", "1".to_owned()),
    ];
    let expected = arrival.expected_output_tokens;
    headers.extend(expected.map(|tokens| ("x-expected-output-tokens", tokens.to_string())));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    request::post_to("/v1/completions", &body, &headers)
}

async fn one(pool: &Pool, arrival: &Arrival, request: &[u8], start: Instant) -> Seen {
    let mut client = pool.take();
    let mut view = Recorder::new(arrival);
    let lateness = (start + arrival.at).elapsed().as_secs_f64();
    let sent = timeout(GIVE_UP, client.send(request, &mut view)).await;
    let failure = match sent {
        Ok(Ok(())) => {
            pool.put(client);
            view.failure()
        }
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("not finished after {} s", GIVE_UP.as_secs())),
    };
    Seen { outcome: view.outcome(arrival, failure.is_none()), lateness, failure }
}

/// Records one stream as its reader sees it.
struct Recorder {
    sent: Instant,
    status: u16,
    handoff: bool,
    events: Events,
    first: Option<Duration>,
    last: Duration,
    longest_gap: Duration,
    tokens: u32,
    expected: u32,
    qoe: Qoe,
    done: bool,
    error: bool,
}

impl Recorder {
    fn new(arrival: &Arrival) -> Self {
        Self {
            sent: Instant::now(),
            status: 0,
            handoff: false,
            events: Events::default(),
            first: None,
            last: Duration::ZERO,
            longest_gap: Duration::ZERO,
            tokens: 0,
            expected: arrival.output_tokens,
            qoe: Qoe::new(arrival.target),
            done: false,
            error: false,
        }
    }

    fn token(&mut self, at: Duration) {
        match self.first {
            None => self.first = Some(at),
            Some(_) => self.longest_gap = self.longest_gap.max(at.saturating_sub(self.last)),
        }
        self.last = at;
        self.tokens += 1;
        self.qoe.arrived(1, at);
    }

    fn failure(&self) -> Option<String> {
        match self {
            _ if self.status != 200 => Some(format!("status {}", self.status)),
            _ if self.error => Some("an error event in the stream".into()),
            _ if !self.done => Some("the stream ended without [DONE]".into()),
            _ if self.tokens != self.expected => {
                Some(format!("{} of {} tokens arrived", self.tokens, self.expected))
            }
            _ => None,
        }
    }

    fn outcome(&self, arrival: &Arrival, served: bool) -> Outcome {
        let seconds = |duration: Duration| duration.as_secs_f64();
        let itl = self
            .first
            .filter(|_| self.tokens > 1)
            .map(|first| seconds(self.last.saturating_sub(first)) / f64::from(self.tokens - 1));
        let target = arrival.target;
        let sla_met = served
            && self.first.is_some_and(|first| first <= target.ttft)
            && itl.is_none_or(|itl| itl <= seconds(target.itl));
        let longest_gap = seconds(self.longest_gap);
        Outcome {
            at: arrival.at,
            priority: arrival.priority,
            prompt_tokens: arrival.prompt_tokens(),
            output_tokens: self.tokens,
            ttft: self.first.map(seconds),
            itl,
            longest_gap,
            e2e: seconds(self.sent.elapsed()),
            qoe: if served { self.qoe.value().unwrap_or_default() } else { 0.0 },
            sla_met,
            smooth: Outcome::is_smooth(sla_met, longest_gap, target),
            served,
            handoff: self.handoff,
            reason: "",
            queued: 0.0,
            moved_tokens: 0,
            cached_tokens: 0,
            forecast_ttft: None,
            forecast_itl: None,
        }
    }
}

impl Sink for Recorder {
    fn head(&mut self, head: &Head<'_>) {
        self.status = head.status;
        let plan = head.header("x-qoe-plan").unwrap_or_default();
        self.handoff = plan.to_ascii_lowercase().starts_with("handoff");
    }

    fn data(&mut self, bytes: &[u8]) {
        let at = self.sent.elapsed();
        let mut events = std::mem::take(&mut self.events);
        events.push(bytes, |event| match event {
            SseEvent::Token => self.token(at),
            SseEvent::Done => self.done = true,
            SseEvent::Error => self.error = true,
            SseEvent::Other => {}
        });
        self.events = events;
    }
}
