//! A wire in the middle of a connection, which can be cut, held in either direction, or lead elsewhere.

use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The pieces of a client's part of a handshake: its hello, and after the server's answer, the rest.
const HANDSHAKE: usize = 2;

#[derive(Clone, Copy, Debug)]
struct State {
    to: SocketAddr,
    requests_pass: bool,
    answers_pass: bool,
    refuses: bool,
    cuts: u32,
    freezes: u32,
}

/// A running wire; dropped, it and its connections are gone.
#[derive(Debug)]
pub struct Wire {
    /// Where to connect in the server's stead.
    pub address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// Starts a wire to `server`.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let state = State {
            to: server,
            requests_pass: true,
            answers_pass: true,
            refuses: false,
            cuts: 0,
            freezes: 0,
        };
        let (state, seen) = watch::channel(state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connection(client, seen.clone()));
            }
        });
        Self { address, state, task }
    }

    /// Cuts all connections; new ones are made.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts all connections, and makes no new ones.
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.refuses = true;
            state.cuts += 1;
        });
    }

    /// Holds everything that is said, in both directions, as a network does that loses all packets.
    pub fn hold(&self) {
        self.state.send_modify(|state| (state.requests_pass, state.answers_pass) = (false, false));
    }

    /// Holds everything on the connections there are, without an end; new ones work.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.freezes += 1);
    }

    /// Holds what the server says; what it is asked still arrives, by new connections too: their handshake passes.
    pub fn hold_answers(&self) {
        self.state.send_modify(|state| state.answers_pass = false);
    }

    /// Lets everything pass again, what was held first.
    pub fn pass(&self) {
        self.state.send_modify(|state| {
            (state.requests_pass, state.answers_pass) = (true, true);
            state.refuses = false;
        });
    }

    /// Cuts all connections; new ones lead to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.state.send_modify(|state| {
            state.to = server;
            state.cuts += 1;
        });
    }
}

async fn connection(client: TcpStream, state: watch::Receiver<State>) {
    let State { to, refuses, cuts, freezes, .. } = *state.borrow();
    if refuses {
        return;
    }
    let mut cut = state.clone();
    let Ok(server) = TcpStream::connect(to).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (asked, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let both = async {
        let requests_pass = |state: &State| state.requests_pass && state.freezes == freezes;
        let answers_pass = |state: &State| {
            let shakes_hands = asked.load(Relaxed) < HANDSHAKE;
            (state.answers_pass || shakes_hands) && state.freezes == freezes
        };
        tokio::join!(
            carry(from_client, to_server, state.clone(), &asked, requests_pass),
            carry(from_server, to_client, state.clone(), &answered, answers_pass),
        )
    };
    tokio::select! {
        _ = both => {}
        _ = cut.wait_for(|state| state.cuts != cuts) => {}
    }
}

/// Carries bytes to the end, while they may pass; `pieces` counts them. A connection that breaks is what some tests are
/// about.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    pieces: &AtomicUsize,
    passes: impl Fn(&State) -> bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        pieces.fetch_add(1, Relaxed);
        if state.wait_for(&passes).await.is_err() {
            return;
        }
        if read == 0 {
            drop(to.shutdown().await);
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
