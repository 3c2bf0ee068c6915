//! A running server: its sockets, its tasks, and the handle that tests hold.

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
    #[error("cannot listen on {address}; is the port taken?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// A running server. Dropped, it is gone as if killed.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    app: Arc<App>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    /// Starts a server in the current runtime.
    ///
    /// # Errors
    /// When one of its two ports cannot be bound.
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

    /// `http://ADDRESS`
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

    /// Kills it as SIGKILL would: all connections break, nobody listens any more.
    pub async fn kill(&self) {
        // Connections first: the end of the engine must not be told to anybody.
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            // Cancelled is what was asked for.
            let _ = task.await;
        }
        // Connections end in their own tasks: let them see it.
        tokio::task::yield_now().await;
        self.app.die();
    }

    /// Stops the engine as SIGSTOP would stop its steps; HTTP goes on.
    pub fn pause(&self) {
        self.app.driver.pause();
    }

    /// Stops the engine once `tokens` more have been written, counted over all streams.
    pub fn pause_after(&self, tokens: u64) {
        self.app.driver.pause_after(tokens);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.app.driver.resume();
    }

    /// Answers the next `count` generating requests with `status`.
    pub fn fail_next(&self, count: usize, status: StatusCode) {
        self.app.faults.fail_next(count, status);
    }

    /// Holds every generating request back that long. Zero ends it.
    pub fn delay_requests(&self, delay: Duration) {
        self.app.faults.delay(delay);
    }

    /// Looks at the engine between two steps.
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

/// Accepts until the engine dies; connections end with this task.
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
    // Those who are connected are still told that the engine is dead.
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
