//! One vLLM server: what it is, what is in flight there, how it does, and whether it may be used.

pub mod connector;
pub mod exposition;
mod health;
mod ledger;
pub mod pool;
mod scraped;
pub mod signals;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Serialize;

use self::health::Health;
use self::ledger::Ledger;
pub use self::ledger::{Hold, Moving, Reading, Streaming};
pub use self::scraped::Counters;
use crate::endpoint::connector::Connector;
use crate::endpoint::signals::Signals;
use crate::phase::{Role, RoleSource};
use crate::speed::Pace;

/// An endpoint as one route sees it: its place in the route's pool, and its live state, which all routes share.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What is in flight there and how it does.
    pub state: Arc<EndpointState>,
    /// Which phases it is for.
    pub role: Role,
    /// What said so.
    pub role_source: RoleSource,
    /// How it moves KV caches.
    pub connector: Connector,
    /// Only endpoints of one group are paired (slice and revision, or role set).
    pub group: Option<String>,
}

/// Labels that tell which endpoints may be paired: KV transfer across revisions or role sets fails.
const GROUP_LABELS: [&str; 4] = [
    "disaggregatedset.x-k8s.io/name",
    "disaggregatedset.x-k8s.io/slice",
    "disaggregatedset.x-k8s.io/revision",
    "roleset-name",
];

/// The pairing group that labels give an endpoint; `None` pairs with every other without one.
#[must_use]
pub fn group(labels: &BTreeMap<String, String>) -> Option<String> {
    let values = GROUP_LABELS.iter().filter_map(|key| labels.get(*key));
    let values: Vec<_> = values.filter(|value| !value.is_empty()).collect();
    (!values.is_empty())
        .then(|| values.into_iter().map(String::as_str).collect::<Vec<_>>().join("/"))
}

impl Endpoint {
    /// Whether a KV cache can go from `self` to `decoding`.
    #[must_use]
    pub fn hands_to(&self, decoding: &Self) -> bool {
        self.connector != Connector::None
            && self.connector == decoding.connector
            && self.group == decoding.group
            && !Arc::ptr_eq(&self.state, &decoding.state)
    }
}

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
    ledger: Ledger,
    health: Health,
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
        let own = f64::from(self.in_flight_all());
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

#[cfg(test)]
pub(crate) mod tests {
    use super::health::{EJECT_FIRST, EJECT_LONGEST, KV_DISTRUST};
    use super::*;
    use crate::phase::Phase;
    use crate::speed::{Models, PromptWork};

    /// An endpoint for tests.
    pub(crate) fn endpoint(name: &str, role: Role) -> Endpoint {
        Endpoint {
            state: Arc::new(EndpointState::new(name, "127.0.0.1:1")),
            role,
            role_source: RoleSource::Label,
            connector: Connector::NixlPull,
            group: None,
        }
    }

    fn state() -> Arc<EndpointState> {
        endpoint("a", Role::Mixed).state
    }

    #[test]
    fn holds_add_up_and_go_with_their_drop() {
        let e = state();
        let one = e.hold(Phase::Prefill, 100);
        let two = e.hold(Phase::Decoding, 50);
        assert_eq!(
            (e.in_flight_all(), e.tokens(Phase::Prefill), e.tokens(Phase::Decoding)),
            (2, 100, 50)
        );
        drop(one);
        drop(two);
        assert_eq!(
            (e.in_flight_all(), e.tokens(Phase::Prefill), e.tokens(Phase::Decoding)),
            (0, 0, 0)
        );
    }

    #[test]
    fn what_is_unread_is_counted_without_what_is_cached_and_teaches_the_speed() {
        let e = state();
        let now = Duration::from_secs(1);
        let pool = Models::default();
        let work = |uncached| PromptWork { uncached, ..PromptWork::default() };
        let first = e.reads(work(750.0), true, &pool, now);
        let second = e.reads(work(1500.0), false, &pool, now);
        assert_eq!(e.unread(), 750 + 1500);
        second.done(&pool, now + Duration::from_secs(3));
        assert_eq!(e.unread(), 750);
        let speed = e.signals.prefill_speed.get(now + Duration::from_secs(3)).expect("learned");
        assert!((speed.value - 750.0).abs() < 1e-9, "all that was ahead, in three seconds");
        drop(first);
        assert_eq!(e.unread(), 0);
    }

    #[test]
    fn three_failures_in_a_row_eject_for_longer_each_time_and_a_success_forgives() {
        let e = state();
        let now = Duration::from_secs(100);
        assert_eq!((e.failed(now), e.failed(now)), (None, None));
        assert_eq!(e.failed(now), Some(EJECT_FIRST));
        assert_eq!(e.failed(now), None, "requests of the same moment count once");
        let later = now + EJECT_FIRST;
        assert!(e.ejected(now) && !e.ejected(later));
        assert_eq!(e.failed(later), Some(EJECT_FIRST * 2));
        let mut at = later;
        for _ in 0..10 {
            at += EJECT_LONGEST;
            assert!(e.failed(at) <= Some(EJECT_LONGEST));
        }
        assert!(!e.ejected(at + EJECT_LONGEST));
        e.succeeded();
        assert!(!e.ejected(at));
    }

    #[test]
    fn kv_that_fails_again_and_again_is_not_handed_over_for_a_while() {
        let e = state();
        let now = Duration::from_secs(100);
        for worked in [false, false, true, false, false] {
            assert_eq!(e.kv_handed_over(worked, now), None);
            assert!(e.trusts_kv(now));
        }
        assert_eq!(e.kv_handed_over(false, now), Some(KV_DISTRUST));
        assert!(!e.trusts_kv(now) && e.trusts_kv(now + KV_DISTRUST));
    }

    #[test]
    fn a_stale_scrape_fades_and_the_own_ledger_stays() {
        let e = state();
        e.signals.waiting.set(40.0, Duration::ZERO);
        let _hold = e.hold(Phase::Prefill, 1);
        assert!((e.queue(Duration::ZERO) - 40.0).abs() < 1e-9);
        assert!((e.queue(Duration::from_secs(120)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn only_one_group_and_one_connector_pair_up() {
        let labels = |slice: &str| {
            BTreeMap::from([("disaggregatedset.x-k8s.io/slice".to_string(), slice.to_string())])
        };
        assert_eq!(group(&BTreeMap::new()), None);
        assert_eq!(group(&labels("")), None, "an empty label says nothing");
        assert_ne!(group(&labels("0")), group(&labels("1")));
        let (a, b) = (endpoint("a", Role::Prefill), endpoint("b", Role::Decoding));
        assert!(a.hands_to(&b) && !a.hands_to(&a.clone()));
        let other = Endpoint { group: group(&labels("1")), ..b };
        assert!(!a.hands_to(&other));
    }
}
