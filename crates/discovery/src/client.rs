//! The router's end: a stream to every controller there is, opened again whenever it ends.
//!
//! The controllers' name is resolved again and again (a headless service names every one of them). All streams feed one
//! [`Subscriber`], which decides by [`Holdings`](crate::Holdings) whose state is the newest; so a controller that dies,
//! lags, or is replaced costs nothing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use rand::RngExt;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::proto::controller_message::Kind;
use crate::proto::discovery_client::DiscoveryClient;
use crate::proto::{
    Answer, ControllerMessage, Hello, Load, RouteLoad, RouterMessage, router_message,
};
use crate::tls::TlsFolder;
use crate::{MAX_MESSAGE, Version, WINDOW};

/// How often the controllers' name is resolved.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// To connect, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A controller that says nothing for so long, not even that nothing is new, is gone.
const SILENT_FOR: Duration = Duration::from_secs(15);
/// Waits between attempts: the first, and the longest; each with a random part.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often the load is reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Messages towards a controller that wait; beyond, reports are left out.
const QUEUE: usize = 64;
/// Controllers that are listened to; a name with more addresses is taken for a mistake.
const MAX_CONTROLLERS: usize = 16;

/// Who is told what controllers say. Called from one task at a time.
pub trait Subscriber: Send + Sync + 'static {
    /// The routes that are served now.
    fn held(&self) -> Vec<String>;
    /// A state of a route. `Err` says why it is not used.
    fn pushed(&self, route: &str, version: Version, body: bytes::Bytes) -> Result<(), String>;
    /// A route is no more.
    fn removed(&self, route: &str, version: Version) -> Result<(), String>;
    /// A controller has sent all it has.
    fn synced(&self);
    /// A controller said that nothing is new.
    fn heard(&self);
    /// So many controllers are connected now.
    fn connected(&self, controllers: usize);
    /// What to report now. Each controller is told the same.
    fn load(&self) -> Vec<RouteLoad>;
}

/// Where the controllers are, and who asks.
#[derive(Clone, Debug)]
pub struct Client {
    /// Their common name: a host, to be resolved.
    host: String,
    port: u16,
    tls: Option<TlsFolder>,
    router: String,
    release: String,
}

/// A controllers' address that cannot be used.
#[derive(Debug, Error)]
#[error(
    "`{address}` is no address of controllers: {why}: write it as https://NAME.NAMESPACE.svc:9443"
)]
pub struct BadAddress {
    address: String,
    why: &'static str,
}

#[derive(Debug, Error)]
enum Ended {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("the stream was refused or broke: {0}")]
    Status(#[from] tonic::Status),
    #[error("nothing was heard for {SILENT_FOR:?}")]
    Silent,
    #[error("the controller ended the stream")]
    Finished,
}

impl Client {
    /// A client of the controllers at `address`, `http://HOST:PORT` or, with a folder of certificates,
    /// `https://HOST:PORT`; `router` is its name.
    ///
    /// # Errors
    /// The address says something else.
    pub fn new(
        address: &str,
        tls: Option<TlsFolder>,
        router: String,
        release: &str,
    ) -> Result<Self, BadAddress> {
        let bad = |why| BadAddress { address: address.to_owned(), why };
        let uri: Uri = address.parse().map_err(|_| bad("it is no URL"))?;
        match (uri.scheme_str(), &tls) {
            (Some("http"), None) | (Some("https"), Some(_)) => {}
            (Some("https"), None) => return Err(bad("https needs --controller-tls-dir")),
            (Some("http"), Some(_)) => return Err(bad("with certificates it begins with https")),
            _ => return Err(bad("it begins with neither http nor https")),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("it has a path"));
        }
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(9443);
        Ok(Self { host, port, tls, router, release: release.to_owned() })
    }

    /// Listens to the controllers for ever.
    pub async fn run(self, subscriber: Arc<impl Subscriber>) {
        let reports = broadcast::Sender::new(1);
        let session = Session { client: Arc::new(self), subscriber, reports };
        let (up, ups) = mpsc::channel(MAX_CONTROLLERS);
        // Side by side: a name server that is slow delays no report.
        tokio::join!(session.follow(up), session.report(), session.count(ups));
    }

    async fn resolve(&self) -> io::Result<HashSet<SocketAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        Ok(found.take(MAX_CONTROLLERS).collect())
    }

    async fn open(&self, address: SocketAddr) -> Result<Channel, Ended> {
        let origin = Uri::builder()
            .scheme("http")
            .authority(format!("{}:{}", bracketed(&self.host), self.port))
            .path_and_query("/")
            .build()
            .map_err(|error| Ended::Connect(error.to_string()))?;
        let connector = self.clone();
        let endpoint = Endpoint::from(origin)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        let connect = endpoint.connect_with_connector(tower::service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move { connector.dial(address).await.map(TokioIo::new) }
        }));
        match timeout(CONNECT_WITHIN, connect).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(Ended::Connect(root_cause(&error))),
            Err(_) => Err(Ended::Connect(format!("not within {CONNECT_WITHIN:?}"))),
        }
    }

    async fn dial(&self, address: SocketAddr) -> io::Result<Dialled> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(folder) = &self.tls else { return Ok(Box::new(stream)) };
        let config = folder.client().map_err(io::Error::other)?;
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }
}

/// A connection, with or without TLS.
type Dialled = Box<dyn Both>;
trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Both for T {}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The innermost error: the outer ones say only that something failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}

/// A task for each address.
#[derive(Default)]
struct Streams {
    tasks: JoinSet<()>,
    of: HashMap<SocketAddr, tokio::task::AbortHandle>,
}

type Ups = mpsc::Sender<(SocketAddr, bool)>;

impl Streams {
    /// Opens streams to new addresses; those to addresses that are gone end when they break, not before: the name may
    /// be wrong for a moment, and a controller that ends closes its streams itself.
    fn follow<S: Subscriber>(
        &mut self,
        found: HashSet<SocketAddr>,
        session: &Session<S>,
        up: &Ups,
    ) {
        while self.tasks.try_join_next().is_some() {}
        self.of.retain(|_, task| !task.is_finished());
        for address in found {
            self.of.entry(address).or_insert_with(|| {
                let (session, up) = (session.clone(), up.clone());
                self.tasks.spawn(async move { session.keep(address, up).await })
            });
        }
    }
}

/// What the streams share.
struct Session<S> {
    client: Arc<Client>,
    subscriber: Arc<S>,
    reports: broadcast::Sender<Arc<Vec<RouteLoad>>>,
}

impl<S> Clone for Session<S> {
    fn clone(&self) -> Self {
        Self {
            client: Arc::clone(&self.client),
            subscriber: Arc::clone(&self.subscriber),
            reports: self.reports.clone(),
        }
    }
}

impl<S: Subscriber> Session<S> {
    /// Opens streams to all addresses of the controllers' name, as they come.
    async fn follow(&self, up: Ups) {
        let mut streams = Streams::default();
        let mut ticks = every(RESOLVE_EVERY);
        loop {
            ticks.tick().await;
            match self.client.resolve().await {
                Ok(found) => streams.follow(found, self, &up),
                // What is known already stays: a name server that is gone takes nobody's routes.
                Err(error) => {
                    let host = &self.client.host;
                    tracing::warn!(host, %error, "cannot resolve the controllers' name");
                }
            }
        }
    }

    /// Reports the load to whoever listens.
    async fn report(&self) {
        let mut ticks = every(REPORT_EVERY);
        loop {
            ticks.tick().await;
            // To ask for the load empties its sums: only where somebody hears it.
            if self.reports.receiver_count() > 0 {
                drop(self.reports.send(Arc::new(self.subscriber.load())));
            }
        }
    }

    /// Says how many controllers are connected.
    async fn count(&self, mut ups: mpsc::Receiver<(SocketAddr, bool)>) {
        let mut connected = HashSet::new();
        while let Some((address, is_up)) = ups.recv().await {
            if is_up {
                connected.insert(address)
            } else {
                connected.remove(&address)
            };
            self.subscriber.connected(connected.len());
        }
    }

    /// Keeps a stream to one address, as long as the name has it.
    async fn keep(self, address: SocketAddr, up: Ups) {
        let mut wait = FIRST_WAIT;
        loop {
            let mut heard = false;
            let ended = self.listen(address, &up, &mut heard).await;
            if heard {
                up.send((address, false)).await.ok();
                wait = FIRST_WAIT;
            }
            match ended {
                Ended::Finished => tracing::info!(%address, "the controller ended the stream"),
                error => tracing::warn!(%address, %error, "no stream from a controller"),
            }
            let jittered = wait.mul_f64(rand::rng().random_range(0.5..=1.0));
            sleep(jittered).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            let gone = self.client.resolve().await.is_ok_and(|found| !found.contains(&address));
            if gone {
                return;
            }
        }
    }

    async fn listen(&self, address: SocketAddr, up: &Ups, heard: &mut bool) -> Ended {
        let opened = async {
            let channel = self.client.open(address).await?;
            let (queue, messages) = mpsc::channel(QUEUE);
            let hello = Hello {
                router: self.client.router.clone(),
                release: self.client.release.clone(),
                routes: self.subscriber.held(),
            };
            drop(queue.try_send(to_controller(router_message::Kind::Hello(hello))));
            let messages = stream::unfold(messages, async |mut messages| {
                Some((messages.recv().await?, messages))
            });
            let mut client = DiscoveryClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
            let incoming = match timeout(CONNECT_WITHIN, client.listen(messages)).await {
                Ok(opened) => opened?.into_inner(),
                Err(_) => return Err(Ended::Silent),
            };
            Ok::<_, Ended>((queue, incoming))
        };
        let (queue, incoming) = match opened.await {
            Ok(opened) => opened,
            Err(ended) => return ended,
        };
        *heard = true;
        up.send((address, true)).await.ok();
        tracing::info!(%address, "listening to a controller");
        match self.converse(queue, incoming).await {
            Ok(()) => Ended::Finished,
            Err(ended) => ended,
        }
    }

    async fn converse(
        &self,
        queue: mpsc::Sender<RouterMessage>,
        mut incoming: Streaming<ControllerMessage>,
    ) -> Result<(), Ended> {
        let mut reports = self.reports.subscribe();
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                // From when something was heard, however often a report comes between.
                message = timeout_at(heard + SILENT_FOR, incoming.next()) => match message {
                    Err(_) => return Err(Ended::Silent),
                    Ok(None) => return Ok(()),
                    Ok(Some(message)) => {
                        heard = Instant::now();
                        if let Some(answer) = self.hear(message?) {
                            let answer = to_controller(router_message::Kind::Answer(answer));
                            // An answer must arrive: it is waited for, where a report is left out.
                            if queue.send(answer).await.is_err() {
                                return Ok(());
                            }
                        }
                    }
                },
                Ok(report) = reports.recv() => {
                    let load = Load { routes: report.to_vec() };
                    drop(queue.try_send(to_controller(router_message::Kind::Load(load))));
                }
            }
        }
    }

    /// Hands on what a controller says; gives the answer, where one is expected.
    fn hear(&self, message: ControllerMessage) -> Option<Answer> {
        let (route, nonce, taken) = match message.kind? {
            Kind::Push(push) => {
                let version = push.version.unwrap_or_default();
                let taken = self.subscriber.pushed(&push.route, version, push.body);
                (push.route, push.nonce, taken)
            }
            Kind::Removal(removal) => {
                let version = removal.version.unwrap_or_default();
                let taken = self.subscriber.removed(&removal.route, version);
                (removal.route, removal.nonce, taken)
            }
            Kind::Synced(_) => {
                self.subscriber.synced();
                return None;
            }
            Kind::Heartbeat(_) => {
                self.subscriber.heard();
                return None;
            }
        };
        Some(Answer { route, nonce, rejected: taken.err().unwrap_or_default() })
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

const fn to_controller(kind: router_message::Kind) -> RouterMessage {
    RouterMessage { kind: Some(kind) }
}
