//! Whether this controller can read the cluster, and so whether what it publishes is current.
//!
//! A healthy watch can be silent for long: API servers send bookmarks about once a minute, or shortly before the end of
//! the time a watch was asked for. So silence of a watch proves nothing before that time is over, and a cheap request
//! is made every [`PROBE_EVERY`] besides. A watch or a probe that fails is tried again at once; only when it has not
//! succeeded for [`FAILING_FOR`] is this an outage. During an outage this replica is not ready, serves no router, and
//! does not lead.
//!
//! A scope that the API server denies is no outage while another scope can be read: its routes stay as they were last
//! read, and those of the other scopes follow the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use qoe_discovery::server::World;
use qoe_runtime::readiness::Readiness;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::kube_client::{explain, is_denied};
use crate::metrics::Metrics;
use crate::route::RawRoute;

/// Between two probes. Half a request a second, as many as for the lease.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// A probe must be answered within this. Kubernetes' own objective for such a request is 1 s.
const PROBE_WITHIN: Duration = Duration::from_secs(4);
/// How long reading may fail before it is an outage: after a good probe, one that is lost with its connection, and the
/// beginning of another (2 + 4 + 2 s), and a little. At half of it one dead connection would end every router's stream;
/// at double, a new router could be sent states that are 20 s old.
pub(crate) const FAILING_FOR: Duration = Duration::from_secs(10);
/// How often [`report_outages`] looks for one.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why this controller cannot read the cluster; `None` while it can.
pub(crate) type Outage = Option<Arc<str>>;

/// When each source of this controller's knowledge was last known to be good.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight(Arc<Mutex<BTreeMap<Arc<str>, SightState>>>);

#[derive(Debug)]
struct SightState {
    /// The scope that it reads; `None`: it tells of all of them.
    scope: Option<Arc<str>>,
    good: Instant,
    /// It is taken for good until then.
    until: Instant,
    failure: Option<Failure>,
}

/// Why a source could not be read.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The API server did not answer as it should.
    Broken(String),
    /// The API server answers that this scope is not to be read, or not there.
    Denied(String),
}

impl Failure {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Broken(why) | Self::Denied(why) => why,
        }
    }
}

/// One source: a watch, or the probes.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    sight: Sight,
    name: Arc<str>,
    scope: Option<Arc<str>>,
}

impl Sight {
    /// A source of one scope, or of all; it does not count before it was good once.
    pub(crate) fn source(&self, name: &str, scope: Option<&Arc<str>>) -> Source {
        Source { sight: self.clone(), name: name.into(), scope: scope.cloned() }
    }

    /// Why there is an outage at this moment.
    pub(crate) fn outage(&self, now: Instant) -> Outage {
        let states = self.states();
        let failing = || states.iter().filter(|(_, state)| state.until <= now);
        let denied = |state: &SightState| matches!(state.failure, Some(Failure::Denied(_)));
        let denied_scopes: BTreeSet<_> = failing()
            .filter(|(_, state)| denied(state))
            .filter_map(|(_, state)| state.scope.as_ref())
            .collect();
        let can_read = |scope| !denied_scopes.contains(scope);
        let reads_on = states.values().filter_map(|state| state.scope.as_ref()).any(can_read);
        let (name, state) = failing().find(|(_, state)| !denied(state) || !reads_on)?;
        let seconds = (now - state.good).as_secs();
        let why = state.failure.as_ref().map_or("the API server is silent", Failure::text);
        Some(format!("{name} were last read {seconds} s ago: {why}").into())
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, SightState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// It was read now; unless it fails, it is good for this long.
    pub(crate) fn good(&self, lasts: Duration) {
        let good = Instant::now();
        let scope = self.scope.clone();
        let state = SightState { scope, good, until: good + lasts, failure: None };
        self.sight.states().insert(Arc::clone(&self.name), state);
    }

    /// It could not be read.
    pub(crate) fn failed(&self, failure: Failure) {
        let now = Instant::now();
        if let Some(state) = self.sight.states().get_mut(&self.name) {
            if state.failure.is_none() {
                state.until = state.until.min(now + FAILING_FOR);
            }
            state.failure = Some(failure);
        }
    }

    /// The API server answered that all of it is to be read anew, which may take this long. It does not end an outage.
    pub(crate) fn rereads(&self, within: Duration) {
        let now = Instant::now();
        if let Some(state) = self.sight.states().get_mut(&self.name)
            && now < state.until
        {
            state.until = state.until.max(now + within);
            state.failure = None;
        }
    }
}

/// Asks for one route again and again, in the first scope that may be read.
pub(crate) async fn probe(mut scopes: Vec<Api<RawRoute>>, source: Source) {
    let mut ticks = interval(PROBE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match timeout(PROBE_WITHIN, ask(&mut scopes)).await {
            Ok(Ok(())) => source.good(FAILING_FOR),
            Ok(Err(error)) => source.failed(Failure::Broken(explain(&error))),
            Err(_) => source.failed(Failure::Broken(format!("no answer within {PROBE_WITHIN:?}"))),
        }
    }
}

/// Asks in one scope after the other while it is denied. The scope that answered is first the next time.
async fn ask(scopes: &mut [Api<RawRoute>]) -> Result<(), kube::Error> {
    // Without a version, so that the API server asks etcd: one that is cut off from etcd could serve watches on.
    let params = ListParams::default().limit(1);
    let mut others = scopes.len() - 1;
    loop {
        match scopes[0].list(&params).await {
            Err(error) if others > 0 && is_denied(&error) => scopes.rotate_left(1),
            answer => return answer.map(drop),
        }
        others -= 1;
    }
}

/// What an outage changes.
pub(crate) struct Signals {
    pub(crate) readiness: Readiness,
    pub(crate) outage: watch::Sender<Outage>,
    pub(crate) metrics: Arc<Metrics>,
    /// `None` until everything was read once.
    pub(crate) world: watch::Receiver<Option<Arc<World>>>,
}

/// Reports each outage, and its end.
pub(crate) async fn report_outages(sight: Sight, signals: Signals) {
    let Signals { readiness, outage, metrics, world } = signals;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut awaiting = None;
    loop {
        ticks.tick().await;
        let now = sight.outage(Instant::now());
        let readable = now.is_none() && world.borrow().is_some();
        metrics.cluster_readable.set(i64::from(readable));
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
mod tests;
