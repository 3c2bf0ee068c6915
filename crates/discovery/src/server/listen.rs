//! Accepted connections, with or without TLS.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::tls::{Files, TlsError, TlsFolder};

/// Concurrent handshakes; beyond, new connections wait.
const HANDSHAKES: usize = 1024;
/// A handshake must be over within this.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The pause after a failed accept: the process may be out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Certificates that were read longer ago than this are read again at the next connection.
pub(super) const CERTIFICATES_FOR: Duration = Duration::from_secs(5);

/// All connections that were set up. One that fails is logged, and does not delay others.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<TlsFolder>,
) -> impl Stream<Item = io::Result<Connection>> {
    let acceptor = tls.map(|folder| Arc::new(Acceptor { folder, last: Mutex::default() }));
    let accepted = stream::unfold(listener, async |listener| {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, listener)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    });
    accepted
        .map(move |stream| establish(stream, acceptor.clone()))
        .buffer_unordered(HANDSHAKES)
        .filter_map(async |connection| {
            connection
                .inspect_err(|error| tracing::warn!(%error, "the connection of a router failed"))
                .ok()
        })
        .map(Ok)
}

async fn establish(stream: TcpStream, acceptor: Option<Arc<Acceptor>>) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = acceptor else { return Ok(Connection::Plain(stream)) };
    let peer = stream.peer_addr()?;
    let tls = acceptor.current().map_err(io::Error::other)?;
    let stream = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await?;
    let because = |error| {
        let hint = "does the router have a certificate of the same authority?";
        io::Error::other(format!("TLS with {peer}: {error}: {hint}"))
    };
    stream.map(|stream| Connection::Tls(Box::new(stream))).map_err(because)
}

/// Makes TLS acceptors from the current certificates.
struct Acceptor {
    folder: TlsFolder,
    last: Mutex<Option<Last>>,
}

struct Last {
    read_at: Instant,
    files: Files,
    acceptor: TlsAcceptor,
}

impl Acceptor {
    /// An acceptor with the current certificates or, if they cannot be used, with the last good ones.
    fn current(&self) -> Result<TlsAcceptor, TlsError> {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && now.duration_since(last.read_at) < CERTIFICATES_FOR
        {
            return Ok(last.acceptor.clone());
        }
        match (self.read(last.as_ref()), &mut *last) {
            (Ok((files, acceptor)), last) => {
                *last = Some(Last { read_at: now, files, acceptor: acceptor.clone() });
                Ok(acceptor)
            }
            (Err(error), Some(last)) => {
                tracing::error!(%error, "cannot use the current certificates; the last good ones stay in use");
                last.read_at = now;
                Ok(last.acceptor.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Reads the files, and makes an acceptor unless they are the same as the last.
    fn read(&self, last: Option<&Last>) -> Result<(Files, TlsAcceptor), TlsError> {
        let files = self.folder.read()?;
        let acceptor = match last {
            Some(last) if last.files == files => last.acceptor.clone(),
            _ => TlsAcceptor::from(Arc::new(self.folder.server(&files)?)),
        };
        Ok((files, acceptor))
    }
}

/// A connection from a router.
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
