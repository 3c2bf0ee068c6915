//! One vLLM server: its identity and its live state, which all routes and workers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Serialize;

use crate::endpoint::health::Health;
use crate::endpoint::ledger::Ledger;
use crate::endpoint::signals::Signals;
use crate::speed::pace::Pace;

/// One model of an endpoint's `/v1/models`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The name clients send.
    pub id: String,
    /// For a LoRA adapter: the model it adapts.
    pub parent: Option<String>,
    /// The whole entry, as JSON.
    pub card: Box<str>,
}

/// In which order a server takes what waits there (vLLM's `--scheduling-policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduling {
    /// As it came.
    #[default]
    Fcfs,
    /// By the request's member `priority`, the lowest first.
    Priority,
}

/// A server's identity and live state, shared by all routes and workers.
#[derive(Debug)]
pub struct EndpointState {
    /// Unique name.
    pub name: Arc<str>,
    /// `host:port`.
    pub authority: Arc<str>,
    /// Stands for it in the prefix index: a hash of its name and authority.
    pub tag: u32,
    /// What is known of how it does.
    pub signals: Signals,
    /// How fast it is, and what waits there.
    pub pace: Pace,
    served: ArcSwapOption<Vec<Served>>,
    by_priority: AtomicBool,
    /// What this router has in flight there.
    pub ledger: Ledger,
    /// Whether it may be used, by the router's own evidence.
    pub health: Health,
}

impl EndpointState {
    /// A fresh endpoint: nothing in flight, nothing known.
    #[must_use]
    pub fn new(name: &str, authority: &str) -> Self {
        Self {
            name: name.into(),
            authority: authority.into(),
            tag: tag(name, authority),
            signals: Signals::default(),
            pace: Pace::default(),
            served: ArcSwapOption::empty(),
            by_priority: AtomicBool::new(false),
            ledger: Ledger::default(),
            health: Health::default(),
        }
    }

    /// The models it serves, once it has said so.
    #[must_use]
    pub fn served(&self) -> Option<Arc<Vec<Served>>> {
        self.served.load_full()
    }

    /// It said which models it serves.
    pub fn set_served(&self, models: Vec<Served>) {
        self.served.store(Some(Arc::new(models)));
    }

    /// Whether it serves `model`, as far as is known: unknown counts as yes.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        self.served.load().as_ref().is_none_or(|served| served.iter().any(|s| s.id == model))
    }

    /// In which order it takes what waits there.
    #[must_use]
    pub fn scheduling(&self) -> Scheduling {
        match self.by_priority.load(Ordering::Relaxed) {
            true => Scheduling::Priority,
            false => Scheduling::Fcfs,
        }
    }

    /// The configuration says in which order it takes what waits there.
    pub fn set_scheduling(&self, scheduling: Scheduling) {
        self.by_priority.store(scheduling == Scheduling::Priority, Ordering::Relaxed);
    }

    /// Requests here by the better of two words: the router's own ledger, exact, or the endpoint's last scrape,
    /// which knows of others' requests but is late.
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

    /// The share of a prompt that its cache is likely to hold, where nothing is known of this prompt.
    #[must_use]
    pub fn usual_hit(&self, now: Duration) -> f64 {
        let hit = self.signals.prefix_hit_rate.get(now);
        hit.map_or(0.0, |hit| (hit.value * hit.weight).clamp(0.0, 1.0))
    }
}

/// FNV-1a, folded to 32 bits.
fn tag(name: &str, authority: &str) -> u32 {
    let bytes = name.bytes().chain([0]).chain(authority.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    #[expect(clippy::cast_possible_truncation, reason = "folded")]
    let folded = (hash ^ (hash >> 32)) as u32;
    folded
}
