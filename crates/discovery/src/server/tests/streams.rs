//! Streams as they are on the wire.

use super::*;

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
async fn nothing_is_said_before_there_is_a_world() {
    let controller = Controller::start(LONG, None).await;
    let mut wire = Wire::open(&controller, hello(&["llm/a"])).await;
    wire.hears_nothing_new().await;
    controller.publish(&[]);
    wire.told_in_turn(&["llm/a is gone", "synced"]).await;
}

#[tokio::test]
async fn who_does_not_say_its_name_is_sent_away() {
    let controller = Controller::start(LONG, None).await;
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
