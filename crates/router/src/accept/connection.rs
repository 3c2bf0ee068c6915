//! One client connection, HTTP/1.1 or h2c, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Executor, Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::accept::driven::{Driven, Graceful};
use crate::accept::protocol::{self, Protocol};
use crate::accept::reads::NotedReads;
use crate::accept::served::Served;
use crate::accept::state::{ConnectionState, Order};
use crate::accept::sweep::Connections;
use crate::intake::handler::{MAX_HEAD_BYTES, handle};
use crate::worker::Worker;

/// A client that reads nothing of what was sent to it for this long is given up by the kernel.
const UNREAD_FOR: Duration = Duration::from_secs(60);

/// HTTP/2: most streams of one connection at once.
const MAX_STREAMS: u32 = 250;

/// HTTP/2: most bytes buffered towards one slow stream.
const MAX_SEND_BUFFER: usize = 256 * 1024;

/// Serves one connection in a task of its own.
pub(crate) fn spawn(stream: TcpStream, worker: &Rc<Worker>, connections: &Connections) {
    let worker = Rc::clone(worker);
    let state = Rc::new(ConnectionState::opened());
    connections.watch(&state);
    let held = worker.drain.hold();
    spawn_local(async move {
        if let Err(error) = serve(stream, worker, state).await {
            tracing::debug!(error, "a client's connection broke");
        }
        drop(held);
    });
}

async fn serve(
    stream: TcpStream,
    worker: Rc<Worker>,
    state: Rc<ConnectionState>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_FOR))?;
    let protocol = tokio::select! {
        protocol = protocol::of(&stream, || state.head_begun()) => protocol?,
        () = cut(&state) => None,
    };
    let Some(protocol) = protocol else { return Ok(()) };
    state.speaks(protocol);
    let serving = Rc::clone(&state);
    let service = service_fn(move |request| answer(Rc::clone(&worker), &serving, request));
    drive(TokioIo::new(stream), protocol, service, state).await?;
    Ok(())
}

async fn cut(state: &ConnectionState) {
    poll_fn(|cx| match state.order(cx) {
        Order::Cut => Poll::Ready(()),
        Order::Close | Order::Serve => Poll::Pending,
    })
    .await;
}

/// Answers one request, and keeps the connection busy until the answer's end.
fn answer(
    worker: Rc<Worker>,
    state: &Rc<ConnectionState>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Served>, Infallible>> + use<> {
    let serving = state.serving();
    async move {
        let drain = Rc::clone(&worker.drain);
        let response = handle(worker, request).await?;
        Ok(response.map(|reply| Served::new(reply, &drain, serving)))
    }
}

/// Drives a connection whose first bytes have told its protocol.
async fn drive<I, S, B>(
    io: I,
    protocol: Protocol,
    service: S,
    state: Rc<ConnectionState>,
) -> hyper::Result<()>
where
    I: Read + Write + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = B, Error = Infallible>,
    S::Future: 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = NotedReads { io, received: state.received() };
    match protocol {
        Protocol::Http1 => {
            let connection = http1().serve_connection(io, service).with_upgrades();
            Driven::new(connection, state).await
        }
        Protocol::Http2 => {
            let connection = http2().serve_connection(io, service);
            Driven::new(connection, state).await
        }
    }
}

/// hyper's own limit of the head's time is off: it would begin when the connection becomes idle.
fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES);
    builder
}

fn http2() -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("64 KiB fits"));
    builder
}

impl<I, S, B> Graceful for http1::UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = B, Error = Infallible>,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Graceful for http2::Connection<I, S, Local>
where
    I: Read + Write + Unpin + 'static,
    S: HttpService<Incoming, ResBody = B, Error = Infallible>,
    S::Future: 'static,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn close(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Spawns HTTP/2 streams on the worker's own thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(async move {
            future.await;
        });
    }
}

#[cfg(test)]
mod tests;
