//! An endpoint of a few lines, for what a simulator does not do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::tap::{Leg, parse};

/// An address where nobody listens, and nobody will while this is there.
#[derive(Debug)]
pub struct Nowhere {
    /// The address.
    pub addr: SocketAddr,
    _bound: TcpSocket,
}

impl Nowhere {
    /// Takes an address.
    ///
    /// # Panics
    /// There is no free port.
    #[must_use]
    pub fn bound() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        Self { addr: socket.local_addr().expect("a bound socket"), _bound: socket }
    }
}

/// What it does with a request, once it has come whole.
#[derive(Clone, Debug)]
pub enum Script {
    /// Answers with these bytes, and keeps the connection.
    Say(Vec<u8>),
    /// Answers with these bytes, and closes.
    SayAndClose(Vec<u8>),
    /// Answers the first request of a connection with these bytes; takes the next, and closes.
    SayOnceAndClose(Vec<u8>),
    /// Answers with these pieces, each once [`Backend::go_on`] was called, and closes.
    Pieces(Vec<Vec<u8>>),
    /// Says nothing, and waits until the router closes.
    Silence,
    /// Answers with a stream of events that never ends, as fast as it is read.
    Endless,
    /// Changes the protocol, and sends back whatever comes.
    Echo,
}

#[derive(Debug)]
struct Seen {
    pieces: Semaphore,
    requests: Mutex<Vec<Leg>>,
    written: AtomicU64,
    open: AtomicU64,
}

/// A running backend; dropped, it is gone.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub addr: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// Starts a backend that does the same with every request.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound socket");
        let seen = Arc::new(Seen {
            pieces: Semaphore::new(0),
            requests: Mutex::default(),
            written: AtomicU64::new(0),
            open: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, script, Arc::clone(&seen)));
        Self { addr, seen, task }
    }

    /// The requests so far, without the router's looks at `/metrics` and `/v1/models`.
    #[must_use]
    pub fn requests(&self) -> Vec<Leg> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets one more of [`Script::Pieces`] go.
    pub fn go_on(&self) {
        self.seen.pieces.add_permits(1);
    }

    /// Bytes of [`Script::Endless`] that the sockets took so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.seen.written.load(Ordering::Relaxed)
    }

    /// Requests that are being answered now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.seen.open.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, script: Script, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (script, seen) = (script.clone(), Arc::clone(&seen));
        // A connection that breaks is what some tests are about.
        connections.spawn(async move { drop(serve(stream, &script, &seen).await) });
    }
}

async fn serve(mut stream: TcpStream, script: &Script, seen: &Seen) -> std::io::Result<()> {
    while let Some(request) = read(&mut stream).await? {
        if matches!(request.target(), "/metrics" | "/v1/models") {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await?;
            continue;
        }
        seen.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        seen.open.fetch_add(1, Ordering::Relaxed);
        let done = answer(&mut stream, script, seen).await;
        seen.open.fetch_sub(1, Ordering::Relaxed);
        if done? {
            return Ok(());
        }
    }
    Ok(())
}

/// Carries the script out; true where the connection ends with it.
async fn answer(stream: &mut TcpStream, script: &Script, seen: &Seen) -> std::io::Result<bool> {
    match script {
        Script::Say(bytes) => stream.write_all(bytes).await.map(|()| false),
        Script::SayOnceAndClose(bytes) => {
            stream.write_all(bytes).await?;
            let second = read(stream).await?;
            seen.requests.lock().unwrap_or_else(PoisonError::into_inner).extend(second);
            Ok(true)
        }
        Script::SayAndClose(bytes) => stream.write_all(bytes).await.map(|()| true),
        Script::Pieces(pieces) => {
            for piece in pieces {
                seen.pieces.acquire().await.expect("it is never closed").forget();
                stream.write_all(piece).await?;
            }
            Ok(true)
        }
        Script::Silence => stream.read_u8().await.map(|_| true),
        Script::Endless => endless(stream, seen).await.map(|()| true),
        Script::Echo => echo(stream).await.map(|()| true),
    }
}

async fn endless(stream: &mut TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await?;
    let event = br#"data: {"choices":[{"index":0,"delta":{"content":"lorem ipsum"}}]}"#;
    let events = [event.as_slice(), b"\n\n"].concat().repeat(64);
    loop {
        let written = stream.write(&events).await?;
        seen.written.fetch_add(written as u64, Ordering::Relaxed);
    }
}

async fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut buffer = vec![0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

/// One whole request; `None` where the router closed.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Leg>> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        if let [request] = parse(&bytes).as_slice() {
            let announced = request.header("content-length").parse().unwrap_or(0);
            if request.body.len() == announced {
                return Ok(Some(request.clone()));
            }
        }
    }
}

/// An answer in one piece.
#[must_use]
pub fn answer_of(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
