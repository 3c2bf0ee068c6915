use super::*;
use crate::Versions;

pub(super) const fn v(pods: u64, routes: u64) -> Version {
    Version { pods, routes }
}

pub(super) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One of the controllers that a router hears.
pub(super) fn controller(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(number).unwrap()], 9443))
}

pub(super) fn from(number: usize, version: Version) -> Origin {
    Origin::controller(controller(number), version)
}

pub(super) fn progress(version: Version) -> Progress {
    Progress { versions: Versions::from([("", version)]), ..Progress::default() }
}

/// Holdings with one route, `r`, that was read from disk.
fn holding(version: Version, body: Option<&'static [u8]>) -> Holdings {
    let mut holdings = Holdings::default();
    holdings.hold("r", &Origin::disk(version), body.map(Bytes::from_static));
    holdings
}

/// Holdings with one route, `ns/r`, sent by controller 1, which is synced and confirms it.
fn confirmed(version: Version, body: &'static [u8]) -> Holdings {
    let mut holdings = Holdings::default();
    assert_eq!(holdings.judge("ns/r", &from(1, version), Some(body), s(0)), Verdict::New);
    holdings.hold("ns/r", &from(1, version), Some(Bytes::from_static(body)));
    sync(&mut holdings, 1, version);
    holdings
}

fn sync(holdings: &mut Holdings, number: usize, version: Version) -> Consequences {
    holdings.synced(controller(number));
    holdings.confirmed(controller(number), progress(version), s(0))
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
        assert_eq!(
            holdings.judge("r", &from(1, version), Some(b"b"), s(0)),
            verdict,
            "{version:?}"
        );
    }
    assert_eq!(holdings.judge("r", &from(1, v(9, 9)), None, s(0)), Verdict::Older, "a removal too");
    assert_eq!(holdings.judge("other", &from(1, v(1, 1)), Some(b"b"), s(0)), Verdict::New);
    assert_eq!(
        holdings.judge("other", &from(1, v(1, 1)), None, s(0)),
        Verdict::Same,
        "never there"
    );
}

#[test]
fn the_same_state_is_taken_from_any_controller_and_keeps_the_later_version() {
    let mut holdings = holding(v(10, 10), Some(b"a"));
    assert_eq!(holdings.judge("r", &from(1, v(5, 12)), Some(b"a"), s(0)), Verdict::Same);
    assert_eq!(holdings.judge("r", &from(1, v(10, 11)), Some(b"b"), s(0)), Verdict::Older);
}

#[test]
fn whether_a_route_is_there_is_not_told_by_what_was_read_of_pods() {
    let mut there = holding(v(10, 10), Some(b"a"));
    assert_eq!(there.judge("r", &from(1, v(99, 9)), None, s(0)), Verdict::Older);
    assert_eq!(there.judge("r", &from(1, v(1, 10)), None, s(0)), Verdict::New);
    let mut removed = holding(v(10, 10), None);
    assert_eq!(removed.judge("r", &from(1, v(99, 9)), Some(b"a"), s(0)), Verdict::Older);
    assert_eq!(removed.judge("r", &from(1, v(1, 11)), Some(b"a"), s(0)), Verdict::New);
}

#[test]
fn a_removed_route_does_not_come_back_from_the_past() {
    let mut holdings = holding(v(10, 10), None);
    assert_eq!(holdings.judge("r", &from(1, v(10, 9)), Some(b"a"), s(0)), Verdict::Older);
    assert_eq!(holdings.judge("r", &from(1, v(10, 11)), Some(b"a"), s(0)), Verdict::New);
    assert_eq!(holdings.names().count(), 0);
}

#[test]
fn a_cluster_whose_history_began_anew_is_followed_after_a_while() {
    let mut holdings = holding(v(1000, 1000), Some(b"a"));
    assert_eq!(holdings.judge("r", &from(1, v(5, 5)), Some(b"b"), s(100)), Verdict::Older);
    assert_eq!(holdings.judge("r", &from(1, v(6, 5)), Some(b"b"), s(399)), Verdict::Older);
    assert_eq!(holdings.judge("r", &from(1, v(6, 5)), Some(b"b"), s(400)), Verdict::New);
    holdings.hold("r", &from(1, v(6, 5)), Some(Bytes::from_static(b"b")));
    assert_eq!(holdings.judge("r", &from(1, v(7, 5)), Some(b"c"), s(401)), Verdict::New);
}

#[test]
fn whoever_holds_the_newer_state_interrupts_the_refusal() {
    let mut holdings = holding(v(10, 10), Some(b"a"));
    assert_eq!(holdings.judge("r", &from(1, v(5, 5)), Some(b"b"), s(0)), Verdict::Older);
    assert_eq!(holdings.judge("r", &from(1, v(11, 10)), Some(b"a"), s(200)), Verdict::Same);
    assert_eq!(holdings.judge("r", &from(1, v(5, 5)), Some(b"b"), s(400)), Verdict::Older);
}

#[test]
fn removed_routes_do_not_pile_up() {
    let mut holdings = Holdings::default();
    for i in 0..=MAX_REMOVED {
        holdings.hold(&format!("r{i}"), &Origin::disk(v(1, 1)), None);
    }
    assert_eq!(holdings.routes.len(), 0);
}

#[test]
fn an_older_state_is_refused_for_as_long_as_a_connected_controller_confirms_what_is_held() {
    let mut holdings = confirmed(v(10, 10), b"new");
    for at in [0, 299, 300, 301, 100_000] {
        let old = holdings.judge("ns/r", &from(2, v(5, 5)), Some(b"old"), s(at));
        assert_eq!(old, Verdict::Older, "after {at} s");
        let removal = holdings.judge("ns/r", &from(2, v(5, 5)), None, s(at));
        assert_eq!(removal, Verdict::Older, "its removal, after {at} s");
    }
    holdings.disconnected(controller(1));
    let judge = |holdings: &mut Holdings, at| {
        holdings.judge("ns/r", &from(2, v(5, 5)), Some(b"old"), s(at))
    };
    assert_eq!(judge(&mut holdings, 200_000), Verdict::Older, "age counts from here");
    assert_eq!(judge(&mut holdings, 200_299), Verdict::Older);
    assert_eq!(judge(&mut holdings, 200_300), Verdict::New, "nobody has confirmed it for 300 s");
}

#[test]
fn a_controller_without_versions_confirms_nothing() {
    let mut holdings = confirmed(v(10, 10), b"new");
    holdings.confirmed(controller(1), Progress::default(), s(0));
    assert_eq!(holdings.judge("ns/r", &from(2, v(5, 5)), Some(b"old"), s(0)), Verdict::Older);
    assert_eq!(holdings.judge("ns/r", &from(2, v(5, 5)), Some(b"old"), s(300)), Verdict::New);
}

#[test]
fn a_heartbeat_makes_what_is_held_as_new_as_its_sender() {
    let mut holdings = confirmed(v(10, 10), b"a");
    holdings.confirmed(controller(1), progress(v(30, 10)), s(0));
    assert_eq!(holdings.judge("ns/r", &from(2, v(20, 10)), Some(b"b"), s(0)), Verdict::Older);
    assert_eq!(holdings.judge("ns/r", &from(2, v(31, 10)), Some(b"b"), s(0)), Verdict::New);
    holdings.hold("ns/r", &from(2, v(31, 10)), Some(Bytes::from_static(b"b")));
    holdings.confirmed(controller(1), progress(v(90, 90)), s(0));
    let unchanged = holdings.judge("ns/r", &from(3, v(32, 10)), Some(b"c"), s(0));
    assert_eq!(unchanged, Verdict::New, "controller 1 did not send what is held");
}

#[test]
fn a_route_that_another_controller_has_seen_deleted_is_not_taken() {
    let mut holdings = Holdings::default();
    sync(&mut holdings, 1, v(10, 7));
    let judge = |holdings: &mut Holdings, routes, at| {
        holdings.judge("ns/r", &from(2, v(50, routes)), Some(b"a"), s(at))
    };
    for at in [0, 1000] {
        assert_eq!(judge(&mut holdings, 6, at), Verdict::Older, "deleted at 7, at {at} s");
    }
    assert_eq!(judge(&mut holdings, 8, 1000), Verdict::New, "created at 8");
    holdings.disconnected(controller(1));
    assert_eq!(judge(&mut holdings, 6, 1000), Verdict::New, "nobody says otherwise");
}

#[test]
fn a_route_is_removed_when_a_controller_that_read_further_does_not_have_it() {
    let mut holdings = confirmed(v(10, 6), b"a");
    let not_synced = holdings.confirmed(controller(2), progress(v(10, 7)), s(0));
    assert_eq!(not_synced, Consequences::default(), "it may still send it");
    let consequences = sync(&mut holdings, 2, v(10, 7));
    assert_eq!(consequences.removed, [("ns/r".to_owned(), v(10, 7))]);
    for (why, progress) in [
        ("it read no further", progress(v(99, 6))),
        (
            "it does not watch that namespace",
            Progress { versions: Versions::from([("other", v(99, 99))]), ..Progress::default() },
        ),
        (
            "it has the route, but no state of it",
            Progress { withheld: ["ns/r".to_owned()].into(), ..progress(v(99, 99)) },
        ),
        ("it is of a release that does not tell", Progress::default()),
    ] {
        let consequences = holdings.confirmed(controller(2), progress, s(0));
        assert_eq!(consequences, Consequences::default(), "{why}");
    }
}

#[test]
fn a_state_that_was_replaced_by_one_that_stays_behind_is_asked_for_again() {
    let mut holdings = confirmed(v(10, 10), b"a");
    let concurrent = from(2, v(11, 9));
    assert_eq!(holdings.judge("ns/r", &concurrent, Some(b"b"), s(0)), Verdict::New);
    holdings.hold("ns/r", &concurrent, Some(Bytes::from_static(b"b")));
    let mut hear = |number, version, at| {
        holdings.synced(controller(number));
        holdings.confirmed(controller(number), progress(version), s(at)).send_again
    };
    let nothing = Vec::<String>::new();
    assert_eq!(hear(1, v(20, 20), 0), nothing);
    assert_eq!(hear(2, v(20, 20), 30), nothing, "it has read as far as that");
    assert_eq!(hear(1, v(30, 30), 60), nothing, "so it did not lag");
    assert_eq!(hear(2, v(30, 20), 110), nothing);
    assert_eq!(hear(1, v(40, 40), 119), nothing, "it may still catch up");
    assert_eq!(hear(1, v(40, 40), 120), ["ns/r"], "it did not for a minute");
    assert_eq!(hear(1, v(40, 40), 200), nothing, "once is enough");
}

#[test]
fn a_refused_state_is_not_asked_for_again() {
    let mut holdings = holding(v(10, 10), Some(b"a"));
    assert_eq!(holdings.judge("r", &from(1, v(11, 11)), Some(b"bad"), s(0)), Verdict::New);
    // It could not be used, so it is not held.
    assert_eq!(sync(&mut holdings, 1, v(11, 11)), Consequences::default());
}
