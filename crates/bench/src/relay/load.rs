//! The load for one router: a closed loop for CPU cost, paced streams for the cost per token, an open loop for latency.

pub(super) mod check;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::Client;
use crate::process::Usage;
use crate::relay::load::check::{Checked, Counting, one};
use crate::relay::workload::{PACE, RelayWorkload, STEADY_RATE, STREAMS};
use crate::sse::Events;

/// Connections of the closed loop: enough to keep one core busy, few enough not to queue for long.
const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_millis(200);

/// The results of one measuring window.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The number of requests with a valid answer; for paced streams, the number of tokens received.
    pub units: u64,
    /// The number of units due at the pace of the streams; 0 for other loads.
    pub due: u64,
    /// The number of requests that failed.
    pub failed: u64,
    /// The CPU time of the router.
    pub cpu: Duration,
    /// The resident memory of the router, in bytes.
    pub rss_bytes: u64,
    /// The latency of each request in microseconds: to the first token, or to the end of an unstreamed answer.
    pub latencies: Vec<f64>,
    /// The lateness of open-loop requests, in microseconds.
    pub lateness: Vec<f64>,
}

impl Window {
    fn take(&mut self, outcome: &Checked) {
        match outcome.latency {
            Some(latency) => {
                self.units += 1;
                self.latencies.push(latency.as_secs_f64() * 1e6);
            }
            None => self.failed += 1,
        }
    }
}

/// One load on one router.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The address of the router.
    pub address: SocketAddr,
    /// The kind of load.
    pub workload: RelayWorkload,
    /// The measuring time.
    pub window: Duration,
}

impl Load {
    /// Runs the load. `usage` reads the resource usage of the router.
    pub async fn run(self, usage: impl Fn() -> Usage) -> Window {
        match self.workload {
            RelayWorkload::Paced => self.paced(usage).await,
            RelayWorkload::Steady => self.steady().await,
            _ => {
                self.closed(WARM_UP).await;
                let before = usage();
                let mut window = self.closed(self.window).await;
                let after = usage();
                window.cpu = after.cpu.saturating_sub(before.cpu);
                window.rss_bytes = after.rss_bytes;
                window
            }
        }
    }

    /// Closed loop: each connection sends its next request when the last one is answered.
    async fn closed(self, window: Duration) -> Window {
        let request: Arc<[u8]> = self.workload.request(0).into();
        let end = Instant::now() + window;
        let mut workers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let request = Arc::clone(&request);
            workers.spawn(async move {
                let (mut client, mut window) = (Client::new(self.address), Window::default());
                while Instant::now() < end {
                    window.take(&one(&mut client, &request, self.workload).await);
                }
                window
            });
        }
        let each = workers.join_all().await;
        each.into_iter().fold(Window::default(), |mut sum, mut part| {
            sum.units += part.units;
            sum.failed += part.failed;
            sum.latencies.append(&mut part.latencies);
            sum
        })
    }

    /// Open loop: Poisson arrivals, each on an idle connection.
    async fn steady(self) -> Window {
        let request: Arc<[u8]> = self.workload.request(0).into();
        let (mut idle, mut running) = (Vec::new(), JoinSet::new());
        let mut window = Window::default();
        let mut rng = StdRng::seed_from_u64(200);
        let (start, mut due) = (Instant::now(), Instant::now());
        while due < start + self.window {
            sleep_until(due).await;
            window.lateness.push(due.elapsed().as_secs_f64() * 1e6);
            while let Some(Ok((client, outcome))) = running.try_join_next() {
                window.take(&outcome);
                idle.push(client);
            }
            let mut client = idle.pop().unwrap_or_else(|| Client::new(self.address));
            let request = Arc::clone(&request);
            running.spawn(async move {
                let outcome = one(&mut client, &request, self.workload).await;
                (client, outcome)
            });
            due += Duration::from_secs_f64(-(1.0 - rng.random::<f64>()).ln() / STEADY_RATE);
        }
        running.join_all().await.iter().for_each(|(_, outcome)| window.take(outcome));
        window
    }

    /// Opens streams that outlast the window, and counts the tokens within it.
    async fn paced(self, usage: impl Fn() -> Usage) -> Window {
        let tokens = (self.window + Duration::from_secs(4)).as_millis() / PACE.as_millis();
        let request: Arc<[u8]> = self.workload.request(tokens as u32).into();
        let count = Arc::new(AtomicU64::new(0));
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            let (request, count) = (Arc::clone(&request), Arc::clone(&count));
            streams.spawn(async move {
                let mut sink = Counting { count, events: Events::default() };
                Client::new(self.address).send(&request, &mut sink).await.is_ok()
            });
            // Streams of users do not start together. Without the spread all tokens would come at the same moment.
            sleep(Duration::from_millis(2)).await;
        }
        sleep(Duration::from_secs(1)).await;
        let (before, counted) = (usage(), count.load(Ordering::Relaxed));
        sleep(self.window).await;
        let after = usage();
        let units = count.load(Ordering::Relaxed) - counted;
        // The streams outlast the window, so one that has ended was cut off.
        let mut failed = 0;
        while streams.try_join_next().is_some() {
            failed += 1;
        }
        streams.shutdown().await;
        sleep(WARM_UP).await;
        let cpu = after.cpu.saturating_sub(before.cpu);
        let due = STREAMS as u64 * (self.window.as_millis() / PACE.as_millis()) as u64;
        Window { units, due, failed, cpu, rss_bytes: after.rss_bytes, ..Window::default() }
    }
}

#[cfg(test)]
mod tests;
