//! A tap on the wire before an endpoint: all bytes pass, and what the router sent is kept.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes of each connection, in the order they were opened.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// A running tap; dropped, it and its connections are gone.
#[derive(Debug)]
pub struct Tap {
    /// Where to connect in the endpoint's stead.
    pub addr: SocketAddr,
    heard: Heard,
    cut: watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tap {
    /// Starts a tap before `endpoint`.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn before(endpoint: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket");
        let heard = Heard::default();
        let (cut, cuts) = watch::channel(0);
        let task = tokio::spawn(listen(listener, endpoint, Arc::clone(&heard), cuts));
        Self { addr, heard, cut, task }
    }

    /// Closes all connections; new ones are taken.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// How many connections brought a request whose target is `path`.
    #[must_use]
    pub fn connections_with(&self, path: &str) -> usize {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let brought = |bytes: &&Vec<u8>| parse(bytes).iter().any(|leg| leg.target() == path);
        heard.iter().filter(brought).count()
    }

    /// Heads and bodies of the requests so far whose target is `path`.
    #[must_use]
    pub fn requests(&self, path: &str) -> Vec<Leg> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let all = heard.iter().flat_map(|bytes| parse(bytes));
        all.filter(|request| request.target() == path).collect()
    }
}

async fn listen(
    listener: TcpListener,
    endpoint: SocketAddr,
    heard: Heard,
    cuts: watch::Receiver<u32>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (heard, mut cuts) = (Arc::clone(&heard), cuts.clone());
        cuts.mark_unchanged();
        connections.spawn(async move {
            let Ok(server) = TcpStream::connect(endpoint).await else { return };
            let (from, mut to_client) = client.into_split();
            let (mut from_server, to) = server.into_split();
            tokio::select! {
                () = listen_in(from, to, heard) => {}
                _ = cuts.changed() => {}
                _ = copy(&mut from_server, &mut to_client) => {}
            }
        });
    }
}

async fn listen_in(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, heard: Heard) {
    let lock = || heard.lock().unwrap_or_else(PoisonError::into_inner);
    let at = {
        let mut heard = lock();
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        lock()[at].extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// One request as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Request line and headers.
    pub head: String,
    /// As many bytes as `Content-Length` said.
    pub body: Vec<u8>,
}

impl Leg {
    /// The request's target.
    #[must_use]
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a header, whose name is in lower case on the wire; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = |line: &'_ str| line.split_once(':').is_some_and(|(n, _)| n == name);
        let line = self.head.lines().find(|line| value(line));
        line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("legs are JSON")
    }
}

/// The requests in `bytes`, by the plainest reading: a head up to an empty line, and a body of `content-length`.
#[must_use]
pub fn parse(mut bytes: &[u8]) -> Vec<Leg> {
    let mut requests = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut request = Leg { head, body: Vec::new() };
        let length = request.header("content-length").parse().unwrap_or(0);
        let rest = &bytes[end + 4..];
        let length = rest.len().min(length);
        request.body = rest[..length].to_vec();
        bytes = &rest[length..];
        requests.push(request);
    }
    requests
}
