//! Controllers and routers in one process, over loopback. Nobody sleeps: conditions are awaited, and where time must
//! pass, the clock is moved.

use std::net::SocketAddr;
use std::path::Path;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use super::*;
use crate::Origin;
use crate::client::{Client, Subscriber};
use crate::proto::controller_message::Kind;
use crate::proto::discovery_client::DiscoveryClient;
use crate::proto::{Answer, Load, PrefillLoad, Push, Removal};

/// Whatever is awaited comes within this, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Streams that are never silent for long, and live as long as a test.
const LONG: Times =
    Times { heartbeat: Duration::from_millis(10), lifetime: Duration::from_secs(3600) };

/// Moves the clock while sockets work on.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Values that are watched until they are as they should be.
struct Watched<T>(watch::Sender<T>);

impl<T: Default> Default for Watched<T> {
    fn default() -> Self {
        Self(watch::Sender::new(T::default()))
    }
}

impl<T: Clone + std::fmt::Debug> Watched<T> {
    async fn until(&self, what: &str, condition: impl FnMut(&T) -> bool) -> T {
        let mut values = self.0.subscribe();
        match timeout(PATIENCE, values.wait_for(condition)).await {
            Ok(value) => value.expect("the sender is here").clone(),
            Err(_) => panic!("{what}: {:?}", *self.0.borrow()),
        }
    }
}

/// What a controller's routers said.
#[derive(Clone, Debug, Default)]
struct Said {
    joined: Vec<Hello>,
    left: usize,
    answers: Vec<(String, u64, Result<(), String>)>,
    loads: Vec<Vec<RouteLoad>>,
}

#[derive(Default)]
struct Ear(Watched<Said>);

impl Routers for Ear {
    fn joined(&self, _: u64, hello: &Hello) {
        self.0.0.send_modify(|said| said.joined.push(hello.clone()));
    }

    fn answered(&self, _: u64, route: &str, nonce: u64, answer: Result<(), String>) {
        self.0.0.send_modify(|said| said.answers.push((route.to_owned(), nonce, answer)));
    }

    fn reported(&self, _: u64, load: Vec<RouteLoad>) {
        self.0.0.send_modify(|said| said.loads.push(load));
    }

    fn left(&self, _: u64) {
        self.0.0.send_modify(|said| said.left += 1);
    }
}

/// A controller that serves.
struct Controller {
    address: SocketAddr,
    world: watch::Sender<Option<Arc<World>>>,
    outage: watch::Sender<Option<Arc<str>>>,
    ear: Arc<Ear>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Controller {
    async fn start(times: Times, tls: Option<TlsFolder>) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), times, tls).await
    }

    async fn at(address: SocketAddr, times: Times, tls: Option<TlsFolder>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (world, worlds) = watch::channel(None);
        let (outage, outages) = watch::channel(None);
        let ear = Arc::new(Ear::default());
        let routers = Arc::clone(&ear);
        let server = Server { world: worlds, outage: outages, routers, times };
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(listener, tls, async move { drop(stopped.await) }));
        Self { address, world, outage, ear, stop, serving }
    }

    fn publish(&self, routes: &[(&str, u64)]) {
        self.world.send_replace(Some(Arc::new(world(routes))));
    }

    async fn said(&self, what: &str, condition: impl FnMut(&Said) -> bool) -> Said {
        self.ear.0.until(what, condition).await
    }

    /// Ends, streams and all.
    async fn end(self) {
        drop(self.world);
        drop(self.stop);
        timeout(PATIENCE, self.serving).await.expect("it ends").unwrap().unwrap();
    }
}

/// Routes with their nonces, which are their bodies too; nonce 0 has no state to be had.
fn world(routes: &[(&str, u64)]) -> World {
    let state = |&(name, nonce): &(&str, u64)| {
        let body = (nonce != 0).then(|| Bytes::from(nonce.to_string()));
        (name.into(), RouteState { nonce, body })
    };
    World {
        routes: routes.iter().map(state).collect(),
        versions: Versions::from([("", Version { pods: 7, routes: 8 })]),
    }
}

fn hello(routes: &[&str]) -> Hello {
    Hello {
        router: "router-0".to_owned(),
        release: "1.2.3".to_owned(),
        routes: routes.iter().map(ToString::to_string).collect(),
    }
}

/// A stream as it is on the wire.
struct Wire {
    out: mpsc::Sender<RouterMessage>,
    incoming: Streaming<ControllerMessage>,
}

impl Wire {
    async fn open(controller: &Controller, hello: Hello) -> Self {
        let address = controller.address;
        Self::connect(address, None, router_message::Kind::Hello(hello)).await.unwrap()
    }

    async fn connect(
        address: SocketAddr,
        tls: Option<TlsFolder>,
        first: router_message::Kind,
    ) -> Result<Self, String> {
        let dial = tower::service_fn(move |_| dial(address, tls.clone()));
        let endpoint = Endpoint::from_static("http://controllers")
            .initial_stream_window_size(65_535)
            .initial_connection_window_size(65_535);
        let channel = endpoint.connect_with_connector(dial).await.map_err(|e| format!("{e:?}"))?;
        let (out, mut messages) = mpsc::channel(64);
        out.try_send(RouterMessage { kind: Some(first) }).unwrap();
        let messages = futures::stream::poll_fn(move |cx| messages.poll_recv(cx));
        let answer = DiscoveryClient::new(channel).listen(messages).await;
        let incoming = answer.map_err(|status| format!("{status:?}"))?.into_inner();
        Ok(Self { out, incoming })
    }

    /// What comes next; `None` where the controller ends the stream.
    async fn next(&mut self) -> Option<Kind> {
        let message = timeout(PATIENCE, self.incoming.message()).await.expect("something comes");
        message.unwrap().map(|message| message.kind.expect("a known kind"))
    }

    /// The error with which the controller ends the stream.
    async fn error(&mut self) -> Status {
        let ended = async {
            loop {
                match self.incoming.message().await {
                    Ok(message) => assert!(message.is_some(), "it ended without an error"),
                    Err(error) => break error,
                }
            }
        };
        timeout(PATIENCE, ended).await.expect("the stream ends")
    }

    /// What comes next, but for heartbeats: in words.
    async fn told(&mut self) -> String {
        let told = async {
            loop {
                match self.next().await {
                    Some(Kind::Push(Push { route, nonce, .. })) => {
                        break format!("{route}={nonce}");
                    }
                    Some(Kind::Removal(Removal { route, .. })) => break format!("{route} is gone"),
                    Some(Kind::Synced(_)) => break "synced".to_owned(),
                    Some(Kind::Heartbeat(_)) => {}
                    None => break "end".to_owned(),
                }
            }
        };
        timeout(PATIENCE, told).await.expect("more than heartbeats comes")
    }

    async fn told_in_turn(&mut self, wanted: &[&str]) {
        for wanted in wanted {
            assert_eq!(self.told().await, *wanted);
        }
    }

    /// The next messages say that nothing is new.
    async fn hears_nothing_new(&mut self) {
        for _ in 0..3 {
            assert!(matches!(self.next().await, Some(Kind::Heartbeat(_))));
        }
    }

    async fn answer(&self, route: &str, nonce: u64, rejected: &str) {
        let (route, rejected) = (route.to_owned(), rejected.to_owned());
        let kind = Some(router_message::Kind::Answer(Answer { route, nonce, rejected }));
        self.out.send(RouterMessage { kind }).await.unwrap();
    }
}

trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}

async fn dial(address: SocketAddr, tls: Option<TlsFolder>) -> io::Result<TokioIo<Box<dyn Duplex>>> {
    let stream = TcpStream::connect(address).await?;
    let Some(tls) = tls else { return Ok(TokioIo::new(Box::new(stream))) };
    let connector = TlsConnector::from(Arc::new(tls.client().map_err(io::Error::other)?));
    let stream = connector.connect(ServerName::from(address.ip()), stream).await?;
    Ok(TokioIo::new(Box::new(stream)))
}

/// What a router was told.
#[derive(Clone, Debug, Default)]
struct Told {
    routes: BTreeMap<String, (Version, Bytes)>,
    synced: usize,
    progress: Vec<Progress>,
    /// It has asked for a route again.
    asked: bool,
    connected: usize,
    disconnected: usize,
}

/// A router that takes every state, but for routes that are called `bad`.
#[derive(Default)]
struct Router(Watched<Told>);

impl Subscriber for Router {
    fn held(&self) -> Vec<String> {
        self.0.0.borrow().routes.keys().cloned().collect()
    }

    fn pushed(&self, route: &str, origin: Origin, body: Bytes) -> Result<(), String> {
        if route.ends_with("/bad") {
            return Err("it is bad".to_owned());
        }
        self.0.0.send_modify(|told| {
            told.routes.insert(route.to_owned(), (origin.version, body));
        });
        Ok(())
    }

    fn removed(&self, route: &str, _: Origin) -> Result<(), String> {
        self.0.0.send_modify(|told| {
            told.routes.remove(route);
        });
        Ok(())
    }

    fn synced(&self, _: SocketAddr, progress: Progress) {
        self.0.0.send_modify(|told| {
            told.synced += 1;
            told.progress.push(progress);
        });
    }

    fn confirmed(&self, _: SocketAddr, progress: Progress) -> Vec<String> {
        let mut asked = Vec::new();
        self.0.0.send_modify(|told| {
            told.progress.push(progress);
            if !std::mem::replace(&mut told.asked, true) {
                asked.extend(told.routes.keys().filter(|route| route.ends_with("/again")).cloned());
                told.asked = !asked.is_empty();
            }
        });
        asked
    }

    fn disconnected(&self, _: SocketAddr) {
        self.0.0.send_modify(|told| told.disconnected += 1);
    }

    fn connected(&self, controllers: usize) {
        self.0.0.send_modify(|told| told.connected = controllers);
    }

    fn load(&self) -> Vec<RouteLoad> {
        let prefill = Some(PrefillLoad { unread_tokens: 12.5, ..PrefillLoad::default() });
        vec![RouteLoad { route: "llm/a".to_owned(), prefill, decoding: None }]
    }
}

impl Router {
    /// Starts a router; it ends with the set.
    fn start(
        tasks: &mut tokio::task::JoinSet<()>,
        address: SocketAddr,
        tls: Option<TlsFolder>,
    ) -> Arc<Self> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let client = Client::new(&url, tls, "router-0".to_owned(), "1.2.3").unwrap();
        let router = Arc::new(Self::default());
        tasks.spawn(client.run(Arc::clone(&router)));
        router
    }

    async fn until(&self, what: &str, condition: impl FnMut(&Told) -> bool) -> Told {
        self.0.until(what, condition).await
    }
}

fn serves(told: &Told, routes: &[(&str, u64)]) -> bool {
    told.routes.len() == routes.len()
        && routes.iter().all(|(route, nonce)| {
            told.routes.get(*route).is_some_and(|(_, body)| *body == nonce.to_string())
        })
}

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
    assert!(said.left >= 2, "who has ended has left: {}", said.left);
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
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::start(&mut tasks, controller.address, None);
    let first = router.until("a heartbeat", |told| !told.progress.is_empty()).await;
    assert!(!first.progress[0].confirms(), "nothing was sent: {first:?}");
    controller.publish(&[("llm/a", 1), ("llm/none", 0)]);
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

/// An authority, whose certificates are good for loopback.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::new(params, key), pem }
    }

    /// Puts a certificate of this authority into a folder.
    fn issue(&self, folder: &Path) -> TlsFolder {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        for (name, text) in [
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
            ("ca.crt", self.pem.clone()),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        TlsFolder::new(folder)
    }

    fn folder(&self) -> (TempDir, TlsFolder) {
        let folder = TempDir::new().unwrap();
        let tls = self.issue(folder.path());
        (folder, tls)
    }
}

/// Whether a router with these certificates gets a stream.
async fn admitted(controller: &Controller, tls: Option<TlsFolder>) -> bool {
    let first = router_message::Kind::Hello(hello(&[]));
    Wire::connect(controller.address, tls, first).await.is_ok()
}

#[tokio::test]
async fn only_routers_of_the_same_authority_are_let_in() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (_controller, of_controller) = ours.folder();
    let controller = Controller::start(LONG, Some(of_controller)).await;
    controller.publish(&[("llm/a", 1)]);
    let (_router, of_router) = ours.folder();
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::start(&mut tasks, controller.address, Some(of_router));
    router.until("its routes", |told| serves(told, &[("llm/a", 1)])).await;
    let (_other, of_other) = theirs.folder();
    assert!(!admitted(&controller, Some(of_other)).await, "of another authority");
    assert!(!admitted(&controller, None).await, "without TLS");
    // One that trusts the controller, but shows another authority's certificate.
    let (folder, disguised) = theirs.folder();
    std::fs::write(folder.path().join("ca.crt"), &ours.pem).unwrap();
    assert!(!admitted(&controller, Some(disguised)).await, "with another's certificate");
    assert_eq!(controller.ear.0.0.borrow().joined.len(), 1);
}

#[tokio::test]
async fn certificates_are_rotated_without_a_restart_and_bad_ones_are_not_taken() {
    let (old, new) = (Authority::new(), Authority::new());
    let (folder, of_controller) = old.folder();
    let controller = Controller::start(LONG, Some(of_controller)).await;
    let (_old, of_old) = old.folder();
    let (_new, of_new) = new.folder();
    let who = async || {
        let (old, new) = (Some(of_old.clone()), Some(of_new.clone()));
        (admitted(&controller, old).await, admitted(&controller, new).await)
    };
    assert_eq!(who().await, (true, false));
    new.issue(folder.path());
    pass(listen::CERTIFICATES_FOR).await;
    assert_eq!(who().await, (false, true));
    for broken in ["tls.crt", "ca.crt"] {
        std::fs::write(folder.path().join(broken), "half a certi").unwrap();
        pass(listen::CERTIFICATES_FOR).await;
        assert_eq!(who().await, (false, true), "{broken}: the last good ones stay");
    }
}
