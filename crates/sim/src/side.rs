//! The side channel, through which a decoding server fetches KV from a prefill server.
//!
//! Each transfer has its own TCP connection with one JSON line each way: `{"engine_id","request_id"}`, then
//! `{"tokens","chain"}` or `{"error"}`. The connection stays open while the KV moves. When it closes, for whatever
//! reason, the prefill server frees the blocks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::driver::Driver;
use crate::engine::request::RequestId;
use crate::handoff::{Remote, remote_id};
use crate::lock::lock;
use crate::text::Chain;

/// The number of prefills that stay readable after their first pull. The memory of a real server keeps the content of
/// freed blocks for a while, so a second pull succeeds there and may read stale content.
const REMEMBERED: usize = 256;

/// The time between two attempts to connect to an unreachable server.
const RETRY: Duration = Duration::from_millis(250);

/// The longest line that is accepted, in bytes.
const LONGEST_LINE: u64 = 4096;

#[derive(Debug, Deserialize, Serialize)]
struct PullRequest {
    engine_id: String,
    request_id: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum PullAnswer {
    Content { tokens: u32, chain: u64 },
    Error(String),
}

/// KV that is being transferred. Dropping it makes the prefill server free the blocks.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) content: Chain,
    pub(crate) tokens: u32,
    _connection: BufReader<TcpStream>,
}

/// Why a pull failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error("the prefill server cannot be reached")]
    Unreachable,
    #[error("the connection to the prefill server broke: {0}")]
    Broken(#[from] std::io::Error),
    #[error("the prefill server sent an invalid answer: {0}")]
    Garbled(#[from] serde_json::Error),
    #[error("the prefill server refused: {0}")]
    Refused(String),
}

/// How long to wait for a prefill server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long to retry a server that refuses or resets connections.
    pub(crate) gone: Duration,
    /// How long connecting, and then the exchange, may take. A slow server is not gone, so this is longer.
    pub(crate) slow: Duration,
}

/// Pulls the KV that `remote` names.
pub(crate) async fn pull(remote: &Remote, patience: Patience) -> Result<Pulled, PullError> {
    let connected = timeout(patience.slow, connect(remote, patience.gone)).await;
    let stream = connected.map_err(|_| PullError::Unreachable)??;
    timeout(patience.slow, ask(stream, remote)).await.map_err(|_| PullError::Unreachable)?
}

async fn connect(remote: &Remote, gone: Duration) -> Result<TcpStream, PullError> {
    let address = (remote.host.as_str(), remote.port);
    let end = Instant::now() + gone;
    loop {
        if let Ok(stream) = TcpStream::connect(address).await {
            return Ok(stream);
        }
        if Instant::now() >= end {
            return Err(PullError::Unreachable);
        }
        // The server may be restarting.
        sleep(RETRY.min(gone)).await;
    }
}

async fn ask(stream: TcpStream, remote: &Remote) -> Result<Pulled, PullError> {
    stream.set_nodelay(true)?;
    let mut connection = BufReader::new(stream);
    let request =
        PullRequest { engine_id: remote.engine_id.clone(), request_id: remote.request_id.clone() };
    send(&mut connection, &request).await?;
    match receive(&mut connection).await? {
        PullAnswer::Content { tokens, chain } => {
            Ok(Pulled { content: Chain(chain), tokens, _connection: connection })
        }
        PullAnswer::Error(why) => Err(PullError::Refused(why)),
    }
}

async fn send(to: &mut BufReader<TcpStream>, message: &impl Serialize) -> Result<(), PullError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(to.get_mut().write_all(&line).await?)
}

async fn receive<T: for<'a> Deserialize<'a>>(
    from: &mut BufReader<TcpStream>,
) -> Result<T, PullError> {
    let mut line = String::new();
    from.take(LONGEST_LINE).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

/// The side channel of a prefill server.
#[derive(Debug)]
pub(crate) struct SideChannel {
    engine_id: String,
    driver: Driver,
    read: Mutex<VecDeque<(RequestId, u32, Chain)>>,
}

impl SideChannel {
    pub(crate) fn new(engine_id: String, driver: Driver) -> Self {
        Self { engine_id, driver, read: Mutex::new(VecDeque::new()) }
    }

    /// Serves decoding servers until the future is dropped.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                let channel = Arc::clone(&self);
                connections.spawn(async move {
                    if let Err(error) = channel.serve_one(stream).await {
                        tracing::debug!(%error, "a transfer broke");
                    }
                });
            }
            while connections.try_join_next().is_some() {}
        }
    }

    async fn serve_one(&self, stream: TcpStream) -> Result<(), PullError> {
        stream.set_nodelay(true)?;
        let mut connection = BufReader::new(stream);
        let request: PullRequest = receive(&mut connection).await?;
        let (id, answer) = self.answer(&request);
        let release = Release { channel: self, id };
        send(&mut connection, &answer).await?;
        // The client sends nothing more. This waits until it closes the connection, which ends the transfer.
        connection.fill_buf().await?;
        drop(release);
        Ok(())
    }

    fn answer(&self, request: &PullRequest) -> (Option<RequestId>, PullAnswer) {
        if request.engine_id != self.engine_id {
            return (None, PullAnswer::Error("engine_id is of another engine".to_owned()));
        }
        let Some(id) = remote_id(&request.request_id) else {
            return (None, PullAnswer::Error("no such request".to_owned()));
        };
        let held = self.driver.with_engine(|engine, now| {
            engine.pull(id, now).map(|lease| (lease.prompt.tokens, lease.prompt.chain))
        });
        match held.or_else(|| self.remembered(id)) {
            Some((tokens, chain)) => {
                self.remember(id, tokens, chain);
                (Some(id), PullAnswer::Content { tokens, chain: chain.0 })
            }
            None => (None, PullAnswer::Error("no such request, or its lease has ended".to_owned())),
        }
    }

    fn remembered(&self, id: RequestId) -> Option<(u32, Chain)> {
        let read = lock(&self.read);
        read.iter().find(|entry| entry.0 == id).map(|entry| (entry.1, entry.2))
    }

    fn remember(&self, id: RequestId, tokens: u32, chain: Chain) {
        let mut read = lock(&self.read);
        if read.iter().all(|entry| entry.0 != id) {
            read.truncate(REMEMBERED - 1);
            read.push_front((id, tokens, chain));
        }
    }
}

/// Ends a lease when it is dropped, after the end of the transfer or after an error.
struct Release<'a> {
    channel: &'a SideChannel,
    id: Option<RequestId>,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.channel.driver.release(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { gone: Duration::from_millis(30), slow: Duration::from_secs(5) };

    async fn listener() -> (TcpListener, Remote) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let remote = Remote {
            engine_id: "p".into(),
            request_id: "r".into(),
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            cached: 0,
        };
        (listener, remote)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_answers_slowly_is_not_gone() {
        let (listener, remote) = listener().await;
        let server = async {
            let mut connection = BufReader::new(listener.accept().await.unwrap().0);
            let _: PullRequest = receive(&mut connection).await.unwrap();
            sleep(PATIENCE.gone * 10).await;
            send(&mut connection, &PullAnswer::Content { tokens: 7, chain: 1 }).await.unwrap();
        };
        let (pulled, ()) = tokio::join!(pull(&remote, PATIENCE), server);
        assert_eq!(pulled.unwrap().tokens, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_is_gone_soon() {
        let (listener, remote) = listener().await;
        drop(listener);
        let start = Instant::now();
        let error = pull(&remote, PATIENCE).await.unwrap_err();
        assert!(matches!(error, PullError::Unreachable), "{error}");
        assert!(start.elapsed() < PATIENCE.slow / 10, "{:?}", start.elapsed());
    }
}
