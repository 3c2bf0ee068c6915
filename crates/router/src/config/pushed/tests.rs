use std::fs;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use qoe_api::QoERouteSpec;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::state::Scheduling;
use qoe_core::phase::{Role, RoleSource};
use qoe_discovery::{EndpointConfig, Version, Versions};
use qoe_runtime::readiness::Readiness;
use tempfile::TempDir;

use super::*;
use crate::observe::metrics::Metrics;

/// A router's state as it starts, with what it can be asked.
struct Started {
    pushed: Arc<Pushed>,
    shared: Arc<Shared>,
    readiness: Readiness,
    registry: Registry,
}

fn start(folder: Option<&Path>) -> Started {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    metrics.register_pushed(&mut registry);
    let shared = Shared::new(metrics, 0);
    let readiness = Readiness::new();
    let pushed = Pushed::open(&shared, folder, readiness.awaiting("routes from a controller"));
    Started { pushed, shared, readiness, registry }
}

impl Started {
    /// The routes in use, each with its endpoints, in the order in which they are asked.
    fn serves(&self) -> Vec<(String, Vec<String>)> {
        let snapshot = self.shared.snapshot.load();
        let endpoints = |route: &crate::routes::route::Route| {
            route.pool.iter().map(|endpoint| endpoint.state.authority.to_string()).collect()
        };
        snapshot.routes.iter().map(|route| (route.name.to_string(), endpoints(route))).collect()
    }

    /// A sample of a metric.
    fn metric(&self, series: &str) -> f64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} in {text}")).parse().unwrap()
    }
}

const fn v(pods: u64, routes: u64) -> Version {
    Version { pods, routes }
}

/// One of the controllers that a router hears.
fn controller(number: u8) -> SocketAddr {
    ([10, 1, 0, number], 9443).into()
}

fn from(number: u8, version: Version) -> Origin {
    Origin::controller(controller(number), version)
}

fn progress(version: Version) -> Progress {
    Progress { versions: Versions::from([("", version)]), ..Progress::default() }
}

/// A state of a route: one model, one endpoint on this port.
fn state(model: &str, created: i64, port: u16) -> Bytes {
    let spec = QoERouteSpec { models: vec![model.to_owned()], ..QoERouteSpec::default() };
    let endpoint = EndpointConfig {
        name: format!("llm/pod-{port}"),
        address: ([10, 0, 0, 1], port).into(),
        role: Role::Prefill,
        role_source: RoleSource::Label,
        connector: Connector::NixlPull,
        group: None,
        scheduling: Scheduling::Fcfs,
    };
    RouteConfig { spec, created, endpoints: vec![endpoint] }.encode()
}

fn served(route: &str, port: u16) -> (String, Vec<String>) {
    (route.to_owned(), vec![format!("10.0.0.1:{port}")])
}

#[test]
fn nothing_is_served_by_before_a_controller_has_sent_all_it_has() {
    let router = start(None);
    router.pushed.pushed("llm/a", from(1, v(1, 1)), state("a", 1, 8001)).unwrap();
    assert_eq!(router.shared.snapshot.load().version, 0, "half of the routes are no routes");
    assert_eq!(router.readiness.pending(), ["routes from a controller"]);
    router.pushed.pushed("llm/b", from(1, v(1, 1)), state("b", 2, 8002)).unwrap();
    router.pushed.synced(controller(1), Progress::default());
    assert!(router.readiness.ready());
    assert_eq!(router.serves(), [served("llm/a", 8001), served("llm/b", 8002)]);
    assert_eq!(router.shared.snapshot.load().version, 1, "all at once");
    router.pushed.pushed("llm/b", from(1, v(2, 1)), state("b", 2, 8003)).unwrap();
    assert_eq!(router.serves()[1], served("llm/b", 8003), "and then each by itself");
    assert_eq!(router.pushed.held().len(), 2);
}

#[test]
fn a_cluster_without_routes_is_something_to_serve_by() {
    let router = start(None);
    router.pushed.synced(controller(1), Progress::default());
    assert!(router.readiness.ready());
    assert_eq!((router.serves(), router.shared.snapshot.load().version), (vec![], 1));
}

#[test]
fn the_newest_state_of_a_route_is_in_use_whoever_pushes_last() {
    let router = start(None);
    router.pushed.synced(controller(1), Progress::default());
    let older = || Err("older than what is in use".to_owned());
    for (version, port, answer, in_use) in [
        (v(10, 10), 8001, Ok(()), 8001),
        (v(9, 10), 8002, older(), 8001),
        (v(10, 9), 8002, older(), 8001),
        (v(9, 9), 8001, Ok(()), 8001),
        (v(11, 10), 8003, Ok(()), 8003),
        (v(11, 12), 8004, Ok(()), 8004),
    ] {
        assert_eq!(router.pushed.pushed("llm/a", from(1, version), state("a", 1, port)), answer);
        assert_eq!(router.serves(), [served("llm/a", in_use)], "{version:?} {port}");
    }
    let outcome =
        |outcome| router.metric(&format!("qoe_config_reloads_total{{outcome=\"{outcome}\"}}"));
    assert_eq!((outcome("older"), outcome("applied")), (2.0, 4.0));
}

#[test]
fn a_push_with_anything_wrong_in_it_keeps_the_last_good_state() {
    let router = start(None);
    router.pushed.synced(controller(1), Progress::default());
    router.pushed.pushed("llm/a", from(1, v(1, 1)), state("a", 1, 8001)).unwrap();
    for (bad, why) in [
        (Bytes::from_static(b"\xff\xff"), "the push cannot be decoded"),
        (state("", 1, 8002), "spec.models[0]: empty name"),
        (state("a", 1, 0), "endpoint `llm/pod-0` has no usable address"),
    ] {
        let refused = router.pushed.pushed("llm/a", from(1, v(2, 2)), bad).unwrap_err();
        assert!(refused.starts_with(why), "{refused}");
        assert_eq!(router.serves(), [served("llm/a", 8001)], "{why}");
    }
    assert_eq!(router.metric("qoe_config_reloads_total{outcome=\"rejected\"}"), 3.0);
    router.pushed.pushed("llm/a", from(1, v(2, 2)), state("a", 1, 8002)).unwrap();
    assert_eq!(router.serves(), [served("llm/a", 8002)]);
}

#[test]
fn a_route_that_is_no_more_goes_and_does_not_come_back_from_the_past() {
    let router = start(None);
    router.pushed.synced(controller(1), Progress::default());
    for (route, port) in [("llm/a", 8001), ("llm/b", 8002)] {
        router.pushed.pushed(route, from(1, v(5, 5)), state(route, 1, port)).unwrap();
    }
    assert!(
        router.pushed.removed("llm/a", from(1, v(5, 4))).is_err(),
        "that was before it was made"
    );
    assert_eq!(router.serves().len(), 2);
    router.pushed.removed("llm/a", from(1, v(5, 6))).unwrap();
    assert_eq!(router.serves(), [served("llm/b", 8002)]);
    assert_eq!(router.pushed.held(), ["llm/b"]);
    assert!(router.pushed.pushed("llm/a", from(1, v(9, 5)), state("a", 1, 8001)).is_err());
    router.pushed.removed("llm/a", from(1, v(5, 6))).unwrap();
    router.pushed.removed("llm/never", from(1, v(1, 1))).unwrap();
    assert_eq!(router.serves(), [served("llm/b", 8002)]);
}

#[test]
fn of_two_routes_for_one_model_the_older_serves_whichever_came_first() {
    let router = start(None);
    router.pushed.synced(controller(1), Progress::default());
    let answers = || router.shared.snapshot.load().route(Some("m")).unwrap().name.to_string();
    router.pushed.pushed("llm/b", from(1, v(1, 1)), state("m", 7, 8001)).unwrap();
    assert_eq!(answers(), "llm/b");
    router.pushed.pushed("llm/c", from(1, v(1, 1)), state("m", 3, 8002)).unwrap();
    assert_eq!(answers(), "llm/c");
    router.pushed.pushed("llm/a", from(1, v(1, 1)), state("m", 3, 8003)).unwrap();
    assert_eq!(answers(), "llm/a", "of one age: by name");
    router.pushed.pushed("llm/a", from(1, v(2, 2)), state("m", 9, 8003)).unwrap();
    assert_eq!(answers(), "llm/c", "it was made anew");
    assert_eq!(router.serves().len(), 3);
}

#[test]
fn a_change_of_one_route_leaves_the_others_and_all_endpoints_as_they_are() {
    let router = start(None);
    router.pushed.synced(controller(1), Progress::default());
    let route = |i: usize| Arc::clone(&router.shared.snapshot.load().routes[i]);
    router.pushed.pushed("llm/a", from(1, v(1, 1)), state("a", 1, 8001)).unwrap();
    router.pushed.pushed("llm/b", from(1, v(1, 1)), state("b", 2, 8002)).unwrap();
    let before = (route(0), route(1));
    let mut changed = RouteConfig::decode(&state("a", 1, 8001)).unwrap();
    changed.spec.slo.ttft_milliseconds = 900;
    router.pushed.pushed("llm/a", from(1, v(2, 1)), changed.encode()).unwrap();
    assert!(!Arc::ptr_eq(&before.0, &route(0)) && Arc::ptr_eq(&before.1, &route(1)));
    assert!(Arc::ptr_eq(&before.0.pool[0].state, &route(0).pool[0].state), "what is in flight");
    assert!(Arc::ptr_eq(&before.0.state, &route(0).state), "and counted");
}

#[test]
fn what_was_saved_is_served_after_a_restart_without_a_controller() {
    let folder = TempDir::new().unwrap();
    let state_folder = folder.path().join("made/when/needed");
    let first = start(Some(&state_folder));
    first.pushed.pushed("llm/a", from(1, v(5, 5)), state("a", 1, 8001)).unwrap();
    first.pushed.pushed("llm/b", from(1, v(5, 5)), state("b", 2, 8002)).unwrap();
    first.pushed.removed("llm/b", from(1, v(6, 6))).unwrap();
    first.pushed.save();
    drop(first);
    let next = start(Some(&state_folder));
    assert!(next.readiness.ready());
    assert_eq!(next.serves(), [served("llm/a", 8001)]);
    assert_eq!(next.pushed.held(), ["llm/a"], "a controller is told of it");
    assert!(next.pushed.pushed("llm/a", from(1, v(5, 4)), state("a", 1, 8009)).is_err(), "older");
    next.pushed.pushed("llm/a", from(1, v(7, 7)), state("a", 1, 8003)).unwrap();
    assert_eq!(next.serves(), [served("llm/a", 8003)]);
    let unsaved = start(Some(&state_folder));
    assert_eq!(unsaved.serves(), [served("llm/a", 8001)], "it is saved at the next tick");
}

#[test]
fn a_damaged_file_is_not_used_and_is_replaced() {
    let folder = TempDir::new().unwrap();
    let first = start(Some(folder.path()));
    first.pushed.pushed("llm/a", from(1, v(5, 5)), state("a", 1, 8001)).unwrap();
    first.pushed.save();
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("one file: {files:?}") };
    let good = fs::read(file).unwrap();
    for bad in [&good[..good.len() - 1], b"", b"something else"] {
        fs::write(file, bad).unwrap();
        let router = start(Some(folder.path()));
        assert!(!router.readiness.ready(), "{bad:?}");
        assert_eq!((router.serves(), router.pushed.held()), (vec![], vec![]));
    }
    first.pushed.pushed("llm/a", from(1, v(6, 6)), state("a", 1, 8002)).unwrap();
    first.pushed.save();
    assert_eq!(start(Some(folder.path())).serves(), [served("llm/a", 8002)]);
}

#[test]
fn a_saved_route_that_this_release_cannot_read_hinders_no_other() {
    let folder = TempDir::new().unwrap();
    let save = |routes: &[(&str, &Bytes)]| {
        let routes = routes.iter().map(|(name, body)| (*name, &V, *body));
        Disk::of(folder.path()).write(routes).unwrap();
    };
    static V: Version = v(1, 1);
    let (good, bad) = (state("a", 1, 8001), Bytes::from_static(b"\xff\xff"));
    save(&[("llm/bad", &bad), ("llm/a", &good)]);
    let router = start(Some(folder.path()));
    assert_eq!(
        (router.serves(), router.pushed.held()),
        (vec![served("llm/a", 8001)], vec!["llm/a".to_owned()])
    );
    save(&[("llm/bad", &bad)]);
    assert!(!start(Some(folder.path())).readiness.ready(), "there is nothing to serve by");
}

#[test]
fn a_disk_that_fails_stops_nothing_and_is_tried_again() {
    let folder = TempDir::new().unwrap();
    let in_the_way = folder.path().join("state");
    fs::write(&in_the_way, "a file").unwrap();
    let router = start(Some(&in_the_way));
    router.pushed.pushed("llm/a", from(1, v(5, 5)), state("a", 1, 8001)).unwrap();
    router.pushed.synced(controller(1), Progress::default());
    router.pushed.save();
    router.pushed.save();
    assert_eq!(router.serves(), [served("llm/a", 8001)]);
    fs::remove_file(&in_the_way).unwrap();
    router.pushed.save();
    assert_eq!(start(Some(&in_the_way)).serves(), [served("llm/a", 8001)]);
}

#[test]
fn the_age_is_the_time_since_a_controller_was_heard() {
    let router = start(None);
    let age = || {
        router.pushed.tell_age();
        router.metric("qoe_snapshot_age_seconds")
    };
    let since = |then: Duration| router.shared.now().saturating_sub(then).as_secs_f64();
    let start = router.shared.now();
    assert!(age() >= start.as_secs_f64(), "nobody was heard since the start");
    router.pushed.confirmed(controller(1), Progress::default());
    let later = router.shared.now();
    assert!(age() >= later.as_secs_f64(), "a controller that has read nothing confirms nothing");
    let hearings: [(&str, &dyn Fn()); 4] = [
        ("a heartbeat", &|| drop(router.pushed.confirmed(controller(1), progress(v(1, 1))))),
        ("the end of a list", &|| router.pushed.synced(controller(1), progress(v(1, 1)))),
        ("a push", &|| drop(router.pushed.pushed("llm/a", from(1, v(1, 1)), state("a", 1, 1)))),
        ("a removal", &|| drop(router.pushed.removed("llm/b", from(1, v(1, 1))))),
    ];
    for (what, hear) in hearings {
        let before = router.shared.now();
        hear();
        let age = age();
        assert!(age <= since(before), "{what}: {age}");
    }
}

#[test]
fn controllers_are_counted_and_told_of_every_route() {
    let router = start(None);
    router.pushed.synced(controller(1), Progress::default());
    router.pushed.pushed("llm/a", from(1, v(1, 1)), state("a", 1, 8001)).unwrap();
    router.pushed.pushed("llm/b", from(1, v(1, 1)), state("b", 2, 8002)).unwrap();
    router.pushed.connected(2);
    assert_eq!(router.metric("qoe_controllers"), 2.0);
    let routes: Vec<_> = router.pushed.load().into_iter().map(|load| load.route).collect();
    assert_eq!(routes, ["llm/a", "llm/b"]);
}

#[test]
fn a_new_router_does_not_serve_by_a_controller_that_lags_behind_another() {
    let router = start(None);
    // The second one is stuck: it has not seen that `deleted` was, and has an old state of `changed`.
    for (route, port) in [("llm/changed", 8001), ("llm/deleted", 8002)] {
        router.pushed.pushed(route, from(2, v(5, 5)), state(route, 1, port)).unwrap();
    }
    router.pushed.synced(controller(2), progress(v(5, 5)));
    router.pushed.pushed("llm/changed", from(1, v(9, 9)), state("llm/changed", 1, 8003)).unwrap();
    router.pushed.pushed("llm/created", from(1, v(9, 9)), state("llm/created", 2, 8004)).unwrap();
    router.pushed.synced(controller(1), progress(v(9, 9)));
    let right = [served("llm/changed", 8003), served("llm/created", 8004)];
    assert_eq!(router.serves(), right);
    // It offers what was refused again, whenever it says that nothing is new.
    let old = state("llm/changed", 1, 8001);
    assert!(router.pushed.pushed("llm/changed", from(2, v(5, 5)), old).is_err());
    let deleted = state("llm/deleted", 1, 8002);
    assert!(router.pushed.pushed("llm/deleted", from(2, v(5, 5)), deleted).is_err());
    assert!(router.pushed.removed("llm/created", from(2, v(5, 5))).is_err());
    assert_eq!(router.pushed.confirmed(controller(2), progress(v(5, 5))), Vec::<String>::new());
    assert_eq!(router.serves(), right);
}

/// A named pipe in the place of the file that is written blocks its writer until there is a reader.
#[test]
fn a_disk_that_blocks_does_not_keep_controllers_from_being_heard() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("routes.bin.new");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let router = start(Some(folder.path()));
    router.pushed.pushed("llm/a", from(1, v(1, 1)), state("a", 1, 8001)).unwrap();
    let age = &router.shared.metrics.snapshot_age;
    age.set(-1.0);
    thread::scope(|scope| {
        scope.spawn(|| router.pushed.save());
        let (heard, is_heard) = mpsc::channel();
        let pushed = Arc::clone(&router.pushed);
        scope.spawn(move || {
            while pushed.state().unsaved {
                thread::yield_now();
            }
            pushed.tell_age();
            pushed.synced(controller(1), progress(v(1, 1)));
            heard.send(()).unwrap();
        });
        let in_time = is_heard.recv_timeout(Duration::from_secs(10));
        drop(fs::File::open(&pipe)); // lets the writer go
        in_time.expect("the state is free while the disk is written");
        assert!(age.get() >= 0.0);
    });
    fs::remove_file(&pipe).unwrap();
    router.pushed.save();
    assert_eq!(start(Some(folder.path())).serves(), [served("llm/a", 8001)], "it is tried again");
}
