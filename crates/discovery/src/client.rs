//! The router's end: a stream to every controller there is, opened again whenever it ends.
//!
//! The controllers' name is resolved again and again (a headless service names every one of them). All streams feed one
//! [`Subscriber`], which decides by [`Holdings`](crate::Holdings) whose state is the newest; so a controller that dies,
//! lags, or is replaced costs nothing.

mod address;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use rand::RngExt;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tonic::Streaming;

use crate::proto::controller_message::Kind;
use crate::proto::discovery_client::DiscoveryClient;
use crate::proto::{
    Answer, ControllerMessage, Hello, Load, RouteLoad, RouterMessage, router_message,
};
use crate::tls::TlsFolder;
use crate::{MAX_MESSAGE, Origin, Progress};
pub use address::BadAddress;
use address::{Address, CONNECT_WITHIN, MAX_CONTROLLERS};

/// How often the controllers' name is resolved.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// A controller that sends nothing for this long is gone: three of its heartbeats, which come every 5 s.
const SILENT_FOR: Duration = Duration::from_secs(15);
/// Waits between attempts: the first, and the longest; up to half is taken off at random.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often the load is reported.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Messages towards a controller that wait; beyond, reports are left out.
const QUEUE: usize = 64;

/// Receives what controllers say. Called from one task at a time.
pub trait Subscriber: Send + Sync + 'static {
    /// The routes that are served now.
    fn held(&self) -> Vec<String>;
    /// A state of a route. `Err` says why it is not used.
    fn pushed(&self, route: &str, origin: Origin, body: bytes::Bytes) -> Result<(), String>;
    /// A route was removed. `Err` says why it is kept.
    fn removed(&self, route: &str, origin: Origin) -> Result<(), String>;
    /// A controller has sent all it has, and confirms it.
    fn synced(&self, controller: SocketAddr, progress: Progress);
    /// A controller confirms what it has sent. Returns the routes that it is to send again.
    fn confirmed(&self, controller: SocketAddr, progress: Progress) -> Vec<String>;
    /// A controller's stream has ended.
    fn disconnected(&self, controller: SocketAddr);
    /// The number of controllers that are connected has changed.
    fn connected(&self, controllers: usize);
    /// What to report now. Each controller gets the same report.
    fn load(&self) -> Vec<RouteLoad>;
}

/// A router that listens to controllers.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
    router: String,
    release: String,
}

/// Why a stream ended.
#[derive(Debug, Error)]
enum Ended {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("{}: {}", .0.code(), .0.message())]
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
    /// The address is neither.
    pub fn new(
        address: &str,
        tls: Option<TlsFolder>,
        router: String,
        release: &str,
    ) -> Result<Self, BadAddress> {
        let address = Address::parse(address, tls)?;
        Ok(Self { address, router, release: release.to_owned() })
    }

    /// Listens to the controllers for ever.
    pub async fn run(self, subscriber: Arc<impl Subscriber>) {
        let reports = broadcast::Sender::new(1);
        let session = Session { client: Arc::new(self), subscriber, reports };
        let (up, ups) = mpsc::channel(MAX_CONTROLLERS);
        // Side by side: a name server that is slow delays no report.
        tokio::join!(session.follow(up), session.report(), session.count(ups));
    }

    async fn open(
        &self,
        controller: SocketAddr,
        held: Vec<String>,
    ) -> Result<(mpsc::Sender<RouterMessage>, Streaming<ControllerMessage>), Ended> {
        let channel = self.address.connect(controller).await.map_err(Ended::Connect)?;
        let (queue, messages) = mpsc::channel(QUEUE);
        let hello =
            Hello { router: self.router.clone(), release: self.release.clone(), routes: held };
        drop(queue.try_send(to_controller(router_message::Kind::Hello(hello))));
        let messages =
            stream::unfold(messages, async |mut messages| Some((messages.recv().await?, messages)));
        let mut client = DiscoveryClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        match timeout(CONNECT_WITHIN, client.listen(messages)).await {
            Ok(opened) => Ok((queue, opened?.into_inner())),
            Err(_) => Err(Ended::Silent),
        }
    }
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
            match self.client.address.resolve().await {
                Ok(found) => streams.follow(found, self, &up),
                // Streams that are open stay: an outage of DNS must not take routes away.
                Err(error) => {
                    let host = &self.client.address.host;
                    tracing::warn!(host, %error, "cannot resolve the controllers' name");
                }
            }
        }
    }

    /// Reports the load to all controllers.
    async fn report(&self) {
        let mut ticks = every(REPORT_EVERY);
        loop {
            ticks.tick().await;
            // Asking for the load resets its sums: only do so where a controller hears it.
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
                Ended::Finished => tracing::info!(%address, "a controller ended its stream"),
                error => {
                    tracing::warn!(%address, %error, "the stream to a controller failed; it is retried")
                }
            }
            let jittered = wait.mul_f64(rand::rng().random_range(0.5..=1.0));
            sleep(jittered).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            let gone =
                self.client.address.resolve().await.is_ok_and(|found| !found.contains(&address));
            if gone {
                return;
            }
        }
    }

    async fn listen(&self, address: SocketAddr, up: &Ups, heard: &mut bool) -> Ended {
        let (queue, incoming) = match self.client.open(address, self.subscriber.held()).await {
            Ok(opened) => opened,
            Err(ended) => return ended,
        };
        *heard = true;
        up.send((address, true)).await.ok();
        tracing::info!(%address, "listening to a controller");
        let conversation = Conversation {
            controller: address,
            subscriber: &*self.subscriber,
            nonces: HashMap::new(),
        };
        let ended = conversation.run(queue, incoming, self.reports.subscribe()).await;
        self.subscriber.disconnected(address);
        ended.err().unwrap_or(Ended::Finished)
    }
}

/// One stream, as it is heard.
struct Conversation<'a, S> {
    controller: SocketAddr,
    subscriber: &'a S,
    /// Of the last state of each route, for further answers.
    nonces: HashMap<String, u64>,
}

impl<S: Subscriber> Conversation<'_, S> {
    /// Listens, answers and reports until the stream ends.
    async fn run(
        mut self,
        queue: mpsc::Sender<RouterMessage>,
        mut incoming: Streaming<ControllerMessage>,
        mut reports: broadcast::Receiver<Arc<Vec<RouteLoad>>>,
    ) -> Result<(), Ended> {
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                // From when something was heard, however often a report comes between.
                message = timeout_at(heard + SILENT_FOR, incoming.next()) => match message {
                    Err(_) => return Err(Ended::Silent),
                    Ok(None) => return Ok(()),
                    Ok(Some(message)) => {
                        heard = Instant::now();
                        for answer in self.hear(message?) {
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

    /// Hands on what a controller says, and gives the answers.
    fn hear(&mut self, message: ControllerMessage) -> Vec<Answer> {
        let origin =
            |version: Option<_>| Origin::controller(self.controller, version.unwrap_or_default());
        match message.kind {
            Some(Kind::Push(push)) => {
                let taken = self.subscriber.pushed(&push.route, origin(push.version), push.body);
                self.nonces.insert(push.route.clone(), push.nonce);
                vec![answer(push.route, push.nonce, taken)]
            }
            Some(Kind::Removal(removal)) => {
                let taken = self.subscriber.removed(&removal.route, origin(removal.version));
                self.nonces.remove(&removal.route);
                vec![answer(removal.route, removal.nonce, taken)]
            }
            Some(Kind::Synced(synced)) => {
                let progress = Progress::from_proto(synced.progress);
                self.subscriber.synced(self.controller, progress);
                Vec::new()
            }
            Some(Kind::Heartbeat(heartbeat)) => {
                let progress = Progress::from_proto(heartbeat.progress);
                let again = self.subscriber.confirmed(self.controller, progress);
                again.into_iter().filter_map(|route| self.send_again(route)).collect()
            }
            // Of a newer release.
            None => Vec::new(),
        }
    }

    fn send_again(&self, route: String) -> Option<Answer> {
        let nonce = *self.nonces.get(&route)?;
        let replaced = "the state of a controller that lags is in use instead".to_owned();
        Some(answer(route, nonce, Err(replaced)))
    }
}

fn answer(route: String, nonce: u64, taken: Result<(), String>) -> Answer {
    Answer { route, nonce, rejected: taken.err().unwrap_or_default() }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

const fn to_controller(kind: router_message::Kind) -> RouterMessage {
    RouterMessage { kind: Some(kind) }
}
