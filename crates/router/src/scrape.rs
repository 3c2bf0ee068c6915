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

use crate::scrape::look::{Known, Looked, look};
use crate::scrape::rota::{Identity, Rota, SLICES, Target};
use crate::scrape::slots::Slots;
use crate::shared::Shared;

/// Scrapes all endpoints once per `interval`, for ever. `first` is dropped once all endpoints of the first
/// configuration were looked at: until then it is not known which endpoint serves which model.
pub(crate) async fn run(shared: Arc<Shared>, interval: Duration, first: Guard) {
    let shared = &*shared;
    follow(shared, interval, first, |target, known| look(shared, target, known)).await;
}

/// Looks at each endpoint in its slice of every interval, and at a new one at once. An endpoint that is still being
/// looked at when its slice comes round misses that turn.
async fn follow<F: Future<Output = Looked>>(
    shared: &Shared,
    interval: Duration,
    first: Guard,
    look: impl Fn(Target, Known) -> F,
) {
    let slots = Slots::default();
    let looking = |target: Target, known: Known| {
        let (slots, identity) = (&slots, target.identity());
        let look = look(target, known);
        async move { (identity, slots.hold_for(look).await) }
    };
    let mut ticks = tokio::time::interval(interval / SLICES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut first, mut turns) = (Some(first), Turns::default());
    let mut looks = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let due = turns.next(shared);
                looks.extend(due.into_iter().map(|(target, known)| looking(target, known)));
            }
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
        if turns.configured() && looks.is_empty() {
            drop(first.take());
        }
    }
}

/// Whose turn it is, and what is kept of each endpoint from one look to the next.
#[derive(Default)]
struct Turns {
    rota: Rota,
    slice: u32,
    known: HashMap<Identity, Known>,
    under_way: HashSet<Identity>,
}

impl Turns {
    /// The endpoints to look at now: those of the next slice, and those that are new.
    fn next(&mut self, shared: &Shared) -> Vec<(Target, Known)> {
        let snapshot = shared.snapshot.load();
        self.slice = (self.slice + 1) % SLICES;
        let changed = self.rota.version() != snapshot.version;
        if changed {
            self.rota = Rota::of(&snapshot);
            self.known.retain(|identity, _| self.rota.has(identity));
        }
        let mut due = self.rota.slice(self.slice).to_vec();
        if changed {
            let is_new = |target: &&Target| !self.known.contains_key(&target.identity());
            due.extend(self.rota.all().filter(is_new).cloned());
        }
        due.retain(|target| self.under_way.insert(target.identity()));
        let with_known = |target: Target| {
            let known = self.known.remove(&target.identity()).unwrap_or_default();
            (target, known)
        };
        due.into_iter().map(with_known).collect()
    }

    /// Notes what came of a look; `None` if it took too long. Whether the endpoint serves other models than before.
    fn ended(&mut self, shared: &Shared, (identity, looked): (Identity, Option<Looked>)) -> bool {
        self.under_way.remove(&identity);
        shared.metrics.scraped(looked.as_ref().is_some_and(|looked| looked.ok));
        let Looked { known, models_changed, .. } = looked.unwrap_or_default();
        if self.rota.has(&identity) {
            self.known.insert(identity, known);
        }
        models_changed
    }

    /// Whether there is a configuration whose endpoints are looked at.
    const fn configured(&self) -> bool {
        self.rota.version() > 0
    }
}

#[cfg(test)]
mod tests;
