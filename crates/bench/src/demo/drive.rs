//! Sends the planned requests at their times, independently of the answers (open loop), and records what each user saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qoe_core::flight::qoe::Qoe;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::client::head::Head;
use crate::client::pool::Pool;
use crate::client::{ClientError, Sink};
use crate::demo::progress::Progress;
use crate::demo::workload::{Class, Planned};
use crate::sse::{Events, SseEvent};

/// What one user saw. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Served {
    /// The class of the request.
    pub class: Class,
    /// How late the load generator sent the request.
    pub lateness: f64,
    /// The time from sending to the first text. `None`: no text arrived.
    pub ttft: Option<f64>,
    /// The times between two text events.
    pub gaps: Vec<f64>,
    /// QoE as defined by Andes, with the targets of the class. 0 if nothing arrived.
    pub qoe: f64,
    /// Whether TTFT and mean ITL met their targets and the stream ended with `[DONE]`.
    pub sla_met: bool,
    /// Whether the router reported a handoff in `x-qoe-plan`.
    pub handed_off: bool,
    /// Why the request failed. `None`: the stream ended with `[DONE]`.
    pub failure: Option<String>,
}

const GIVE_UP: Duration = Duration::from_secs(60);

/// Sends `plan` to `address`. Returns when every request has ended.
pub async fn drive(
    address: SocketAddr,
    plan: &[Planned],
    model: &str,
    progress: &mut Progress,
) -> Vec<Served> {
    // Requests are built before the clock starts, because writing a prompt takes longer than sending it.
    let requests: Vec<_> = plan.iter().map(|planned| planned.request(model)).collect();
    let pool = Arc::new(Pool::new(address));
    let mut running = JoinSet::new();
    let mut served = Vec::with_capacity(plan.len());
    let mut tick = interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Instant::now();
    let mut upcoming = plan.iter().zip(requests).peekable();
    loop {
        let due = upcoming.peek().map(|(planned, _)| start + planned.at);
        tokio::select! {
            biased;
            () = sleep_until(due.unwrap_or(start)), if due.is_some() => {
                let Some((planned, request)) = upcoming.next() else { continue };
                running.spawn(one(Arc::clone(&pool), planned.clone(), request, start));
            }
            Some(ended) = running.join_next(), if !running.is_empty() => served.extend(ended),
            _ = tick.tick() => progress.show(start.elapsed(), plan.len(), served.len(), running.len()),
        }
        if upcoming.peek().is_none() && running.is_empty() {
            progress.show(start.elapsed(), plan.len(), served.len(), 0);
            return served;
        }
    }
}

async fn one(pool: Arc<Pool>, planned: Planned, request: Vec<u8>, start: Instant) -> Served {
    let mut client = pool.take();
    let lateness = (start + planned.at).elapsed();
    let mut view = ReaderView::new(planned.class);
    let sent = timeout(GIVE_UP, client.send(&request, &mut view)).await;
    if matches!(sent, Ok(Ok(()))) {
        pool.put(client);
    }
    let failure = match sent {
        Err(_) => Some(format!("not finished after {} s", GIVE_UP.as_secs())),
        Ok(result) => view.failure(result.err()),
    };
    view.settle(milliseconds(lateness), failure)
}

/// The stream as its reader sees it.
struct ReaderView {
    class: Class,
    sent: Instant,
    status: u16,
    handed_off: bool,
    events: Events,
    first: Option<Duration>,
    last: Duration,
    gaps: Vec<f64>,
    qoe: Qoe,
    done: bool,
    error: bool,
}

impl ReaderView {
    fn new(class: Class) -> Self {
        Self {
            class,
            sent: Instant::now(),
            status: 0,
            handed_off: false,
            events: Events::default(),
            first: None,
            last: Duration::ZERO,
            gaps: Vec::with_capacity(300),
            qoe: Qoe::new(class.target()),
            done: false,
            error: false,
        }
    }

    fn token(&mut self, at: Duration) {
        if self.first.is_none() {
            self.first = Some(at);
        } else {
            self.gaps.push(milliseconds(at.saturating_sub(self.last)));
        }
        self.last = at;
        self.qoe.arrived(1, at);
    }

    fn failure(&self, error: Option<ClientError>) -> Option<String> {
        match error {
            Some(error) => Some(error.to_string()),
            None if self.status != 200 => Some(format!("status {}", self.status)),
            None if self.error => Some("an error event in the stream".into()),
            None if !self.done => Some("the stream ended without [DONE]".into()),
            None => None,
        }
    }

    fn settle(self, lateness: f64, failure: Option<String>) -> Served {
        let target = self.class.target();
        let mean_itl = self.gaps.iter().sum::<f64>() / self.gaps.len().max(1) as f64;
        let in_time = self.first.is_some_and(|ttft| ttft <= target.ttft)
            && mean_itl <= milliseconds(target.itl);
        Served {
            class: self.class,
            lateness,
            ttft: self.first.map(milliseconds),
            gaps: self.gaps,
            qoe: self.qoe.value().unwrap_or(0.0),
            sla_met: in_time && failure.is_none(),
            handed_off: self.handed_off,
            failure,
        }
    }
}

impl Sink for ReaderView {
    fn head(&mut self, head: &Head<'_>) {
        self.status = head.status;
        let plan = head.header("x-qoe-plan").unwrap_or_default();
        self.handed_off = plan.to_ascii_lowercase().starts_with("handoff");
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

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(events: &[(u64, &str)]) -> ReaderView {
        let mut view = ReaderView::new(Class::Chat);
        view.status = 200;
        for &(at, text) in events {
            let mut parser = Events::default();
            parser.push(text.as_bytes(), |event| match event {
                SseEvent::Token => view.token(Duration::from_millis(at)),
                SseEvent::Done => view.done = true,
                _ => {}
            });
        }
        view
    }

    const TOKEN: &str = "data: {\"content\":\"x\"}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn a_stream_is_judged_by_first_text_and_pace() {
        let good = view(&[(100, TOKEN), (110, TOKEN), (130, TOKEN), (131, DONE)]);
        let failure = good.failure(None);
        let served = good.settle(0.0, failure);
        assert_eq!((served.ttft, served.gaps.as_slice()), (Some(100.0), &[10.0, 20.0][..]));
        assert!(served.sla_met && served.failure.is_none() && served.qoe > 0.99);
        let late = view(&[(900, TOKEN), (910, DONE)]).settle(0.0, None);
        assert!(!late.sla_met && late.qoe < 1.0);
        let slow = view(&[(100, TOKEN), (190, TOKEN), (200, DONE)]).settle(0.0, None);
        assert!(!slow.sla_met, "90 ms is above the promised ITL");
    }

    #[test]
    fn a_stream_without_its_end_failed() {
        let cut = view(&[(100, TOKEN)]);
        assert!(cut.failure(None).is_some_and(|why| why.contains("[DONE]")));
        let nothing = ReaderView::new(Class::Chat).settle(0.0, Some("status 503".into()));
        assert!(!nothing.sla_met && nothing.qoe == 0.0 && nothing.ttft.is_none());
    }
}
