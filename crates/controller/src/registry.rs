//! The connected routers: which states each serves, and what load it reports.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use qoe_core::scale::{DecodingSeen, PrefillSeen};
use qoe_discovery::proto::{DecodingLoad, Hello, PrefillLoad, RouteLoad};
use qoe_discovery::server::Routers;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A report is valid for this long: a router sends one each second, and five may be missing. A missing one makes the sum
/// unknown, not smaller.
const REPORTED_WITHIN: Duration = Duration::from_secs(5);
/// A router that has just connected counts once it has answered, or after this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// A router whose stream has ended counts for this long: it opens another within 5 s, its longest wait.
const RETURNS_WITHIN: Duration = Duration::from_secs(10);
/// Time constant with which sums of reports decay.
const SUMMED_OVER: Duration = Duration::from_secs(30);
/// Characters of a rejection that are kept.
const MAX_REASON: usize = 512;

/// All routers.
#[derive(Debug)]
pub(crate) struct Registry {
    epoch: Instant,
    state: Mutex<RegistryState>,
}

#[derive(Debug, Default)]
struct RegistryState {
    /// By name.
    routers: BTreeMap<String, Router>,
    /// The router of each connection.
    connections: HashMap<u64, String>,
}

#[derive(Debug)]
struct Router {
    release: String,
    /// The newest of its connections.
    connection: u64,
    joined: Duration,
    left: Option<Duration>,
    answers: HashMap<String, RouterAnswer>,
    loads: HashMap<String, LoadSum>,
    reported: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RouterAnswer {
    nonce: u64,
    refused: Option<String>,
}

/// A router's load for one route: the last report of gauges, decayed sums of counts.
#[derive(Clone, Copy, Debug, Default)]
struct LoadSum {
    at: Duration,
    unread_tokens: f64,
    tokens_per_second: f64,
    first_tokens: f64,
    ttft_seconds: f64,
    prompt_tokens: f64,
    kv_use: f64,
    kv_endpoints: f64,
    gaps: f64,
    gap_seconds: f64,
}

/// How many routers serve a route's latest state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Programmed {
    pub(crate) connected: u32,
    pub(crate) programmed: u32,
    /// A router that rejected the state, and why.
    pub(crate) refused: Option<(String, String)>,
}

/// The load of a route over all routers. A `None` in it: not known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PhaseLoads {
    pub(crate) prefill: PrefillSeen,
    pub(crate) decoding: DecodingSeen,
}

impl Registry {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, state: Mutex::default() }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the routers that left and did not return.
    pub(crate) fn forget(&self) {
        let now = self.now();
        let since = |left| now.saturating_sub(left);
        let gone = |router: &Router| router.left.is_some_and(|left| since(left) > RETURNS_WITHIN);
        self.state().routers.retain(|_, router| !gone(router));
    }

    /// Routers that are connected.
    pub(crate) fn count(&self) -> usize {
        self.state().routers.len()
    }

    /// How many routers serve the state with this nonce. A router that has left, or has just connected, counts only once it
    /// has answered.
    pub(crate) fn programmed(&self, route: &str, nonce: u64) -> Programmed {
        let now = self.now();
        let state = self.state();
        let mut found = Programmed::default();
        for (name, router) in &state.routers {
            let answer = router.answers.get(route).filter(|answer| answer.nonce == nonce);
            let new = now.saturating_sub(router.joined) < ANSWERS_WITHIN;
            if answer.is_none() && (new || router.left.is_some()) {
                continue;
            }
            found.connected += 1;
            match answer {
                Some(RouterAnswer { refused: None, .. }) => found.programmed += 1,
                Some(RouterAnswer { refused: Some(why), .. }) => {
                    found.refused.get_or_insert_with(|| (name.clone(), why.clone()));
                }
                None => {}
            }
        }
        found
    }

    /// The load of a route; `None` while a connected router has not reported, or none is connected.
    pub(crate) fn seen(&self, route: &str) -> Option<PhaseLoads> {
        let now = self.now();
        let state = self.state();
        let mut sum = LoadSum::default();
        let mut speeds = (0.0, 0.0);
        for router in state.routers.values() {
            router.reported.filter(|at| now.saturating_sub(*at) < REPORTED_WITHIN)?;
            // A router that does not serve the route yet reports nothing of it.
            let Some(load) = router.loads.get(route) else { continue };
            sum.unread_tokens += load.unread_tokens;
            sum.first_tokens += load.first_tokens;
            sum.ttft_seconds += load.ttft_seconds;
            sum.prompt_tokens += load.prompt_tokens;
            sum.gaps += load.gaps;
            sum.gap_seconds += load.gap_seconds;
            if load.tokens_per_second > 0.0 {
                speeds = (speeds.0 + load.tokens_per_second, speeds.1 + 1.0);
            }
            // Every router scrapes the same endpoints, so KV use is not summed: the router that knows most of them counts.
            if load.kv_endpoints > sum.kv_endpoints {
                (sum.kv_use, sum.kv_endpoints) = (load.kv_use, load.kv_endpoints);
            }
        }
        let mean = |sum: f64, count: f64| (count >= 1.0).then(|| sum / count);
        (!state.routers.is_empty()).then(|| PhaseLoads {
            prefill: PrefillSeen {
                unread_tokens: sum.unread_tokens,
                tokens_per_second: mean(speeds.0, speeds.1),
                prompt_tokens: mean(sum.prompt_tokens, sum.first_tokens),
                ttft: mean(sum.ttft_seconds, sum.first_tokens),
            },
            decoding: DecodingSeen {
                kv_use: mean(sum.kv_use, sum.kv_endpoints),
                itl: mean(sum.gap_seconds, sum.gaps),
            },
        })
    }

    /// For `/debug/routers`.
    pub(crate) fn page(&self) -> Value {
        let now = self.now();
        let state = self.state();
        let ago = |at: Duration| now.saturating_sub(at).as_secs_f64();
        let router = |(name, router): (&String, &Router)| {
            let answers: BTreeMap<_, _> = router
                .answers
                .iter()
                .map(|(route, answer)| {
                    (route, json!({"nonce": answer.nonce, "refused": answer.refused}))
                })
                .collect();
            json!({
                "name": name,
                "release": router.release,
                "leftSecondsAgo": router.left.map(ago),
                "reportedSecondsAgo": router.reported.map(ago),
                "answers": answers,
            })
        };
        state.routers.iter().map(router).collect()
    }
}

impl LoadSum {
    /// Adds a report; sums decay with the time since the last one.
    #[expect(clippy::cast_precision_loss, reason = "counts of a second")]
    fn take(&mut self, prefill: &PrefillLoad, decoding: &DecodingLoad, now: Duration) {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        let kept = (-elapsed / SUMMED_OVER.as_secs_f64()).exp();
        let add = |sum: &mut f64, new: f64| *sum = sane(*sum * kept + sane(new));
        add(&mut self.first_tokens, prefill.first_tokens as f64);
        add(&mut self.ttft_seconds, prefill.ttft_seconds);
        add(&mut self.prompt_tokens, prefill.prompt_tokens);
        add(&mut self.gaps, decoding.gaps as f64);
        add(&mut self.gap_seconds, decoding.gap_seconds);
        self.unread_tokens = sane(prefill.unread_tokens);
        self.tokens_per_second = sane(prefill.tokens_per_second);
        self.kv_use = sane(decoding.kv_use);
        self.kv_endpoints = f64::from(decoding.kv_endpoints);
        self.at = now;
    }
}

/// A number from outside: NaN, infinite or negative counts as 0.
fn sane(number: f64) -> f64 {
    if number.is_finite() { number.max(0.0) } else { 0.0 }
}

impl Routers for Registry {
    fn joined(&self, connection: u64, hello: &Hello) {
        let now = self.now();
        let mut state = self.state();
        state.connections.insert(connection, hello.router.clone());
        // Answers on an older connection of the same router are still true: they are kept.
        let router = state.routers.entry(hello.router.clone()).or_insert_with(|| Router {
            release: String::new(),
            connection,
            joined: now,
            left: None,
            answers: HashMap::new(),
            loads: HashMap::new(),
            reported: None,
        });
        router.release.clone_from(&hello.release);
        router.connection = connection;
        router.left = None;
        tracing::info!(router = hello.router, release = hello.release, "router connected");
    }

    fn answered(&self, connection: u64, route: &str, nonce: u64, answer: Result<(), String>) {
        let refused = answer.err().map(|why| why.chars().take(MAX_REASON).collect::<String>());
        let mut state = self.state();
        let Some(router) = state.of(connection) else { return };
        let answer = RouterAnswer { nonce, refused };
        let same = router.answers.get(route) == Some(&answer);
        if let Some(why) = answer.refused.as_ref().filter(|_| !same) {
            tracing::warn!(route, why, "a router rejected a state");
        }
        if nonce == 0 {
            // The route was removed.
            router.answers.remove(route);
        } else {
            router.answers.insert(route.to_owned(), answer);
        }
    }

    fn reported(&self, connection: u64, load: Vec<RouteLoad>) {
        let now = self.now();
        let mut state = self.state();
        let Some(router) = state.of(connection) else { return };
        router.reported = Some(now);
        let mut loads = HashMap::with_capacity(load.len());
        for RouteLoad { route, prefill, decoding } in load {
            let mut load =
                router.loads.remove(&route).unwrap_or(LoadSum { at: now, ..LoadSum::default() });
            load.take(&prefill.unwrap_or_default(), &decoding.unwrap_or_default(), now);
            loads.insert(route, load);
        }
        router.loads = loads;
    }

    fn left(&self, connection: u64) {
        let now = self.now();
        let mut state = self.state();
        let Some(name) = state.connections.remove(&connection) else { return };
        if let Some(router) = state.routers.get_mut(&name)
            && router.connection == connection
        {
            router.left = Some(now);
            tracing::info!(router = name, "router disconnected");
        }
    }
}

impl RegistryState {
    /// The router of a connection, if it is the router's newest.
    fn of(&mut self, connection: u64) -> Option<&mut Router> {
        let name = self.connections.get(&connection)?;
        self.routers.get_mut(name).filter(|router| router.connection == connection)
    }
}

#[cfg(test)]
mod tests;
