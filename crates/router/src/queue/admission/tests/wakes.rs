//! No wake-up is lost, in whatever order things happen.

use proptest::prelude::*;

use super::*;

/// One request of [`Workers`], as its worker sees it.
struct Waits {
    place: QueuePlace,
    /// It was woken, and has not looked yet.
    woken: bool,
    /// It looks when its tick comes.
    watches: bool,
}

/// What happens at a queue; numbers pick one of those that wait.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Enters {
        priority: Priority,
        within: u64,
    },
    /// There may be room.
    Nudge,
    /// One that was woken looks, or one whose tick has come.
    Looks {
        which: usize,
        rule: OnUnattainable,
    },
    /// One whose best plan has room, if it is the first.
    Goes(usize),
    /// The client of one leaves, whatever it does just now.
    Leaves(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Medium), Just(Priority::Low)];
    let rule = prop_oneof![Just(OnUnattainable::BestEffort), Just(OnUnattainable::Reject)];
    prop_oneof![
        4 => (priority, 0_u64..60).prop_map(|(priority, within)| Happens::Enters { priority, within }),
        2 => Just(Happens::Nudge),
        6 => (0_usize..9, rule).prop_map(|(which, rule)| Happens::Looks { which, rule }),
        2 => (0_usize..9).prop_map(Happens::Goes),
        2 => (0_usize..9).prop_map(Happens::Leaves),
    ]
}

/// All that wait, driven by one thread, in any order.
struct Workers {
    scene: Scene,
    waiting: Vec<Waits>,
}

impl Workers {
    fn happens(&mut self, event: Happens) {
        match event {
            Happens::Enters { priority, within } => {
                if let Ok(place) = self.scene.enter(ask(priority, within)) {
                    let watches = place.entered() == Standing::First;
                    self.waiting.push(Waits { place, woken: false, watches });
                }
            }
            Happens::Nudge => self.scene.nudge(),
            Happens::Looks { which, rule } => self.looks(which, rule),
            Happens::Goes(which) => {
                let goes = |waits: &Waits| waits.watches && self.scene.goes(&waits.place);
                if self.waiting.get(which).is_some_and(goes) {
                    self.waiting.remove(which);
                }
            }
            Happens::Leaves(which) => {
                if which < self.waiting.len() {
                    self.waiting.remove(which);
                }
            }
        }
        for waits in &mut self.waiting {
            waits.woken |= woken(&waits.place);
        }
    }

    fn looks(&mut self, which: usize, rule: OnUnattainable) {
        let able = self.waiting.iter_mut().enumerate().filter(|(_, w)| w.woken || w.watches);
        let Some((at, waits)) = able.into_iter().nth(which) else { return };
        waits.woken = false;
        match waits.place.look(rule) {
            Standing::First => waits.watches = true,
            Standing::Behind => waits.watches = false,
            Standing::Refused(_) => drop(self.waiting.remove(at)),
        }
    }
}

proptest! {
    /// Whatever happens in whatever order: where any wait, one of them will look without anything else happening.
    #[test]
    fn no_wake_up_is_lost(events in prop::collection::vec(happens(), 1..80)) {
        let mut workers = Workers { scene: Scene::new(6), waiting: Vec::new() };
        for event in events {
            workers.happens(event);
            let attended = workers.waiting.iter().any(|waits| waits.woken || waits.watches);
            prop_assert!(attended || workers.waiting.is_empty(), "all sleep after {:?}", event);
        }
        // From here on there is room: all that are not refused go, one after the other.
        let mut looks = 0;
        while let Some(at) = workers.waiting.iter().position(|waits| waits.woken || waits.watches) {
            workers.happens(Happens::Looks { which: 0, rule: OnUnattainable::BestEffort });
            workers.happens(Happens::Goes(at));
            looks += 1;
            prop_assert!(looks < 100, "they look in vain");
        }
        prop_assert!(workers.waiting.is_empty() && workers.scene.admission.is_empty());
        prop_assert_eq!(workers.scene.admission.tokens(), 0);
    }
}
