//! The controller's end: every router that connects gets the whole [`World`], and then each of its changes.
//!
//! A stream sends only when its router reads, and then always the latest: a slow router gets fewer states, not a queue.
//! While the world may be out of date no stream is served: a router that holds a state keeps it, and one that holds none
//! is better off with another controller.

mod listen;
mod stream;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::proto::discovery_server::{Discovery, DiscoveryServer};
use crate::proto::{ControllerMessage, Hello, RouteLoad, RouterMessage, router_message};
use crate::tls::TlsFolder;
use crate::{MAX_MESSAGE, Progress, Version, Versions, WINDOW};
use stream::RouterStream;

/// A router's first message must come within this of its request: it is sent along with it.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// All routes at one moment, as routers are to serve them.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The routes, by `namespace/name`.
    pub routes: BTreeMap<Arc<str>, RouteState>,
    /// How far the cluster's history was read for this world.
    pub versions: Versions,
}

/// The state of one route.
#[derive(Clone, Debug)]
pub struct RouteState {
    /// Counts the states of all routes; another number is another state.
    pub nonce: u64,
    /// The state; `None` where there is none to be had, and routers keep what they have.
    pub body: Option<Bytes>,
}

impl World {
    /// The version of a route's state in this world. Of a namespace that is not watched any more, nothing later will be
    /// read: the latest of all.
    #[must_use]
    pub fn version(&self, route: &str) -> Version {
        self.versions.of_route(route).unwrap_or_else(|| self.versions.latest())
    }

    /// What a router that was sent this world may rely on.
    fn progress(&self) -> Progress {
        let withheld = self.routes.iter().filter(|(_, state)| state.body.is_none());
        let withheld: HashSet<_> = withheld.map(|(route, _)| route.to_string()).collect();
        Progress { versions: self.versions.clone(), withheld }
    }
}

/// Receives what routers say. Called from many tasks; nothing here may wait.
pub trait Routers: Send + Sync + 'static {
    /// A router has connected; the number identifies this connection.
    fn joined(&self, connection: u64, hello: &Hello);
    /// It answered a push or a removal; `Err` says why it was refused.
    fn answered(&self, connection: u64, route: &str, nonce: u64, answer: Result<(), String>);
    /// It reported its load.
    fn reported(&self, connection: u64, load: Vec<RouteLoad>);
    /// The connection has ended.
    fn left(&self, connection: u64);
}

/// The times of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// How long a stream lives at most; its router then opens another. Up to a third is taken off at random.
    pub lifetime: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(5), lifetime: Duration::from_secs(30 * 60) }
    }
}

/// Serves a world to routers.
#[derive(Debug)]
pub struct Server<R> {
    /// What to serve. Nothing is sent before its first change: an empty world would take everybody's routes away.
    pub world: watch::Receiver<Option<Arc<World>>>,
    /// Why the world may be out of date; `None` while it is not.
    pub outage: watch::Receiver<Option<Arc<str>>>,
    /// Receives what routers say.
    pub routers: Arc<R>,
    /// The times of each stream.
    pub times: Times,
}

impl<R> Clone for Server<R> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            outage: self.outage.clone(),
            routers: Arc::clone(&self.routers),
            times: self.times,
        }
    }
}

impl<R: Routers> Server<R> {
    /// Serves until `stop` resolves and the streams that are open have ended, as they do when the sender of the world is
    /// dropped.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<TlsFolder>,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let service = DiscoveryServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_concurrent_streams(4)
            .add_service(service)
            .serve_with_incoming_shutdown(listen::incoming(listener, tls), stop)
            .await
            .map_err(io::Error::other)
    }
}

#[tonic::async_trait]
impl<R: Routers> Discovery for Server<R> {
    type ListenStream = Pin<Box<dyn Stream<Item = Result<ControllerMessage, Status>> + Send>>;

    async fn listen(
        &self,
        request: Request<Streaming<RouterMessage>>,
    ) -> Result<Response<Self::ListenStream>, Status> {
        if let Some(why) = &*self.outage.borrow() {
            return Err(unavailable(why));
        }
        let mut incoming = request.into_inner();
        let first = timeout(HELLO_WITHIN, incoming.message()).await.map_err(|_| {
            Status::deadline_exceeded(format!("no hello came within {HELLO_WITHIN:?}"))
        })?;
        let hello = match first?.and_then(|message| message.kind) {
            Some(router_message::Kind::Hello(hello)) if !hello.router.is_empty() => hello,
            _ => return Err(Status::invalid_argument("the first message must be a hello")),
        };
        let stream = RouterStream::open(self.clone(), hello, incoming);
        Ok(Response::new(stream.messages().boxed()))
    }
}

/// Tells a router why it gets no stream.
fn unavailable(why: &str) -> Status {
    Status::unavailable(format!("the controller cannot read the cluster: {why}"))
}

#[cfg(test)]
mod tests;
