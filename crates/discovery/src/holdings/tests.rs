use proptest::prelude::*;

use super::*;

const fn v(pods: u64, routes: u64) -> Version {
    Version { pods, routes }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn holding(version: Version, body: Option<&'static [u8]>) -> Holdings {
    let mut holdings = Holdings::default();
    holdings.hold("r", version, body.map(Bytes::from_static));
    holdings
}

#[test]
fn what_is_newer_replaces_what_is_older_and_never_the_other_way() {
    let mut holdings = holding(v(10, 10), Some(b"a"));
    for (version, verdict) in [
        (v(11, 10), Verdict::New),
        (v(10, 10), Verdict::New),
        (v(9, 10), Verdict::Older),
        (v(10, 9), Verdict::Older),
        (v(9, 9), Verdict::Older),
        (v(11, 9), Verdict::New),
        (v(9, 11), Verdict::New),
    ] {
        assert_eq!(holdings.judge("r", &version, Some(b"b"), s(0)), verdict, "{version:?}");
    }
    assert_eq!(holdings.judge("r", &v(9, 9), None, s(0)), Verdict::Older, "a removal too");
    assert_eq!(holdings.judge("other", &v(1, 1), Some(b"b"), s(0)), Verdict::New);
    assert_eq!(holdings.judge("other", &v(1, 1), None, s(0)), Verdict::Same, "never there");
}

#[test]
fn the_same_state_is_taken_from_any_controller_and_keeps_the_later_version() {
    let mut holdings = holding(v(10, 10), Some(b"a"));
    assert_eq!(holdings.judge("r", &v(5, 12), Some(b"a"), s(0)), Verdict::Same);
    assert_eq!(holdings.judge("r", &v(10, 11), Some(b"b"), s(0)), Verdict::Older);
}

#[test]
fn whether_a_route_is_there_is_not_told_by_what_was_read_of_pods() {
    let mut there = holding(v(10, 10), Some(b"a"));
    assert_eq!(there.judge("r", &v(99, 9), None, s(0)), Verdict::Older);
    assert_eq!(there.judge("r", &v(1, 10), None, s(0)), Verdict::New);
    let mut removed = holding(v(10, 10), None);
    assert_eq!(removed.judge("r", &v(99, 9), Some(b"a"), s(0)), Verdict::Older);
    assert_eq!(removed.judge("r", &v(1, 11), Some(b"a"), s(0)), Verdict::New);
}

#[test]
fn a_removed_route_does_not_come_back_from_the_past() {
    let mut holdings = holding(v(10, 10), None);
    assert_eq!(holdings.judge("r", &v(10, 9), Some(b"a"), s(0)), Verdict::Older);
    assert_eq!(holdings.judge("r", &v(10, 11), Some(b"a"), s(0)), Verdict::New);
    assert_eq!(holdings.names().count(), 0);
}

#[test]
fn a_cluster_whose_history_began_anew_is_followed_after_a_while() {
    let mut holdings = holding(v(1000, 1000), Some(b"a"));
    assert_eq!(holdings.judge("r", &v(5, 5), Some(b"b"), s(100)), Verdict::Older);
    assert_eq!(holdings.judge("r", &v(6, 5), Some(b"b"), s(399)), Verdict::Older);
    assert_eq!(holdings.judge("r", &v(6, 5), Some(b"b"), s(400)), Verdict::New);
    holdings.hold("r", v(6, 5), Some(Bytes::from_static(b"b")));
    assert_eq!(holdings.judge("r", &v(7, 5), Some(b"c"), s(401)), Verdict::New);
}

#[test]
fn whoever_holds_the_newer_state_interrupts_the_refusal() {
    let mut holdings = holding(v(10, 10), Some(b"a"));
    assert_eq!(holdings.judge("r", &v(5, 5), Some(b"b"), s(0)), Verdict::Older);
    assert_eq!(holdings.judge("r", &v(11, 10), Some(b"a"), s(200)), Verdict::Same);
    assert_eq!(holdings.judge("r", &v(5, 5), Some(b"b"), s(400)), Verdict::Older);
}

#[test]
fn removed_routes_do_not_pile_up() {
    let mut holdings = Holdings::default();
    for i in 0..=MAX_REMOVED {
        holdings.hold(&format!("r{i}"), v(1, 1), None);
    }
    assert_eq!(holdings.routes.len(), 0);
}

/// A controller that watches pods and routes at its own pace.
#[derive(Clone, Default)]
struct Reader {
    version: Version,
    /// What it has pushed last; none where that was refused.
    pushed: Option<[u64; 2]>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Something happens to a pod or to a route; every other time it is nothing to this route.
    Happens { pod: bool, relevant: bool },
    /// A controller reads its next event.
    Reads { who: usize, pods: bool },
    /// A controller lists everything.
    Lists { who: usize },
}

/// Events of pods and of routes: their revision, and whether they change the state.
#[derive(Default)]
struct Cluster {
    revision: u64,
    pods: Vec<(u64, bool)>,
    routes: Vec<(u64, bool)>,
}

impl Cluster {
    fn happens(&mut self, pod: bool, relevant: bool) {
        self.revision += 1;
        let events = if pod { &mut self.pods } else { &mut self.routes };
        events.push((self.revision, relevant));
    }

    fn next(events: &[(u64, bool)], read: u64) -> u64 {
        events.iter().map(|(revision, _)| *revision).find(|next| *next > read).unwrap_or(read)
    }

    /// The state at a version: the last relevant event of each kind.
    fn state(&self, version: Version) -> [u64; 2] {
        let last = |events: &[(u64, bool)], read| {
            let seen = events.iter().filter(|(revision, relevant)| *relevant && *revision <= read);
            seen.map(|(revision, _)| *revision).max().unwrap_or(0)
        };
        [last(&self.pods, version.pods), last(&self.routes, version.routes)]
    }
}

impl Reader {
    fn read(&mut self, cluster: &Cluster, pods: bool) {
        let Version { pods: p, routes: r } = self.version;
        self.version = if pods {
            Version { pods: Cluster::next(&cluster.pods, p), routes: r }
        } else {
            Version { pods: p, routes: Cluster::next(&cluster.routes, r) }
        };
    }

    /// Pushes what has changed since the last time, or was refused.
    fn push(&mut self, cluster: &Cluster, router: &mut Holdings) {
        let state = cluster.state(self.version);
        if self.pushed == Some(state) {
            return;
        }
        let body = Bytes::from(format!("{state:?}"));
        let verdict = router.judge("r", &self.version, Some(&body), s(0));
        if verdict == Verdict::New {
            router.hold("r", self.version, Some(body));
        }
        self.pushed = (verdict != Verdict::Older).then_some(state);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let happens = (any::<bool>(), any::<bool>());
    let step = prop_oneof![
        4 => happens.prop_map(|(pod, relevant)| Step::Happens { pod, relevant }),
        4 => (0..2_usize, any::<bool>()).prop_map(|(who, pods)| Step::Reads { who, pods }),
        1 => (0..2_usize).prop_map(|who| Step::Lists { who }),
    ];
    proptest::collection::vec(step, 0..16)
}

/// A router, and two controllers that read on; `dead`, one of them has ended.
#[derive(Default)]
struct Race {
    cluster: Cluster,
    readers: [Reader; 2],
    dead: Option<usize>,
    router: Holdings,
}

impl Race {
    fn run(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Happens { pod, relevant } => self.cluster.happens(pod, relevant),
                Step::Reads { who, pods } => self.readers[who].read(&self.cluster, pods),
                Step::Lists { who } => self.lists(who),
            }
            self.push();
        }
    }

    fn lists(&mut self, who: usize) {
        let revision = self.cluster.revision;
        self.readers[who].version = v(revision, revision);
    }

    fn push(&mut self) {
        for (who, reader) in self.readers.iter_mut().enumerate() {
            if self.dead != Some(who) {
                reader.push(&self.cluster, &mut self.router);
            }
        }
    }

    /// Everybody reads everything; then the router must serve by it.
    fn ends_well(mut self) -> Result<(), TestCaseError> {
        for _ in 0..=self.cluster.revision {
            for who in 0..2 {
                self.readers[who].read(&self.cluster, true);
                self.push();
                self.readers[who].read(&self.cluster, false);
                self.push();
            }
        }
        let all = v(self.cluster.revision, self.cluster.revision);
        let wanted = Bytes::from(format!("{:?}", self.cluster.state(all)));
        let held: Vec<_> = self.router.states().map(|(.., body)| body.clone()).collect();
        prop_assert_eq!(held, [wanted]);
        Ok(())
    }
}

proptest! {
    #[test]
    fn controllers_that_read_on_agree_in_the_end(steps in steps()) {
        let mut race = Race::default();
        race.run(steps);
        race.ends_well()?;
    }

    /// A controller that has just listed everything claims more than one that waits for the next event.
    #[test]
    fn who_lives_on_is_believed_whatever_the_dead_one_claimed(before in steps(), after in steps()) {
        let mut race = Race::default();
        race.run(before);
        race.lists(0);
        race.push();
        race.dead = Some(0);
        race.run(after);
        race.ends_well()?;
    }
}
