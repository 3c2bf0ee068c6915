//! A low-cost HTTP/1.1 client for load: raw bytes over one kept connection, without allocation per chunk.
//!
//! It is used in place of hyper's because the client shares a core with the stand-in backends, and its cost would hide
//! that of the router. It takes whole requests as bytes and passes answers to a [`Sink`] as they arrive.

pub mod body;
pub mod head;
pub mod pool;

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::body::{Body, Malformed};
use crate::client::head::Head;

/// Receives an answer while it arrives.
pub trait Sink {
    /// Called with the status line and the headers.
    fn head(&mut self, head: &Head<'_>);
    /// Called with the body bytes of one read, without framing.
    fn data(&mut self, bytes: &[u8]);
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Connecting, reading or writing failed.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// The server had closed the kept connection before the request. It is safe to send the request again.
    #[error("the kept connection was closed before any answer")]
    Stale,
    /// The connection ended before the answer was complete.
    #[error("the answer was cut off")]
    Cut,
    /// The answer is not valid HTTP/1.1.
    #[error("malformed answer: {0}")]
    Malformed(#[from] Malformed),
}

/// A client of one server, with at most one kept connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    /// Creates a client of the server at `address`. It connects at the first request.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends one complete request (head and body) and passes the answer to `sink`.
    ///
    /// A kept connection that the server has closed is replaced once. Dropping the future before its end closes the
    /// connection.
    ///
    /// # Errors
    /// [`ClientError`], after which the next request opens a new connection.
    pub async fn send(&mut self, request: &[u8], sink: &mut impl Sink) -> Result<(), ClientError> {
        if let Some(connection) = self.connection.take() {
            match self.exchange(connection, request, sink).await {
                Err(ClientError::Stale) => {}
                settled => return settled,
            }
        }
        let connection = Connection::open(self.address).await?;
        match self.exchange(connection, request, sink).await {
            Err(ClientError::Stale) => Err(ClientError::Cut),
            settled => settled,
        }
    }

    async fn exchange(
        &mut self,
        mut connection: Connection,
        request: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), ClientError> {
        if connection.exchange(request, sink).await? {
            self.connection = Some(connection);
        }
        Ok(())
    }
}

/// An open connection, and the bytes read from it beyond the head of the last answer.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

const BUFFER: usize = 64 * 1024;

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 4 * 1024], filled: 0 })
    }

    /// Returns whether the connection may carry another request.
    async fn exchange(
        &mut self,
        request: &[u8],
        sink: &mut impl Sink,
    ) -> Result<bool, ClientError> {
        self.stream.write_all(request).await.map_err(|_| ClientError::Stale)?;
        let (mut body, keep, head_len) = self.head(sink).await?;
        let mut from = head_len;
        loop {
            let rest = &self.buffer[from..self.filled];
            let used = body.decode(rest, &mut |bytes| sink.data(bytes))?;
            if body.is_done() {
                self.filled = 0;
                // Bytes after the answer belong to no request of ours, so the connection is not reused.
                return Ok(keep && used == rest.len());
            }
            self.filled = 0;
            from = 0;
            if !self.fill().await? {
                return if body.may_end() { Ok(false) } else { Err(ClientError::Cut) };
            }
        }
    }

    /// Reads until the head is complete. Returns the framing of the body, keep-alive, and the length of the head.
    async fn head(&mut self, sink: &mut impl Sink) -> Result<(Body, bool, usize), ClientError> {
        loop {
            if !self.fill().await? {
                return Err(if self.filled == 0 { ClientError::Stale } else { ClientError::Cut });
            }
            if let Some(parsed) = head::parse(&self.buffer[..self.filled], |head| sink.head(head))?
            {
                return Ok(parsed);
            }
        }
    }

    /// Reads more bytes into the buffer and grows it when it is full. Returns `false` at the end of the stream.
    async fn fill(&mut self) -> Result<bool, ClientError> {
        if self.filled == self.buffer.len() {
            if self.filled >= BUFFER {
                return Err(Malformed("a head of more than 64 KiB").into());
            }
            self.buffer.resize((self.filled * 4).min(BUFFER), 0);
        }
        let read = match self.stream.read(&mut self.buffer[self.filled..]).await {
            Ok(read) => read,
            Err(error) if self.filled == 0 && error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error.into()),
        };
        self.filled += read;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests;
