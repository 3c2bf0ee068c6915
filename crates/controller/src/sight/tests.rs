use prometheus_client::registry::Registry;
use tokio::time::advance;

use super::*;

struct Looked {
    readiness: Readiness,
    outage: watch::Receiver<Outage>,
    world: watch::Sender<Option<Arc<World>>>,
    metrics: Arc<Metrics>,
}

fn looking(sight: &Sight) -> Looked {
    let readiness = Readiness::new();
    let (told, outage) = watch::channel(None);
    let metrics = Arc::new(Metrics::register(&mut Registry::default()));
    let (world, worlds) = watch::channel(None);
    let signals = Signals {
        readiness: readiness.clone(),
        outage: told,
        metrics: Arc::clone(&metrics),
        world: worlds,
    };
    tokio::spawn(report_outages(sight.clone(), signals));
    Looked { readiness, outage, world, metrics }
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

fn broken(why: &str) -> Failure {
    Failure::Broken(why.to_owned())
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_for_long_is_an_outage_until_it_is_read_again() {
    let sight = Sight::default();
    let (pods, routes) = (sight.source("pods", None), sight.source("routes", None));
    let looked = looking(&sight);
    pods.failed(broken("not counted before it was good once"));
    assert_eq!(looked.after(s(60)).await, None);
    pods.good(s(35));
    routes.good(s(35));
    assert_eq!(looked.after(s(20)).await, None, "silence is no failure");
    pods.failed(broken("refused"));
    assert_eq!(looked.after(s(5)).await, None);
    pods.failed(broken("refused again"));
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
    sight.source("pods", None).good(s(35));
    let looked = looking(&sight);
    assert_eq!(looked.after(s(34)).await, None);
    let why = looked.after(s(1)).await.expect("it is silent");
    assert!(why.ends_with("the API server is silent"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_denied_is_an_outage_only_when_no_other_can_be_read() {
    let sight = Sight::default();
    let scopes: [Arc<str>; 2] = ["a".into(), "b".into()];
    let watches = ["pods", "routes"].map(|kind| {
        scopes.each_ref().map(|scope| sight.source(&format!("{kind} of {scope}"), Some(scope)))
    });
    watches.iter().flatten().for_each(|watch| watch.good(s(3600)));
    let looked = looking(&sight);
    let denied = || Failure::Denied("b is not yours".to_owned());
    watches.iter().for_each(|[_, b]| b.failed(denied()));
    assert_eq!(looked.after(s(60)).await, None, "the other one is read on");
    watches[0][0].failed(denied());
    let why = looked.after(s(10)).await.expect("no scope can be read");
    assert!(why.ends_with("b is not yours"), "{why}");
    watches[0][0].good(s(3600));
    assert_eq!(looked.after(s(60)).await, None);
    watches[0][0].failed(broken("refused"));
    let why = looked.after(s(10)).await.expect("the API server does not answer");
    assert!(why.starts_with("pods of a were last read") && why.ends_with("refused"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_read_anew_has_its_own_time_but_ends_no_outage() {
    let sight = Sight::default();
    let pods = sight.source("pods", None);
    pods.good(s(45));
    let looked = looking(&sight);
    pods.failed(broken("refused"));
    assert_eq!(looked.after(s(9)).await, None);
    pods.rereads(s(30));
    assert_eq!(looked.after(s(29)).await, None, "the API server answers again");
    assert!(looked.after(s(1)).await.is_some(), "it took longer");
    pods.rereads(s(30));
    assert!(looked.after(s(1)).await.is_some(), "nothing was read yet");
    pods.good(s(45));
    pods.rereads(s(30));
    pods.failed(broken("refused"));
    assert!(looked.after(s(10)).await.is_some(), "it could not be read");
}

#[tokio::test(start_paused = true)]
async fn the_cluster_counts_as_readable_only_once_it_was_read() {
    let looked = looking(&Sight::default());
    looked.after(s(60)).await;
    assert_eq!(looked.metrics.cluster_readable.get(), 0);
    looked.world.send_replace(Some(Arc::default()));
    looked.after(s(1)).await;
    assert_eq!(looked.metrics.cluster_readable.get(), 1);
}
