//! The loop of the admin thread.

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

use super::Admin;

/// Connections at once; with one more, the oldest is closed.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// For a request's head to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For a connection, from its first byte to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// After an error of the listener, such as no file descriptors left: trying on at once would only burn CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopped` resolves or its sender is dropped.
pub(super) async fn run(listener: StdListener, admin: Arc<Admin>, stopped: oneshot::Receiver<()>) {
    match TcpListener::from_std(listener) {
        Ok(listener) => tokio::select! {
            _ = stopped => {}
            () = accept(&listener, &admin) => {}
        },
        Err(error) => tracing::error!(%error, "the admin port cannot be served"),
    }
}

async fn accept(listener: &TcpListener, admin: &Arc<Admin>) {
    let mut open = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => open.serve(stream, Arc::clone(admin)),
            Err(error) => {
                tracing::warn!(%error, "the admin port accepted no connection");
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
    fn serve(&mut self, stream: TcpStream, admin: Arc<Admin>) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.is_finished());
        if self.open.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.abort();
        }
        self.open.push_back(self.tasks.spawn(connection(stream, admin)));
    }
}

/// One request, and the end.
async fn connection(stream: TcpStream, admin: Arc<Admin>) {
    let service = service_fn(|request: http::Request<Incoming>| {
        let answer = admin.answer(request.method(), request.uri());
        async move { Ok::<_, Infallible>(answer.into_http()) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
        Err(_) => tracing::debug!("an admin connection took too long"),
    }
}
