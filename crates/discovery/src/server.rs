//! The controller's end: every router that connects gets the whole [`World`], and then each of its changes.
//!
//! A stream sends only when its router reads, and then always the latest: a slow router gets fewer states, not a queue.
//! While the world may be out of date no stream is served: a router that holds a state keeps it, and one that holds none
//! is better off with another controller.

mod listen;
mod stream;
mod world;

use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use crate::proto::discovery_server::{Discovery, DiscoveryServer};
use crate::proto::{ControllerMessage, RouterMessage, router_message};
use crate::tls::TlsFolder;
use crate::{MAX_MESSAGE, WINDOW};
use stream::{RouterStream, unavailable};
pub use world::{RouteState, Routers, Server, Times, World};

/// A router's first message must come within this of its request: it is sent along with it.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

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
        // Its heartbeats would make a router count as up to date with a controller that knows nothing.
        if self.world.borrow().is_none() {
            return Err(unavailable("it has not read it yet"));
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

#[cfg(test)]
mod tests;
