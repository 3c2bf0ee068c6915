//! One client connection, HTTP/1.1 or h2c, from its first byte to its end.

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::accept::closing::{Activity, Counted};
use crate::accept::protocol::{self, Protocol};
use crate::intake::handler::handle;
use crate::worker::Worker;

/// A request's head must come within this.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Largest head of a request; beyond, 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// A client that takes nothing of what was sent to it for so long is given up.
const UNREAD_FOR: Duration = Duration::from_secs(60);

/// HTTP/2: most streams of one connection at once.
const MAX_STREAMS: u32 = 250;

/// HTTP/2: most bytes buffered towards one slow stream.
const MAX_SEND_BUFFER: usize = 256 * 1024;

/// Serves one connection, HTTP/1.1 or h2c, in a task of its own.
pub(crate) fn connection(stream: TcpStream, worker: &Rc<Worker>, open: mpsc::Sender<Infallible>) {
    let worker = Rc::clone(worker);
    spawn_local(async move {
        if let Err(error) = serve_connection(stream, worker).await {
            tracing::debug!(error, "a client's connection broke");
        }
        drop(open);
    });
}

async fn serve_connection(
    stream: TcpStream,
    worker: Rc<Worker>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_FOR))?;
    let begun = tokio::select! {
        begun = tokio::time::timeout(HEAD_WITHIN, protocol::of(&stream)) => begun??,
        // Who has not said anything yet has nothing to lose.
        _ = worker.drain.draining() => return Ok(()),
    };
    let Some(protocol) = begun else { return Ok(()) };
    let builder = match protocol {
        Protocol::Http1 => builder().http1_only(),
        Protocol::Http2 => builder().http2_only(),
    };
    let drain = worker.drain.clone();
    let activity = Activity::default();
    let stream = Counted(TokioIo::new(stream), activity.clone());
    let service = service_fn(move |request| handle(Rc::clone(&worker), request));
    let mut connection = pin!(builder.serve_connection_with_upgrades(stream, service));
    let end = async {
        drain.draining().await;
        if protocol == Protocol::Http1 {
            activity.quiet().await;
        }
    };
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = end => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

fn builder() -> auto::Builder<Local> {
    let mut builder = auto::Builder::new(Local);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("64 KiB fits"));
    builder
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
