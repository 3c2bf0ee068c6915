//! Scraping what endpoints publish of themselves: `/metrics` once per interval, `/v1/models` now and then.
//!
//! It informs choices and nothing else: an endpoint that cannot be scraped is not thereby unavailable. It must not
//! know requests, nor where the configuration comes from.

mod look;
pub(crate) mod models;
mod page;
mod rota;
mod slots;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use qoe_runtime::readiness::Guard;
use tokio::time::MissedTickBehavior;

use crate::scrape::look::{Known, look};
use crate::scrape::rota::{Identity, Rota, SLICES, ScrapeTarget};
use crate::scrape::slots::Slots;
use crate::shared::Shared;

/// Scrapes all endpoints once per `interval`, for ever. `first` is dropped once all endpoints of the first
/// configuration were looked at: until then it is not known which endpoint serves which model.
pub(crate) async fn run(shared: Arc<Shared>, interval: Duration, first: Guard) {
    let shared = &*shared;
    follow(shared, interval, first, async |target, known| look(shared, target, known).await).await;
}

/// Looks at each endpoint in its slice of every interval, and at a new one at once. An endpoint that is still being
/// looked at when its slice comes round misses that turn.
async fn follow(
    shared: &Shared,
    interval: Duration,
    first: Guard,
    look: impl AsyncFn(ScrapeTarget, &mut Known) -> bool,
) {
    let slots = Slots::default();
    let looking = |(target, mut known): (ScrapeTarget, Known)| {
        let (slots, look, identity) = (&slots, &look, target.identity());
        async move {
            let ok = slots.hold_for(look(target, &mut known)).await == Some(true);
            ScrapeOutcome { identity, known, ok }
        }
    };
    let mut ticks = tokio::time::interval(interval / SLICES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut first, mut turns) = (Some(first), Turns::default());
    let mut looks = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => looks.extend(turns.next(shared).into_iter().map(&looking)),
            Some(looked) = looks.next() => {
                let mut models_changed = turns.ended(shared, looked);
                // All that ended by now, so that many lists which change at the same time are indexed once.
                while let Some(Some(looked)) = looks.next().now_or_never() {
                    models_changed |= turns.ended(shared, looked);
                }
                if models_changed {
                    shared.snapshot.load().index_models();
                }
            }
        }
        if turns.first_are_over() {
            drop(first.take());
        }
    }
}

/// A look that ended, or was given up.
struct ScrapeOutcome {
    identity: Identity,
    known: Known,
    /// The endpoint has answered with its metrics.
    ok: bool,
}

/// Whose turn it is, and what is kept of each endpoint from one look to the next.
#[derive(Default)]
struct Turns {
    rota: Rota,
    slice: u32,
    known: HashMap<Identity, Known>,
    under_way: HashSet<Identity>,
    /// The endpoints of the first configuration that are still there and were not looked at yet.
    awaited: HashSet<Identity>,
}

impl Turns {
    /// The endpoints to look at now: those of the next slice, and those that are new.
    fn next(&mut self, shared: &Shared) -> Vec<(ScrapeTarget, Known)> {
        let snapshot = shared.snapshot.load();
        self.slice = (self.slice + 1) % SLICES;
        let changed = self.rota.version() != snapshot.version;
        if changed {
            let is_first = !self.configured();
            self.rota = Rota::of(&snapshot);
            if is_first {
                self.awaited = self.rota.all().map(ScrapeTarget::identity).collect();
            }
            self.awaited.retain(|identity| self.rota.has(identity));
            self.known.retain(|identity, _| self.rota.has(identity));
        }
        let mut due = self.rota.slice(self.slice).to_vec();
        if changed {
            let is_new = |target: &&ScrapeTarget| !self.known.contains_key(&target.identity());
            due.extend(self.rota.all().filter(is_new).cloned());
        }
        due.retain(|target| self.under_way.insert(target.identity()));
        let with_known = |target: ScrapeTarget| {
            let known = self.known.remove(&target.identity()).unwrap_or_default();
            (target, known)
        };
        due.into_iter().map(with_known).collect()
    }

    /// Notes what came of a look. Returns whether the endpoint serves other models than before.
    fn ended(&mut self, shared: &Shared, looked: ScrapeOutcome) -> bool {
        let ScrapeOutcome { identity, mut known, ok } = looked;
        shared.metrics.scraped(ok);
        self.under_way.remove(&identity);
        self.awaited.remove(&identity);
        let models_changed = std::mem::take(&mut known.models_changed);
        if self.rota.has(&identity) {
            self.known.insert(identity, known);
        }
        models_changed
    }

    /// Whether all endpoints of the first configuration were looked at. Later looks do not matter: some are always
    /// under way where there are many endpoints.
    fn first_are_over(&self) -> bool {
        self.configured() && self.awaited.is_empty()
    }

    /// Whether there is a configuration whose endpoints are looked at.
    const fn configured(&self) -> bool {
        self.rota.version() > 0
    }
}

#[cfg(test)]
mod tests;
