//! Whether the process may get traffic, and the names of what it waits for. It must not know why somebody waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared readiness. A process that waits for nothing is ready, so take every guard before the admin port is served.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    awaited: BTreeMap<u64, String>,
    draining: bool,
}

/// Something that the process waits for; drop it when that is there.
#[derive(Debug)]
#[must_use = "dropping it says that what was awaited is there"]
pub struct Guard {
    readiness: Readiness,
    id: u64,
}

impl Readiness {
    /// Readiness that waits for nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the process not ready until the guard is dropped. `name` tells the operator what is missing.
    pub fn awaiting(&self, name: impl Into<String>) -> Guard {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.awaited.insert(id, name.into());
        Guard { readiness: self.clone(), id }
    }

    /// True when nothing is awaited and the process is not shutting down.
    #[must_use]
    pub fn ready(&self) -> bool {
        let state = self.state();
        state.awaited.is_empty() && !state.draining
    }

    /// The names of what is awaited, the oldest first; empty when ready.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        let state = self.state();
        let draining = state.draining.then(|| "draining".to_owned());
        draining.into_iter().chain(state.awaited.values().cloned()).collect()
    }

    /// Makes the process not ready for good, because it is shutting down.
    pub fn shut_down(&self) {
        self.state().draining = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, and the state is valid after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.readiness.state().awaited.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_guard_is_gone() {
        let readiness = Readiness::new();
        assert!(readiness.ready());
        let config = readiness.awaiting("first configuration");
        let scrape = readiness.awaiting("first scrape");
        assert!(!readiness.ready());
        assert_eq!(readiness.pending(), ["first configuration", "first scrape"]);
        drop(config);
        assert_eq!(readiness.pending(), ["first scrape"]);
        drop(scrape);
        assert!(readiness.ready() && readiness.pending().is_empty());
    }

    #[test]
    fn guards_of_one_name_count_each() {
        let readiness = Readiness::new();
        let first = readiness.awaiting("route");
        let second = readiness.awaiting("route");
        drop(first);
        assert!(!readiness.ready());
        drop(second);
        assert!(readiness.ready());
    }

    #[test]
    fn a_process_that_shuts_down_is_not_ready_again() {
        let readiness = Readiness::new();
        let guard = readiness.awaiting("x");
        readiness.clone().shut_down();
        assert_eq!(readiness.pending(), ["draining", "x"]);
        drop(guard);
        assert!(!readiness.ready());
        assert_eq!(readiness.pending(), ["draining"]);
    }
}
