//! Routers that listen to controllers.

use super::*;

#[tokio::test]
async fn a_stream_ends_in_good_order_after_its_lifetime_and_its_router_opens_another() {
    let lifetime = Duration::from_millis(30);
    let controller = Controller::start(Times { lifetime, ..LONG }, None).await;
    controller.publish(&[("llm/a", 1)]);
    let mut wire = Wire::open(&controller, hello(&[])).await;
    wire.told_in_turn(&["llm/a=1", "synced", "end"]).await;
    drop(wire);
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::start(&mut tasks, controller.address, None);
    let said = controller.said("again and again", |said| said.joined.len() >= 4).await;
    assert!(said.left >= 2, "a router that has ended has left: {}", said.left);
    assert_eq!(said.joined[3].routes, ["llm/a"], "it says what it serves already");
    let told = router.until("synced each time", |told| told.synced >= 3).await;
    assert!(serves(&told, &[("llm/a", 1)]));
}

#[tokio::test]
async fn answers_and_load_reach_the_controller() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/a", 1), ("llm/bad", 2)]);
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::start(&mut tasks, controller.address, None);
    let answers = |said: &Said| said.answers.len() >= 2;
    let said = controller.said("answers", answers).await;
    let bad = ("llm/bad".to_owned(), 2, Err("it is bad".to_owned()));
    assert_eq!(said.answers[..2], [("llm/a".to_owned(), 1, Ok(())), bad]);
    let connected = router.until("connected", |told| told.connected == 1).await;
    assert!(serves(&connected, &[("llm/a", 1)]));
    pass(Duration::from_secs(1)).await;
    let said = controller.said("a report", |said| !said.loads.is_empty()).await;
    assert_eq!(said.loads[0], router.load());
    tasks.shutdown().await;
    controller.said("it has left", |said| said.left == 1).await;
}

#[tokio::test]
async fn a_router_keeps_what_it_has_while_no_controller_is_there_and_follows_the_next_one() {
    let first = Controller::start(LONG, None).await;
    first.publish(&[("llm/a", 1), ("llm/b", 2)]);
    let address = first.address;
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::start(&mut tasks, address, None);
    router.until("routes", |told| serves(told, &[("llm/a", 1), ("llm/b", 2)])).await;
    first.end().await;
    let told = router.until("nobody is there", |told| told.connected == 0).await;
    assert!(serves(&told, &[("llm/a", 1), ("llm/b", 2)]), "{told:?}");
    let next = Controller::at(address, LONG, None).await;
    next.publish(&[("llm/b", 5)]);
    router.until("the next one's routes", |told| serves(told, &[("llm/b", 5)])).await;
    let said = next.said("joined", |said| !said.joined.is_empty()).await;
    assert_eq!(said.joined[0], hello(&["llm/a", "llm/b"]));
}

#[tokio::test]
async fn an_outage_ends_streams_with_its_reason_and_lets_none_begin_until_it_is_over() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/a", 1)]);
    let mut wire = Wire::open(&controller, hello(&[])).await;
    wire.told_in_turn(&["llm/a=1", "synced"]).await;
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::start(&mut tasks, controller.address, None);
    router.until("its routes", |told| serves(told, &[("llm/a", 1)])).await;
    controller.outage.send_replace(Some("pods were last read 10 s ago".into()));
    controller.publish(&[("llm/a", 2)]);
    let error = wire.error().await;
    assert_eq!(error.code(), tonic::Code::Unavailable);
    assert!(error.message().contains("pods were last read 10 s ago"), "{error:?}");
    let told = router.until("it is not connected", |told| told.connected == 0).await;
    assert!(serves(&told, &[("llm/a", 1)]) && told.disconnected == 1, "{told:?}");
    assert!(!admitted(&controller, None).await);
    controller.outage.send_replace(None);
    router.until("its routes", |told| serves(told, &[("llm/a", 2)])).await;
}

#[tokio::test]
async fn heartbeats_confirm_what_was_sent_and_name_what_is_withheld() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/a", 1), ("llm/none", 0)]);
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::start(&mut tasks, controller.address, None);
    let wanted = Progress {
        versions: Versions::from([("", Version { pods: 7, routes: 8 })]),
        withheld: ["llm/none".to_owned()].into(),
    };
    let confirms = |told: &Told| told.progress.iter().filter(|one| **one == wanted).count() >= 2;
    router.until("it is confirmed, and again", confirms).await;
}

#[tokio::test]
async fn a_route_that_a_router_asks_for_again_is_sent_again_and_not_in_use_until_then() {
    let controller = Controller::start(LONG, None).await;
    controller.publish(&[("llm/again", 1)]);
    let mut tasks = tokio::task::JoinSet::new();
    let _router = Router::start(&mut tasks, controller.address, None);
    let said = controller.said("answers", |said| said.answers.len() >= 3).await;
    let results: Vec<_> = said.answers.iter().take(3).map(|(.., taken)| taken.is_ok()).collect();
    assert_eq!(results, [true, false, true], "{said:?}");
    assert!(
        said.answers.iter().all(|(route, nonce, _)| (route.as_str(), *nonce) == ("llm/again", 1))
    );
}

/// Takes a router's stream, and never says a word.
#[derive(Clone, Default)]
struct Mute(Arc<Ear>);

#[tonic::async_trait]
impl Discovery for Mute {
    type ListenStream = Pin<Box<dyn Stream<Item = Result<ControllerMessage, Status>> + Send>>;

    async fn listen(
        &self,
        request: Request<Streaming<RouterMessage>>,
    ) -> Result<Response<Self::ListenStream>, Status> {
        let (ear, mut incoming) = (Arc::clone(&self.0), request.into_inner());
        ear.joined(0, &Hello::default());
        let listening = async move {
            while let Ok(Some(message)) = incoming.message().await {
                if let Some(router_message::Kind::Load(load)) = message.kind {
                    ear.reported(0, load.routes);
                }
            }
            None
        };
        Ok(Response::new(futures::stream::once(listening).filter_map(async |end| end).boxed()))
    }
}

#[tokio::test]
async fn a_controller_that_has_fallen_silent_is_left_though_reports_go_on() {
    let mute = Mute::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let server = tonic::transport::Server::builder()
        .add_service(DiscoveryServer::new(mute.clone()))
        .serve_with_incoming(listen::incoming(listener, None));
    tasks.spawn(async move { server.await.unwrap() });
    let router = Router::start(&mut tasks, address, None);
    router.until("connected", |told| told.connected == 1).await;
    for second in 1..=14 {
        pass(Duration::from_secs(1)).await;
        mute.0.0.until("a report", |said| said.loads.len() >= second).await;
        assert_eq!(mute.0.0.0.borrow().joined.len(), 1, "after {second} s");
    }
    pass(Duration::from_secs(2)).await;
    mute.0.0.until("another stream", |said| said.joined.len() == 2).await;
}
