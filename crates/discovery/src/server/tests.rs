//! Controllers and routers in one process, over loopback. Nobody sleeps: conditions are awaited, and where time must
//! pass, the clock is moved.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use super::*;
use crate::client::{Client, Subscriber};
use crate::proto::controller_message::Kind;
use crate::proto::discovery_client::DiscoveryClient;
use crate::proto::{Answer, Hello, Load, PrefillLoad, Push, Removal, RouteLoad};
use crate::{Origin, Progress, Version, Versions};

mod certificates;
mod routers;
mod streams;

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

/// Whether a router with these certificates gets a stream.
async fn admitted(controller: &Controller, tls: Option<TlsFolder>) -> bool {
    let first = router_message::Kind::Hello(hello(&[]));
    Wire::connect(controller.address, tls, first).await.is_ok()
}
