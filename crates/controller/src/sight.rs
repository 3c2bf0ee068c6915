//! Whether this controller can read the cluster, and so whether what it publishes is current.
//!
//! A healthy watch can be silent for long: API servers send bookmarks about once a minute, or shortly before the end of
//! the time a watch was asked for. So silence of a watch proves nothing before that time is over, and a cheap request
//! is made every [`CHECK_EVERY`] besides. A watch or a check that fails is tried again at once; only when it has not
//! succeeded for [`FAILING_FOR`] is this an outage. During an outage this replica is not ready, serves no router, and
//! does not lead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use qoe_runtime::readiness::Readiness;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::kube_client::explain;
use crate::metrics::Metrics;
use crate::route::RawRoute;

/// Between two checks. Half a request a second, as many as for the lease.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// A check must be answered within this. Kubernetes' own objective for such a request is 1 s.
const CHECK_WITHIN: Duration = Duration::from_secs(4);
/// How long reading may fail before it is an outage: after a good check, one that is lost with its connection, and the
/// beginning of another (2 + 4 + 2 s), and a little. At half of it one dead connection would end every router's stream;
/// at double, a new router could be sent states that are 20 s old.
pub(crate) const FAILING_FOR: Duration = Duration::from_secs(10);
/// How often it is looked at whether there is an outage.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why this controller cannot read the cluster; `None` while it can.
pub(crate) type Outage = Option<Arc<str>>;

/// When each source of this controller's knowledge was last known to be good.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight(Arc<Mutex<BTreeMap<Arc<str>, State>>>);

#[derive(Debug)]
struct State {
    good: Instant,
    /// It is taken for good until then.
    until: Instant,
    failed: Option<String>,
}

/// One source: a watch, or the checks.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    sight: Sight,
    name: Arc<str>,
}

impl Sight {
    /// A source; it does not count before it was good once.
    pub(crate) fn source(&self, name: &str) -> Source {
        Source { sight: self.clone(), name: name.into() }
    }

    /// Why there is an outage at this moment.
    fn outage(&self, now: Instant) -> Outage {
        let states = self.states();
        let (name, state) = states.iter().find(|(_, state)| state.until <= now)?;
        let seconds = (now - state.good).as_secs();
        let why = state.failed.as_deref().unwrap_or("the API server is silent");
        Some(format!("{name} were last read {seconds} s ago: {why}").into())
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// It was read now; unless it fails, it is good for this long.
    pub(crate) fn good(&self, lasts: Duration) {
        let good = Instant::now();
        let state = State { good, until: good + lasts, failed: None };
        self.sight.states().insert(Arc::clone(&self.name), state);
    }

    /// It could not be read.
    pub(crate) fn failed(&self, why: &str) {
        let now = Instant::now();
        if let Some(state) = self.sight.states().get_mut(&self.name) {
            if state.failed.is_none() {
                state.until = state.until.min(now + FAILING_FOR);
            }
            state.failed = Some(why.to_owned());
        }
    }
}

/// Asks for one route again and again.
pub(crate) async fn check(api: Api<RawRoute>, source: Source) {
    let mut ticks = interval(CHECK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Without a version, so that the API server asks etcd: one that is cut off from etcd could serve watches on.
    let params = ListParams::default().limit(1);
    loop {
        ticks.tick().await;
        match timeout(CHECK_WITHIN, api.list(&params)).await {
            Ok(Ok(_)) => source.good(FAILING_FOR),
            Ok(Err(error)) => source.failed(&explain(&error)),
            Err(_) => source.failed(&format!("no answer within {CHECK_WITHIN:?}")),
        }
    }
}

/// What an outage changes.
pub(crate) struct Signals {
    pub(crate) readiness: Readiness,
    pub(crate) outage: watch::Sender<Outage>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Tells of each outage, and of its end.
pub(crate) async fn look(sight: Sight, outlets: Signals) {
    let Signals { readiness, outage, metrics } = outlets;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut awaiting = None;
    loop {
        ticks.tick().await;
        let now = sight.outage(Instant::now());
        metrics.cluster_readable.set(i64::from(now.is_none()));
        match (&now, &awaiting) {
            (Some(why), None) => {
                awaiting = Some(readiness.awaiting(format!("the cluster to be readable: {why}")));
                tracing::warn!(%why, "cannot read the cluster: not ready, and routers are not served");
                outage.send_replace(now);
            }
            (None, Some(_)) => {
                awaiting = None;
                tracing::info!("the cluster can be read again");
                outage.send_replace(None);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use tokio::time::advance;

    use super::*;

    struct Looked {
        readiness: Readiness,
        outage: watch::Receiver<Outage>,
    }

    fn looking(sight: &Sight) -> Looked {
        let readiness = Readiness::new();
        let (told, outage) = watch::channel(None);
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        let outlets = Signals { readiness: readiness.clone(), outage: told, metrics };
        tokio::spawn(look(sight.clone(), outlets));
        Looked { readiness, outage }
    }

    impl Looked {
        /// Why there is an outage, after this long.
        async fn after(&self, time: Duration) -> Outage {
            advance(time).await;
            // The look that is due now.
            tokio::time::sleep(LOOK_EVERY).await;
            let outage = self.outage.borrow().clone();
            assert_eq!(self.readiness.ready(), outage.is_none());
            outage
        }
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_for_long_is_an_outage_until_it_is_read_again() {
        let sight = Sight::default();
        let (pods, routes) = (sight.source("pods"), sight.source("routes"));
        let looked = looking(&sight);
        pods.failed("not counted before it was good once");
        assert_eq!(looked.after(s(60)).await, None);
        pods.good(s(35));
        routes.good(s(35));
        assert_eq!(looked.after(s(20)).await, None, "silence is no failure");
        pods.failed("refused");
        assert_eq!(looked.after(s(5)).await, None);
        pods.failed("refused again");
        routes.good(s(35));
        let why = looked.after(s(5)).await.expect("it has failed for 10 s");
        assert_eq!(&*why, "pods were last read 31 s ago: refused again");
        assert!(looked.readiness.pending()[0].contains(&*why));
        pods.good(s(35));
        assert_eq!(looked.after(s(1)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_silent_for_longer_than_it_may_be_is_an_outage() {
        let sight = Sight::default();
        sight.source("pods").good(s(35));
        let looked = looking(&sight);
        assert_eq!(looked.after(s(34)).await, None);
        let why = looked.after(s(1)).await.expect("it is silent");
        assert!(why.ends_with("the API server is silent"), "{why}");
    }
}
