//! Controllers that read one cluster's history at their own pace, and a router that hears them: in any order of events,
//! however long it takes, and with one of them stuck, the router comes to serve what the cluster says.

use proptest::prelude::*;

use super::tests::{controller, from, progress, s, v};
use super::*;

const ROUTE: &str = "ns/r";

/// What happens to the route itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It happens to another one.
    Elsewhere,
    Spec,
    /// It is deleted if it exists, else created.
    Existence,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    PodChanges {
        relevant: bool,
    },
    RouteChanges(Change),
    /// A controller reads its next event of one watch.
    Reads {
        who: usize,
        pods: bool,
    },
    /// A controller lists everything.
    Lists {
        who: usize,
    },
    /// A controller's stream ends, and its router opens another.
    Reconnects {
        who: usize,
    },
    /// This long passes, with heartbeats.
    Passes {
        seconds: u64,
    },
}

/// Events of pods and of routes by revision, and whether they change the route's state.
#[derive(Default)]
struct Cluster {
    revision: u64,
    pods: Vec<(u64, bool)>,
    routes: Vec<(u64, Change)>,
}

/// The last relevant event of each kind; `None`: there is no route.
type State = Option<[u64; 2]>;

impl Cluster {
    fn next<T: Copy>(events: &[(u64, T)], read: u64) -> u64 {
        events.iter().map(|(revision, _)| *revision).find(|next| *next > read).unwrap_or(read)
    }

    fn state(&self, at: Version) -> State {
        let read = self.routes.iter().filter(|(revision, _)| *revision <= at.routes);
        let changes: Vec<_> = read.filter(|(_, change)| *change != Change::Elsewhere).collect();
        let existence = changes.iter().filter(|(_, change)| *change == Change::Existence);
        let exists = existence.count() % 2 == 0;
        let pods = self.pods.iter().filter(|(at_, relevant)| *relevant && *at_ <= at.pods);
        let last_pod = pods.map(|(revision, _)| *revision).max().unwrap_or(0);
        exists.then(|| [last_pod, changes.last().map_or(0, |(revision, _)| *revision)])
    }

    fn all(&self) -> Version {
        v(self.revision, self.revision)
    }
}

fn body(state: State) -> Option<Bytes> {
    state.map(|state| format!("{state:?}").into())
}

/// What a controller last sent on its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sent {
    /// Nothing; the router does not have the route.
    #[default]
    Nothing,
    /// Something that was refused, or the router has the route from elsewhere.
    Refused,
    Taken(State),
}

#[derive(Clone, Copy, Default)]
struct Reader {
    version: Version,
    sent: Sent,
    stuck: bool,
    dead: bool,
}

/// A router, and two controllers.
#[derive(Default)]
struct Race {
    cluster: Cluster,
    readers: [Reader; 2],
    router: Holdings,
    now: Duration,
}

impl Race {
    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(*step);
            for who in 0..2 {
                self.send(who, false);
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::PodChanges { relevant } => {
                self.cluster.revision += 1;
                self.cluster.pods.push((self.cluster.revision, relevant));
            }
            Step::RouteChanges(change) => {
                self.cluster.revision += 1;
                self.cluster.routes.push((self.cluster.revision, change));
            }
            Step::Reads { who, pods } => self.read(who, pods),
            Step::Lists { who } => self.list(who),
            Step::Reconnects { who } => self.reconnect(who),
            Step::Passes { seconds } => self.pass(seconds),
        }
    }

    fn read(&mut self, who: usize, pods: bool) {
        let reader = &mut self.readers[who];
        if reader.stuck {
            return;
        }
        let version = &mut reader.version;
        if pods {
            version.pods = Cluster::next(&self.cluster.pods, version.pods);
        } else {
            version.routes = Cluster::next(&self.cluster.routes, version.routes);
        }
    }

    fn list(&mut self, who: usize) {
        if !self.readers[who].stuck {
            self.readers[who].version = self.cluster.all();
        }
    }

    fn reconnect(&mut self, who: usize) {
        if self.readers[who].dead {
            return;
        }
        self.router.disconnected(controller(who));
        let has = self.router.names().count() > 0;
        self.readers[who].sent = if has { Sent::Refused } else { Sent::Nothing };
        self.send(who, true);
        self.router.synced(controller(who));
        self.confirm(who);
    }

    fn dies(&mut self, who: usize) {
        self.readers[who].dead = true;
        self.router.disconnected(controller(who));
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds.div_ceil(50) {
            self.now += s(50);
            for who in 0..2 {
                self.heartbeat(who);
            }
        }
    }

    fn heartbeat(&mut self, who: usize) {
        if self.readers[who].dead {
            return;
        }
        self.send(who, true);
        self.confirm(who);
    }

    fn confirm(&mut self, who: usize) {
        let told =
            self.router.confirmed(controller(who), progress(self.readers[who].version), self.now);
        for (route, version) in told.removed {
            self.router.hold(&route, &from(who, version), None);
        }
        if !told.send_again.is_empty() {
            self.readers[who].sent = Sent::Refused;
        }
    }

    /// Sends what has changed; what was refused, only `again`.
    fn send(&mut self, who: usize, again: bool) {
        let Reader { version, sent, dead, .. } = self.readers[who];
        let state = self.cluster.state(version);
        let known = match sent {
            Sent::Nothing => state.is_none(),
            Sent::Refused => !again,
            Sent::Taken(before) => before == state,
        };
        if dead || known {
            return;
        }
        let (body, origin) = (body(state), from(who, version));
        let verdict = self.router.judge(ROUTE, &origin, body.as_deref(), self.now);
        if verdict == Verdict::New {
            self.router.hold(ROUTE, &origin, body);
        }
        let taken = verdict != Verdict::Older;
        self.readers[who].sent = if taken { Sent::Taken(state) } else { Sent::Refused };
    }

    /// A controller reads all there is, and bookmarks tell it that this is all.
    fn reads_everything(&mut self, who: usize) {
        for _ in 0..=self.cluster.revision {
            for pods in [true, false] {
                self.read(who, pods);
                self.send(who, false);
            }
        }
        self.list(who);
        self.heartbeat(who);
    }

    /// The router must serve what the cluster says.
    fn check(&self) -> Result<(), TestCaseError> {
        let wanted = body(self.cluster.state(self.cluster.all()));
        let held = self.router.states().map(|(.., body)| body.clone()).next();
        prop_assert_eq!(held, wanted);
        Ok(())
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let who = 0..2_usize;
    let change = prop_oneof![Just(Change::Elsewhere), Just(Change::Spec), Just(Change::Existence)];
    prop_oneof![
        3 => any::<bool>().prop_map(|relevant| Step::PodChanges { relevant }),
        3 => change.prop_map(Step::RouteChanges),
        6 => (who.clone(), any::<bool>()).prop_map(|(who, pods)| Step::Reads { who, pods }),
        1 => who.clone().prop_map(|who| Step::Lists { who }),
        1 => who.prop_map(|who| Step::Reconnects { who }),
        2 => (0..400_u64).prop_map(|seconds| Step::Passes { seconds }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(any_step(), 0..24)
}

/// What can happen while the cluster itself rests.
fn later_steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..2_usize;
    let step = prop_oneof![
        1 => (who.clone(), any::<bool>()).prop_map(|(who, pods)| Step::Reads { who, pods }),
        1 => who.prop_map(|who| Step::Reconnects { who }),
        2 => (0..2000_u64).prop_map(|seconds| Step::Passes { seconds }),
    ];
    proptest::collection::vec(step, 0..12)
}

fn begun() -> Race {
    let mut race = Race::default();
    race.reconnect(0);
    race.reconnect(1);
    race
}

proptest! {
    #[test]
    fn controllers_that_read_on_agree_in_the_end(steps in steps()) {
        let mut race = begun();
        race.run(&steps);
        race.reads_everything(0);
        race.reads_everything(1);
        race.check()?;
    }

    /// A controller that has just listed everything claims more than one that waits for the next event.
    #[test]
    fn the_surviving_controller_is_believed_whatever_the_dead_one_claimed(
        before in steps(),
        after in steps(),
    ) {
        let mut race = begun();
        race.run(&before);
        race.list(0);
        race.send(0, false);
        race.dies(0);
        race.run(&after);
        race.reads_everything(1);
        race.check()?;
    }

    /// It goes on confirming its old state, and offers it again and again, also by new streams.
    #[test]
    fn a_stuck_controller_never_wins_however_long_it_takes(
        before in steps(),
        stuck in steps(),
        later in later_steps(),
    ) {
        let mut race = begun();
        race.run(&before);
        race.readers[0].stuck = true;
        race.run(&stuck);
        race.reads_everything(1);
        // What the stuck one sent may have come later than what both had read; then it shows that it lags.
        race.pass(150);
        race.check()?;
        for step in later {
            race.run(&[step]);
            race.check()?;
        }
    }

    #[test]
    fn a_new_router_takes_nothing_from_a_controller_that_lags_behind_another(
        before in steps(),
        stuck in steps(),
        healthy_first: bool,
        later in later_steps(),
    ) {
        let mut race = begun();
        race.run(&before);
        race.readers[0].stuck = true;
        race.run(&stuck);
        race.reads_everything(1);
        race.router = Holdings::default();
        let order = if healthy_first { [1, 0] } else { [0, 1] };
        for who in order {
            race.reconnect(who);
        }
        race.check()?;
        for step in later {
            race.run(&[step]);
            race.check()?;
        }
    }
}
