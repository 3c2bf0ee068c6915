//! One vLLM server: its role, what is in flight there, what was measured of it, and whether it may be used.
//!
//! Must not know: routes, plans, requests.

pub mod connector;
pub mod exposition;
pub mod health;
pub mod holds;
pub mod ledger;
pub mod pool;
pub mod scraped;
pub mod signals;
pub mod state;
pub mod tag;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::endpoint::connector::Connector;
use crate::endpoint::state::EndpointState;
use crate::phase::{Role, RoleSource};

/// An endpoint as one route sees it, with its live state, which all routes share.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its live state.
    pub state: Arc<EndpointState>,
    /// The phases that it is for.
    pub role: Role,
    /// What decided the role.
    pub role_source: RoleSource,
    /// How it moves KV caches.
    pub connector: Connector,
    /// Its pairing group: KV caches move only inside one group (slice and revision, or role set).
    pub group: Option<String>,
}

/// The labels whose values make the pairing group: KV transfer across revisions or role sets fails.
const GROUP_LABELS: [&str; 4] = [
    "disaggregatedset.x-k8s.io/name",
    "disaggregatedset.x-k8s.io/slice",
    "disaggregatedset.x-k8s.io/revision",
    "roleset-name",
];

/// The pairing group of an endpoint with these labels. Endpoints without one (`None`) pair with each other.
#[must_use]
pub fn group(labels: &BTreeMap<String, String>) -> Option<String> {
    let values = GROUP_LABELS.iter().filter_map(|key| labels.get(*key));
    let values: Vec<_> = values.filter(|value| !value.is_empty()).collect();
    (!values.is_empty())
        .then(|| values.into_iter().map(String::as_str).collect::<Vec<_>>().join("/"))
}

impl Endpoint {
    /// Whether a KV cache can be moved from `self` to `decoding`.
    #[must_use]
    pub fn hands_to(&self, decoding: &Self) -> bool {
        self.connector != Connector::None
            && self.connector == decoding.connector
            && self.group == decoding.group
            && !Arc::ptr_eq(&self.state, &decoding.state)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::health::{EJECT_FIRST, EJECT_LONGEST, KV_DISTRUST};
    use super::*;
    use crate::phase::Phase;
    use crate::speed::models::Models;
    use crate::speed::work::PromptWork;
    use std::time::Duration;

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
            (
                e.ledger.in_flight_all(),
                e.ledger.tokens(Phase::Prefill),
                e.ledger.tokens(Phase::Decoding)
            ),
            (2, 100, 50)
        );
        drop(one);
        drop(two);
        assert_eq!(
            (
                e.ledger.in_flight_all(),
                e.ledger.tokens(Phase::Prefill),
                e.ledger.tokens(Phase::Decoding)
            ),
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
        assert_eq!(e.ledger.unread(), 750 + 1500);
        second.done(&pool, now + Duration::from_secs(3));
        assert_eq!(e.ledger.unread(), 750);
        let speed = e.signals.prefill_speed.get(now + Duration::from_secs(3)).expect("learned");
        assert!((speed.value - 750.0).abs() < 1e-9, "all that was ahead, in three seconds");
        drop(first);
        assert_eq!(e.ledger.unread(), 0);
    }

    #[test]
    fn three_failures_in_a_row_eject_for_longer_each_time_and_a_success_forgives() {
        let e = state();
        let now = Duration::from_secs(100);
        assert_eq!((e.health.failed(now), e.health.failed(now)), (None, None));
        assert_eq!(e.health.failed(now), Some(EJECT_FIRST));
        assert_eq!(e.health.failed(now), None, "requests of the same moment count once");
        let later = now + EJECT_FIRST;
        assert!(e.health.ejected(now) && !e.health.ejected(later));
        assert_eq!(e.health.failed(later), Some(EJECT_FIRST * 2));
        let mut at = later;
        for _ in 0..10 {
            at += EJECT_LONGEST;
            assert!(e.health.failed(at) <= Some(EJECT_LONGEST));
        }
        assert!(!e.health.ejected(at + EJECT_LONGEST));
        e.health.succeeded();
        assert!(!e.health.ejected(at));
    }

    #[test]
    fn kv_that_fails_again_and_again_is_not_handed_over_for_a_while() {
        let e = state();
        let now = Duration::from_secs(100);
        for worked in [false, false, true, false, false] {
            assert_eq!(e.health.kv_handed_over(worked, now), None);
            assert!(e.health.trusts_kv(now));
        }
        assert_eq!(e.health.kv_handed_over(false, now), Some(KV_DISTRUST));
        assert!(!e.health.trusts_kv(now) && e.health.trusts_kv(now + KV_DISTRUST));
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
