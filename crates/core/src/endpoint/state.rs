//! One vLLM server: its identity and its live state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Serialize;

use crate::endpoint::health::Health;
use crate::endpoint::ledger::Ledger;
use crate::endpoint::signals::Signals;
use crate::endpoint::tag::EndpointTag;
use crate::speed::pace::Pace;

/// One entry of an endpoint's `/v1/models`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The name clients send.
    pub id: String,
    /// For a LoRA adapter: the model it adapts.
    pub parent: Option<String>,
    /// The whole entry, as JSON.
    pub card: Box<str>,
}

/// The order in which a server takes waiting requests (vLLM's `--scheduling-policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduling {
    /// In the order of arrival.
    #[default]
    Fcfs,
    /// By the member `priority` of the body, the lowest first.
    Priority,
}

/// A server's identity and live state, which all routes and workers share.
#[derive(Debug)]
pub struct EndpointState {
    /// Unique name.
    pub name: Arc<str>,
    /// `host:port`.
    pub authority: Arc<str>,
    /// The number that stands for it in the prefix index.
    pub tag: EndpointTag,
    /// Measured latencies, speeds and loads.
    pub signals: Signals,
    /// The models of its speed, and the queues before it.
    pub pace: Pace,
    served: ArcSwapOption<Vec<Served>>,
    by_priority: AtomicBool,
    /// This router's requests in flight there.
    pub ledger: Ledger,
    /// Its ejection and KV trust, from the router's own requests.
    pub health: Health,
}

impl EndpointState {
    /// An endpoint with nothing in flight and nothing measured.
    #[must_use]
    pub fn new(name: &str, authority: &str) -> Self {
        Self {
            name: name.into(),
            authority: authority.into(),
            tag: EndpointTag::next(),
            signals: Signals::default(),
            pace: Pace::default(),
            served: ArcSwapOption::empty(),
            by_priority: AtomicBool::new(false),
            ledger: Ledger::default(),
            health: Health::default(),
        }
    }

    /// The models that it serves; `None` before it was asked.
    #[must_use]
    pub fn served(&self) -> Option<Arc<Vec<Served>>> {
        self.served.load_full()
    }

    /// Replaces the models that it serves.
    pub fn set_served(&self, models: Vec<Served>) {
        self.served.store(Some(Arc::new(models)));
    }

    /// Whether it serves `model`. Before it was asked, every model counts as served.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        self.served.load().as_ref().is_none_or(|served| served.iter().any(|s| s.id == model))
    }

    /// The order in which it takes waiting requests.
    #[must_use]
    pub fn scheduling(&self) -> Scheduling {
        match self.by_priority.load(Ordering::Relaxed) {
            true => Scheduling::Priority,
            false => Scheduling::Fcfs,
        }
    }

    /// Sets the order in which it takes waiting requests, as configured.
    pub fn set_scheduling(&self, scheduling: Scheduling) {
        self.by_priority.store(scheduling == Scheduling::Priority, Ordering::Relaxed);
    }

    /// Requests at the endpoint: the larger of the router's own ledger, which is exact, and the last scrape, which
    /// counts other routers' requests but is late.
    #[must_use]
    pub fn queue(&self, now: Duration) -> f64 {
        let own = f64::from(self.ledger.in_flight_all());
        let scraped = [&self.signals.running, &self.signals.waiting]
            .iter()
            .filter_map(|gauge| gauge.get(now))
            .map(|g| g.value * g.weight)
            .sum::<f64>();
        own.max(scraped)
    }

    /// The share of any prompt that its prefix cache is likely to hold, 0 to 1.
    #[must_use]
    pub fn usual_hit(&self, now: Duration) -> f64 {
        let hit = self.signals.prefix_hit_rate.get(now);
        hit.map_or(0.0, |hit| (hit.value * hit.weight).clamp(0.0, 1.0))
    }
}
