//! Leader election by a Lease: it decides which replica may write.
//!
//! The rules are client-go's. The lease of another replica is waited out by this process's own clock, from when its last
//! change was seen, so that clocks need not agree. A leader that could not renew within [`Times::renew_within`] stops writing,
//! well before another may take over. A lease is given up on shutdown, and belongs to its holder's pod, where that is
//! known: with the last of the pods it is collected, so that nothing stays behind an installation.
//! Own code, since no maintained crate does it for this release of kube.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::PostParams;
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::kube_client::explain;
use crate::sight::Outage;

/// The times of a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// How long other replicas wait for a silent leader.
    pub(crate) lease: Duration,
    /// A leader that could not renew for this long stops writing.
    pub(crate) renew_within: Duration,
    /// How often the lease is read, or renewed.
    pub(crate) every: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { lease: s(15), renew_within: s(10), every: s(2) }
    }
}

/// Giving up the lease delays the end of the process by this at most; others wait it out otherwise.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// Until when this process may write. Cheap to ask.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    epoch: Instant,
    /// Milliseconds since the epoch; 0: not the leader.
    until: Arc<AtomicU64>,
}

impl Leadership {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, until: Arc::default() }
    }

    /// How much longer this process may write; a write must be over by then.
    pub(crate) fn left(&self) -> Option<Duration> {
        let until = Duration::from_millis(self.until.load(Ordering::Relaxed));
        until.checked_sub(self.epoch.elapsed()).filter(|left| !left.is_zero())
    }

    pub(crate) fn set(&self, until: Option<Duration>) {
        let millis = until.map_or(0, |until| u64::try_from(until.as_millis()).unwrap_or(0));
        self.until.store(millis, Ordering::Relaxed);
    }
}

/// The lease as last read.
#[derive(Clone, Debug, Default, PartialEq)]
struct Observed {
    holder: String,
    renewed: Option<MicroTime>,
    transitions: i32,
    lease: Duration,
}

/// What to do about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is free, or ours: take or renew it.
    Hold { taken: bool },
    /// Another replica holds it.
    Wait,
}

/// Decides by the lease, and by how long it has not changed.
fn step(observed: &Observed, identity: &str, unchanged_for: Duration) -> Step {
    if observed.holder == identity {
        Step::Hold { taken: false }
    } else if observed.holder.is_empty() || unchanged_for >= observed.lease {
        Step::Hold { taken: true }
    } else {
        Step::Wait
    }
}

/// A replica that takes part.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    /// The name in the lease.
    pub(crate) name: String,
    /// The UID of the pod with that name, if the replica is a pod.
    pub(crate) pod_uid: Option<String>,
}

impl Replica {
    fn owner(&self) -> Option<OwnerReference> {
        Some(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: self.name.clone(),
            uid: self.pod_uid.clone()?,
            ..OwnerReference::default()
        })
    }
}

/// This replica's part in the election.
pub(crate) struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: Replica,
    times: Times,
    leadership: Leadership,
    outage: watch::Receiver<Outage>,
    seen: Option<(Observed, Instant)>,
}

impl Candidate {
    pub(crate) fn new(
        api: Api<Lease>,
        name: &str,
        identity: Replica,
        leadership: Leadership,
        outage: watch::Receiver<Outage>,
    ) -> Self {
        let times = Times::default();
        Self { api, name: name.to_owned(), identity, times, leadership, outage, seen: None }
    }

    /// Holds or awaits the lease until `stop` resolves, then gives it up. So it does while this replica cannot read the
    /// cluster: another may.
    pub(crate) async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut led = false;
        loop {
            let rest = if self.outage.borrow().is_some() {
                self.give_up().await;
                self.times.every
            } else {
                self.take_part().await
            };
            let leads = self.leadership.left().is_some();
            if leads != led {
                led = leads;
                let identity = &self.identity.name;
                if led {
                    tracing::info!(identity, "leader: this replica writes status and events");
                } else {
                    tracing::info!(identity, "not the leader any more");
                }
            }
            tokio::select! {
                () = &mut stop => break,
                () = sleep(rest) => {}
            }
        }
        self.give_up().await;
    }

    /// Takes or renews the lease if it may; returns how long to rest.
    async fn take_part(&mut self) -> Duration {
        let asked = Instant::now();
        let rest = self.times.every.mul_f64(rand::rng().random_range(0.8..=1.2));
        // A request that hangs, as on a connection that is dead, must leave time for another one.
        match timeout(self.times.renew_within / 2, self.look()).await {
            Ok(Ok(true)) => {
                // From when it was asked: the answer may have taken long.
                let until = asked - self.leadership.epoch + self.times.renew_within;
                self.leadership.set(Some(until));
                rest
            }
            Ok(Ok(false)) => {
                self.leadership.set(None);
                rest
            }
            Ok(Err(error)) => {
                let why = explain(&error);
                tracing::warn!(lease = self.name, error = why, "cannot hold the lease");
                rest
            }
            Err(_) => {
                tracing::warn!(lease = self.name, "the API server did not answer about the lease");
                Duration::ZERO
            }
        }
    }

    /// Gives the lease up, if it is held.
    async fn give_up(&mut self) {
        let led = self.leadership.left().is_some();
        self.leadership.set(None);
        if led && timeout(RELEASE_WITHIN, self.release()).await.is_err() {
            tracing::warn!(lease = self.name, "the lease could not be given up in time");
        }
    }

    /// Reads the lease, and takes or renews it if it may; true if it is ours now.
    async fn look(&mut self) -> kube::Result<bool> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let lease = self.lease(
                ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                None,
                0,
            );
            return taken(self.api.create(&PostParams::default(), &lease).await);
        };
        let observed = observed(lease.spec.as_ref());
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if *seen == observed => *since,
            _ => now,
        };
        let step = step(&observed, &self.identity.name, now - since);
        let transitions = observed.transitions;
        self.seen = Some((observed, since));
        match step {
            Step::Wait => Ok(false),
            Step::Hold { taken: new } => {
                let acquired = lease.spec.and_then(|spec| spec.acquire_time).filter(|_| !new);
                // With its resource version, so that only the first of several replicas takes it.
                let lease = self.lease(lease.metadata, acquired, transitions + i32::from(new));
                taken(self.api.replace(&self.name, &PostParams::default(), &lease).await)
            }
        }
    }

    fn lease(&self, metadata: ObjectMeta, acquired: Option<MicroTime>, transitions: i32) -> Lease {
        let now = MicroTime(wall_clock());
        Lease {
            metadata: ObjectMeta {
                managed_fields: None,
                owner_references: self.identity.owner().map(|owner| vec![owner]),
                ..metadata
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.name.clone()),
                lease_duration_seconds: i32::try_from(self.times.lease.as_secs()).ok(),
                acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }

    async fn release(&self) -> kube::Result<()> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        let Some(spec) = lease.spec.as_mut() else { return Ok(()) };
        if spec.holder_identity.as_ref() != Some(&self.identity.name) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        self.api.replace(&self.name, &PostParams::default(), &lease).await.map(drop)
    }
}

/// A conflict means that another replica was faster; that is not an error.
fn taken(answer: kube::Result<Lease>) -> kube::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

fn observed(spec: Option<&LeaseSpec>) -> Observed {
    let Some(spec) = spec else { return Observed::default() };
    let seconds = spec.lease_duration_seconds.unwrap_or(0);
    Observed {
        holder: spec.holder_identity.clone().unwrap_or_default(),
        renewed: spec.renew_time.clone(),
        transitions: spec.lease_transitions.unwrap_or(0),
        lease: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    }
}

/// The wall clock, for others to read; nothing is decided by it.
pub(crate) fn wall_clock() -> Timestamp {
    let since = qoe_runtime::telemetry::unix_time();
    let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
