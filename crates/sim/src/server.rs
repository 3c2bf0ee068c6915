//! A running server: its sockets, its tasks, and the handle that tests use.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::app::App;
use crate::config::Config;
use crate::engine::Engine;
use crate::lock::lock;
use crate::side::SideChannel;
use crate::wire::handle;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket could not be bound.
    #[error("cannot listen on {address}: is the port in use?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// A running server. Dropping it kills the server.
#[derive(Debug)]
pub struct Server {
    /// The address that the server listens on.
    pub addr: SocketAddr,
    app: Arc<App>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    /// Starts a server in the current runtime.
    ///
    /// # Errors
    /// One of the two ports cannot be bound.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (listener, addr) = bind(config.listen).await?;
        let side = SocketAddr::new(config.listen.ip(), config.side_channel_port);
        let (side_listener, side_addr) = bind(side).await?;
        let app = Arc::new(App::new(config, side_addr.port()));
        let channel = Arc::new(SideChannel::new(app.engine_id.clone(), app.driver.clone()));
        let tasks = vec![
            tokio::spawn(app.driver.clone().run()),
            tokio::spawn(channel.serve(side_listener)),
            tokio::spawn(accept(listener, Arc::clone(&app))),
        ];
        tracing::info!(%addr, side_channel = %side_addr, engine = app.engine_id, "started");
        Ok(Self { addr, app, tasks: Mutex::new(tasks) })
    }

    /// The base URL of the server, `http://ADDRESS`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Whether a request has crashed the engine, or [`Server::kill`] was called.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.app.driver.is_dead()
    }

    /// Completes once the server is dead.
    pub async fn stopped(&self) {
        self.app.stopped().await;
    }

    /// Kills the server as SIGKILL would: all connections break, and the port is closed.
    pub async fn kill(&self) {
        // The connections end first, because a killed process cannot report the end of its engine to clients.
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            // The task was aborted, so `Cancelled` is expected.
            let _ = task.await;
        }
        // The connections end in their own tasks. Let them run before the engine dies.
        tokio::task::yield_now().await;
        self.app.die();
    }

    /// Stops the steps of the engine. HTTP continues to work.
    pub fn pause(&self) {
        self.app.driver.pause();
    }

    /// Stops the steps of the engine once `tokens` more are written, counted over all streams.
    pub fn pause_after(&self, tokens: u64) {
        self.app.driver.pause_after(tokens);
    }

    /// Resumes the steps of the engine.
    pub fn resume(&self) {
        self.app.driver.resume();
    }

    /// Makes the next `count` generating requests fail with `status`.
    pub fn fail_next(&self, count: usize, status: StatusCode) {
        self.app.faults.fail_next(count, status);
    }

    /// Delays every generating request by `delay`. Zero ends the fault.
    pub fn delay_requests(&self, delay: Duration) {
        self.app.faults.delay(delay);
    }

    /// Calls `look` with the engine.
    pub fn inspect<T>(&self, look: impl FnOnce(&Engine) -> T) -> T {
        self.app.driver.with_engine(|engine, _| look(engine))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        lock(&self.tasks).iter().for_each(JoinHandle::abort);
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Accepts connections until the engine dies. Aborting this task ends all connections.
async fn accept(listener: TcpListener, app: Arc<App>) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    while let Some(open) = &listener {
        tokio::select! {
            accepted = open.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, Arc::clone(&app)));
            },
            Some(_) = connections.join_next() => {}
            () = app.stopped() => listener = None,
        }
    }
    // Connected clients still get the error that the engine is dead, as from vLLM's API server.
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, app: Arc<App>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| handle(Arc::clone(&app), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection broke");
    }
}
