//! The controller's end: every router that connects gets the whole [`World`], and then each of its changes.
//!
//! A stream sends only when its router reads, and then always the latest: a slow router gets fewer states, not a queue.

mod listen;
mod stream;

use std::collections::BTreeMap;
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
use crate::{MAX_MESSAGE, Version, WINDOW};
use stream::RouterStream;

/// A router says who it is within this.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// All routes at one moment, as routers are to serve them.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The routes, by `namespace/name`.
    pub routes: BTreeMap<Arc<str>, RouteState>,
    /// How far the cluster's history was read for this world, by namespace; `""` stands for all others.
    pub versions: BTreeMap<Arc<str>, Version>,
}

/// What routers are told of one route.
#[derive(Clone, Debug)]
pub struct RouteState {
    /// Counts the states of all routes; another number is another state.
    pub nonce: u64,
    /// The state; `None` where there is none to be had, and routers keep what they have.
    pub body: Option<Bytes>,
}

impl World {
    /// The version of a route's state in this world.
    #[must_use]
    pub fn version(&self, route: &str) -> Version {
        let namespace = route.split_once('/').map_or("", |(namespace, _)| namespace);
        let of = |name: &str| self.versions.get(name).copied();
        // A namespace that is not looked at any more: whatever was pushed of it is old.
        let latest = || self.versions.values().fold(Version::default(), |a, b| a.max(b));
        of(namespace).or_else(|| of("")).unwrap_or_else(latest)
    }
}

/// Who wants to know what routers say. Called from many tasks; nothing here may wait.
pub trait Routers: Send + Sync + 'static {
    /// A router has connected; the number stands for this connection from now on.
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
    /// How often something is said, if only that nothing is new.
    pub heartbeat: Duration,
    /// How long a stream lives; its router opens another one. A random part of a third is taken off.
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
    /// Who is told of routers.
    pub routers: Arc<R>,
    /// How often, how long.
    pub times: Times,
}

impl<R> Clone for Server<R> {
    fn clone(&self) -> Self {
        Self { world: self.world.clone(), routers: Arc::clone(&self.routers), times: self.times }
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
        let mut incoming = request.into_inner();
        let first = timeout(HELLO_WITHIN, incoming.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no hello came"))?;
        let hello = match first?.and_then(|message| message.kind) {
            Some(router_message::Kind::Hello(hello)) if !hello.router.is_empty() => hello,
            _ => return Err(Status::invalid_argument("the first message must be a hello")),
        };
        let stream = RouterStream::open(self.clone(), hello, incoming);
        Ok(Response::new(stream.messages().boxed()))
    }
}

#[cfg(test)]
mod tests;
