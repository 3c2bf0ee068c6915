//! Streams as they are on the wire.

use prost::Message as _;
use tonic::codec::Codec as _;
use tonic_prost::ProstCodec;

use super::*;
use crate::server::stream::RouterStream;

#[tokio::test]
async fn a_router_gets_the_whole_world_and_then_only_what_changes() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/a", 1), ("llm/b", 2), ("llm/none", 0)]);
    let mut wire = Wire::open(&controller, hello(&[])).await;
    wire.told_in_turn(&["llm/a=1", "llm/b=2", "synced"]).await;
    controller.publish(&[("llm/a", 3), ("llm/b", 2), ("llm/none", 0)]);
    wire.told_in_turn(&["llm/a=3"]).await;
    controller.publish(&[("llm/a", 3), ("llm/c", 4), ("llm/none", 5)]);
    wire.told_in_turn(&["llm/c=4", "llm/none=5", "llm/b is gone"]).await;
    controller.publish(&[("llm/a", 3), ("llm/c", 4), ("llm/none", 5)]);
    wire.hears_nothing_new().await;
    let said = controller.said("joined", |said| !said.joined.is_empty()).await;
    assert_eq!(said.joined, [hello(&[])]);
}

#[tokio::test]
async fn a_push_has_its_state_and_its_version() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/a", 41)]);
    let mut wire = Wire::open(&controller, hello(&[])).await;
    let push = loop {
        if let Some(Kind::Push(push)) = wire.next().await {
            break push;
        }
    };
    let version = Some(Version { pods: 7, routes: 8 });
    let body = Bytes::from_static(b"41");
    assert_eq!(push, Push { route: "llm/a".to_owned(), nonce: 41, version, body });
}

#[tokio::test]
async fn what_a_router_still_serves_and_is_no_more_is_taken_away() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/a", 1), ("llm/none", 0)]);
    let mut wire = Wire::open(&controller, hello(&["llm/a", "llm/none", "llm/old"])).await;
    wire.told_in_turn(&["llm/a=1", "llm/old is gone", "synced"]).await;
    wire.hears_nothing_new().await;
}

#[tokio::test]
async fn no_stream_begins_before_there_is_a_world() {
    let controller = Controller::start(LONG, None).await;
    let first = || router_message::Kind::Hello(hello(&["llm/a"]));
    let refused = Wire::connect(controller.address, None, first()).await.map(drop).unwrap_err();
    assert!(refused.contains("Unavailable") && refused.contains("has not read"), "{refused}");
    assert!(controller.ear.0.0.borrow().joined.is_empty());
    controller.publish(&[]);
    let mut wire = Wire::open(&controller, hello(&["llm/a"])).await;
    wire.told_in_turn(&["llm/a is gone", "synced"]).await;
}

#[tokio::test]
async fn who_does_not_say_its_name_is_sent_away() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[]);
    let nameless = Hello { router: String::new(), ..hello(&[]) };
    for first in [
        router_message::Kind::Hello(nameless),
        router_message::Kind::Load(Load::default()),
        router_message::Kind::Answer(Answer::default()),
    ] {
        let refused = Wire::connect(controller.address, None, first).await.map(drop).unwrap_err();
        assert!(refused.contains("the first message must be a hello"), "{refused}");
    }
    assert!(controller.ear.0.0.borrow().joined.is_empty());
}

#[tokio::test]
async fn a_router_that_reads_slowly_gets_fewer_states_and_the_latest() {
    const CHANGES: u64 = 40;
    let controller = Controller::start(LONG, None).await;
    let large = |nonce| {
        let state = RouteState { nonce, body: Some(vec![0; 256 << 10].into()) };
        let routes = [("llm/a".into(), state)].into();
        controller.world.send_replace(Some(Arc::new(World { routes, ..World::default() })));
    };
    large(1);
    let mut wire = Wire::open(&controller, hello(&[])).await;
    wire.told_in_turn(&["llm/a=1", "synced"]).await;
    for nonce in 2..=CHANGES {
        large(nonce);
        // The stream has every chance to send; the router does not read.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    let mut states = 0;
    loop {
        states += 1;
        if wire.told().await == format!("llm/a={CHANGES}") {
            break;
        }
    }
    assert!(states < CHANGES / 4, "{states} states");
    wire.hears_nothing_new().await;
}

#[tokio::test]
async fn an_answer_about_a_route_that_was_never_sent_is_not_remembered() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/a", 1), ("llm/b", 2)]);
    let mut wire = Wire::open(&controller, hello(&[])).await;
    wire.told_in_turn(&["llm/a=1", "llm/b=2", "synced"]).await;
    wire.answer("llm/made-up", 7, "no").await;
    wire.answer("llm/made-up", 8, "").await;
    wire.answer("llm/a", 1, "").await;
    controller.publish(&[("llm/a", 1)]);
    wire.told_in_turn(&["llm/b is gone"]).await;
    wire.answer("llm/b", 0, "").await;
    wire.answer("llm/b", 0, "once more").await;
    wire.answer("llm/a", 1, "").await;
    let said = controller.said("answers", |said| said.answers.len() >= 3).await;
    let routes: Vec<_> = said.answers.iter().map(|(route, ..)| route.as_str()).collect();
    assert_eq!(routes, ["llm/a", "llm/b", "llm/a"]);
    wire.hears_nothing_new().await;
}

#[tokio::test]
async fn what_was_refused_is_offered_again_until_it_is_taken() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/a", 1), ("llm/b", 2)]);
    let mut wire = Wire::open(&controller, hello(&["llm/old"])).await;
    wire.told_in_turn(&["llm/a=1", "llm/b=2", "llm/old is gone", "synced"]).await;
    wire.answer("llm/b", 2, "").await;
    wire.answer("llm/a", 1, "older than what is in use").await;
    wire.told_in_turn(&["llm/a=1"]).await;
    wire.answer("llm/a", 1, "older than what is in use").await;
    wire.answer("llm/old", 0, "older than what is in use").await;
    wire.told_in_turn(&["llm/a=1", "llm/old is gone"]).await;
    wire.answer("llm/a", 1, "").await;
    wire.answer("llm/old", 0, "").await;
    controller.said("answers", |said| said.answers.len() == 6).await;
    wire.hears_nothing_new().await;
}

#[tokio::test]
async fn a_router_that_speaks_without_a_pause_delays_no_state() {
    const MESSAGES: usize = 1000;
    let load = RouterMessage { kind: Some(router_message::Kind::Load(Load::default())) };
    let load = String::from_utf8(load.encode_to_vec()).unwrap();
    let length = u8::try_from(load.len()).unwrap();
    // gRPC's frame: not compressed, and four bytes of length.
    let body = format!("\0\0\0\0{}{load}", char::from(length)).repeat(MESSAGES);
    let incoming =
        Streaming::new_request(ProstCodec::<(), _>::default().decoder(), body, None, None);
    let (worlds, world_seen) = watch::channel(Some(Arc::new(world(&[("llm/a", 1)]))));
    let (_outage, outage) = watch::channel(None);
    let ear = Arc::new(Ear::default());
    let server = Server { world: world_seen, outage, routers: Arc::clone(&ear), times: LONG };
    let mut messages = Box::pin(RouterStream::open(server, hello(&[]), incoming).messages());
    let mut next = async || messages.next().await.expect("it goes on").unwrap().kind.unwrap();
    assert!(matches!(next().await, Kind::Push(Push { nonce: 1, .. })));
    assert!(matches!(next().await, Kind::Synced(_)));
    worlds.send_replace(Some(Arc::new(world(&[("llm/a", 2)]))));
    assert!(matches!(next().await, Kind::Push(Push { nonce: 2, .. })));
    assert!(ear.0.0.borrow().loads.len() < MESSAGES);
    while messages.next().await.is_some() {}
    assert_eq!(ear.0.0.borrow().loads.len(), MESSAGES, "all of it is heard all the same");
}
