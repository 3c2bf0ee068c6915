//! One vLLM server: what it is, what is in flight there, how it does, and whether it may be used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::connector::Connector;
use crate::phase::{Phase, Role, RoleSource};
use crate::signals::Signals;

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

/// Consecutive failures after which an endpoint is left out for a while.
const EJECT_AFTER: u32 = 3;
/// First time out; doubles with each further failure.
const EJECT_FIRST: Duration = Duration::from_secs(1);
/// Longest time out.
const EJECT_LONGEST: Duration = Duration::from_secs(30);
/// Handed-over KV caches in a row that could not be used, after which an endpoint is not handed from.
const DISTRUST_AFTER: u32 = 3;
/// How long a prefill endpoint that answered without KV parameters is not handed from.
const KV_DISTRUST: Duration = Duration::from_secs(30);

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

/// A server's identity and live state, shared by all routes and workers.
#[derive(Debug)]
pub struct EndpointState {
    /// Unique name.
    pub name: Arc<str>,
    /// `host:port`.
    pub authority: Arc<str>,
    /// What is known of how it does.
    pub signals: Signals,
    served: ArcSwapOption<Vec<Served>>,
    in_flight: [AtomicU32; 2],
    tokens: [AtomicU64; 2],
    unread: AtomicU64,
    failures: AtomicU32,
    ejected_until: AtomicU64,
    kv_failures: AtomicU32,
    kv_distrusted_until: AtomicU64,
}

impl EndpointState {
    /// A fresh endpoint: nothing in flight, nothing known.
    #[must_use]
    pub fn new(name: &str, authority: &str) -> Self {
        Self {
            name: name.into(),
            authority: authority.into(),
            signals: Signals::default(),
            served: ArcSwapOption::empty(),
            in_flight: Default::default(),
            tokens: Default::default(),
            unread: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            kv_failures: AtomicU32::new(0),
            kv_distrusted_until: AtomicU64::new(0),
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

    /// Requests of this router in flight here, in one phase.
    #[must_use]
    pub fn in_flight(&self, phase: Phase) -> u32 {
        self.in_flight[phase as usize].load(Ordering::Relaxed)
    }

    /// Requests of this router in flight here, in both phases.
    #[must_use]
    pub fn in_flight_all(&self) -> u32 {
        self.in_flight(Phase::Prefill) + self.in_flight(Phase::Decoding)
    }

    /// Prompt tokens of this router's requests in flight here, in one phase.
    #[must_use]
    pub fn tokens(&self, phase: Phase) -> u64 {
        self.tokens[phase as usize].load(Ordering::Relaxed)
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

    /// Counts a request in until the returned hold is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>, phase: Phase, tokens: u64) -> Hold {
        self.in_flight[phase as usize].fetch_add(1, Ordering::Relaxed);
        self.tokens[phase as usize].fetch_add(tokens, Ordering::Relaxed);
        Hold { state: Arc::clone(self), phase, tokens }
    }

    /// Prompt tokens sent here that are not expected in its prefix cache and not read yet.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    /// A prompt of so many tokens departs. What is expected in the prefix cache is not counted.
    #[must_use]
    pub fn reads(self: &Arc<Self>, prompt_tokens: u64, now: Duration) -> Reading {
        let tokens = self.uncached(prompt_tokens, now);
        let ahead = self.unread.fetch_add(tokens, Ordering::Relaxed).saturating_add(tokens);
        Reading { state: Arc::clone(self), tokens, ahead, sent: now }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of some millions"
    )]
    fn uncached(&self, prompt_tokens: u64, now: Duration) -> u64 {
        let hit = self.signals.prefix_hit_rate.get(now);
        let cached = hit.map_or(0.0, |hit| (hit.value * hit.weight).clamp(0.0, 1.0));
        (prompt_tokens as f64 * (1.0 - cached)).ceil() as u64
    }

    /// A request went well: failures are forgotten.
    pub fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed by this endpoint's doing. Returns for how long the endpoint is now ejected, if that is new:
    /// what fails while it is ejected was sent before, and tells nothing more.
    pub fn failed(&self, now: Duration) -> Option<Duration> {
        if self.ejected(now) {
            return None;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let beyond = failures.checked_sub(EJECT_AFTER)?;
        let time_out = EJECT_FIRST.saturating_mul(1 << beyond.min(10)).min(EJECT_LONGEST);
        self.ejected_until.store(millis(now + time_out), Ordering::Relaxed);
        Some(time_out)
    }

    /// Whether the router's own evidence says to leave it out for now.
    #[must_use]
    pub fn ejected(&self, now: Duration) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > millis(now)
    }

    /// A KV cache that was handed over from here could not be used, or could. Some failures in a row, and it is
    /// not handed from for a while: the fault may be the other's, so one is not enough.
    pub fn kv_handed_over(&self, worked: bool, now: Duration) {
        if worked {
            self.kv_failures.store(0, Ordering::Relaxed);
        } else if self.kv_failures.fetch_add(1, Ordering::Relaxed) + 1 >= DISTRUST_AFTER {
            self.kv_failures.store(0, Ordering::Relaxed);
            self.distrust_kv(now);
        }
    }

    /// It was asked to hand over and answered without usable KV parameters.
    pub fn distrust_kv(&self, now: Duration) {
        self.kv_distrusted_until.store(millis(now + KV_DISTRUST), Ordering::Relaxed);
    }

    /// Whether handing over from here is worth a try.
    #[must_use]
    pub fn trusts_kv(&self, now: Duration) -> bool {
        self.kv_distrusted_until.load(Ordering::Relaxed) <= millis(now)
    }
}

fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// One request's place in an endpoint's ledger; given back on drop, however the request ends.
#[derive(Debug)]
pub struct Hold {
    state: Arc<EndpointState>,
    phase: Phase,
    tokens: u64,
}

impl Hold {
    /// The endpoint that is held.
    #[must_use]
    pub fn state(&self) -> &Arc<EndpointState> {
        &self.state
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.state.in_flight[self.phase as usize].fetch_sub(1, Ordering::Relaxed);
        self.state.tokens[self.phase as usize].fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

/// A prompt on its way through an endpoint; dropped, it is no longer waited for.
#[derive(Debug)]
pub struct Reading {
    state: Arc<EndpointState>,
    tokens: u64,
    /// With those that were there before: what had to be read until this prompt was.
    ahead: u64,
    sent: Duration,
}

impl Reading {
    /// The prompt was read: how fast the endpoint reads is learned.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn done(self, now: Duration) {
        let seconds = now.saturating_sub(self.sent).as_secs_f64();
        if seconds > 0.0 && self.ahead > 0 {
            self.state.signals.prefill_speed.observe(self.ahead as f64 / seconds, now);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.state.unread.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

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
        e.signals.prefix_hit_rate.set(0.25, now);
        let first = e.reads(1000, now);
        let second = e.reads(2000, now);
        assert_eq!(e.unread(), 750 + 1500);
        second.done(now + Duration::from_secs(3));
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
            e.kv_handed_over(worked, now);
            assert!(e.trusts_kv(now));
        }
        e.kv_handed_over(false, now);
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
