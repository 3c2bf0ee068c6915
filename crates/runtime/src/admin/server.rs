//! The admin thread: it accepts connections, and serves one request on each. It must not know any page.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::admin::pages::Pages;

/// Connections at once; with one more, the oldest is closed. Probes, one scrape and a few people need fewer than ten.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// A request's head must come within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection must end within this time of its beginning.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failed accept (no file descriptors left, say), the listener pauses for this long instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopped` resolves or its sender is dropped.
pub(super) async fn run(listener: StdListener, pages: Arc<Pages>, stopped: oneshot::Receiver<()>) {
    match TcpListener::from_std(listener) {
        Ok(listener) => tokio::select! {
            _ = stopped => {}
            () = accept(&listener, &pages) => {}
        },
        Err(error) => tracing::error!(%error, "cannot serve the admin port"),
    }
}

async fn accept(listener: &TcpListener, pages: &Arc<Pages>) {
    let mut open = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => open.serve(stream, Arc::clone(pages)),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the admin port");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The open connections, oldest first; all end when this is dropped.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    open: VecDeque<AbortHandle>,
}

impl Connections {
    fn serve(&mut self, stream: TcpStream, pages: Arc<Pages>) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.is_finished());
        if self.open.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.abort();
        }
        self.open.push_back(self.tasks.spawn(connection(stream, pages)));
    }
}

/// Serves one request, then closes.
async fn connection(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(|request: http::Request<Incoming>| {
        let answer = pages.answer(request.method(), request.uri());
        async move { Ok::<_, Infallible>(answer.into_http()) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection broke"),
        Err(_) => tracing::debug!("an admin connection was cut after its time limit"),
    }
}
