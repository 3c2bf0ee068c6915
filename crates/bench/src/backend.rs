//! The stand-in backend of the relay measurements: an "engine" with minimal cost.
//!
//! It answers in vLLM's formats and as fast as a socket allows, so that the router in front of it dominates the
//! measurement. The request selects the form of the answer (see [`Mode`]), so one process serves all loads.

mod answers;
mod mode;

use std::net::SocketAddr;
use std::thread;

use anyhow::Context;
use memchr::memmem;
pub use mode::Mode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{self, MissedTickBehavior};

/// Serves all `listeners` until the process ends.
///
/// # Errors
/// Accepting a connection failed.
pub async fn serve(listeners: Vec<TcpListener>, mode: Mode) -> anyhow::Result<()> {
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, mode));
    }
    while let Some(ended) = accepting.join_next().await {
        ended??;
    }
    Ok(())
}

async fn accept(listener: TcpListener, mode: Mode) -> anyhow::Result<()> {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.context("the stand-in cannot accept")?;
        connections.spawn(connection(stream, mode));
        while connections.try_join_next().is_some() {}
    }
}

/// Starts `count` stand-ins on free ports. Their thread lives as long as this process.
///
/// # Errors
/// A port cannot be bound, or the thread cannot be started.
pub fn start(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let sockets: Vec<_> = (0..count)
        .map(|_| {
            let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?, socket))
        })
        .collect::<std::io::Result<_>>()?;
    let addresses = sockets.iter().map(|(address, _)| *address).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("backend".into()).spawn(move || {
        runtime.block_on(async move {
            let listeners = sockets.into_iter().map(|(_, socket)| TcpListener::from_std(socket));
            match listeners.collect::<std::io::Result<_>>() {
                Ok(listeners) => serve(listeners, Mode::Unary).await,
                Err(error) => Err(error.into()),
            }
        })
    })?;
    Ok(addresses)
}

/// The parts of a request that the stand-in reads.
struct Request {
    path: String,
    /// The length of head and body together, in bytes.
    length: usize,
    body_at: usize,
}

const MAX_REQUEST: usize = 64 << 20;

async fn connection(mut stream: TcpStream, mode: Mode) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let Some(request) = parse(&buffer[..filled])? else {
            filled = read_more(&mut stream, &mut buffer, filled).await?;
            if filled == 0 {
                return Ok(());
            }
            continue;
        };
        if request.length > filled {
            buffer.resize(buffer.len().max(request.length), 0);
            stream.read_exact(&mut buffer[filled..request.length]).await?;
            filled = request.length;
        }
        let body = &buffer[request.body_at..request.length];
        answer(&mut stream, &request.path, body, mode).await?;
        buffer.copy_within(request.length..filled, 0);
        filled -= request.length;
    }
}

/// Reads more bytes into the buffer. Returns the number of bytes in it, or 0 at the end of the stream.
async fn read_more(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    filled: usize,
) -> anyhow::Result<usize> {
    if filled == buffer.len() {
        buffer.resize(filled * 2, 0);
    }
    let read = stream.read(&mut buffer[filled..]).await?;
    Ok(if read == 0 { 0 } else { filled + read })
}

fn parse(bytes: &[u8]) -> anyhow::Result<Option<Request>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else { return Ok(None) };
    let path = request.path.unwrap_or("/").to_owned();
    let header = |name: &str| request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
    if header("transfer-encoding").is_some() {
        return chunked(bytes, head, path);
    }
    let length = header("content-length").map_or(Ok(0), |header| {
        std::str::from_utf8(header.value)?.parse::<usize>().context("content-length")
    })?;
    anyhow::ensure!(length < MAX_REQUEST, "a request of {length} bytes");
    Ok(Some(Request { path, length: head + length, body_at: head }))
}

/// Reads a chunked request, as some routers send them. The mode is found in the framed body too.
fn chunked(bytes: &[u8], head: usize, path: String) -> anyhow::Result<Option<Request>> {
    let mut body = crate::client::body::Body::chunked();
    let used = body.decode(&bytes[head..], &mut |_| {})?;
    anyhow::ensure!(used < MAX_REQUEST, "a request of {used} bytes");
    Ok(body.is_done().then_some(Request { path, length: head + used, body_at: head }))
}

async fn answer(stream: &mut TcpStream, path: &str, body: &[u8], mode: Mode) -> anyhow::Result<()> {
    let path = path.split('?').next().unwrap_or(path);
    match path {
        "/v1/chat/completions" | "/v1/completions" => complete(stream, body, mode).await,
        "/v1/models" => Ok(stream.write_all(answers::MODELS.as_bytes()).await?),
        "/metrics" => Ok(stream.write_all(answers::METRICS.as_bytes()).await?),
        "/health" => Ok(stream.write_all(answers::EMPTY_OK).await?),
        _ => Ok(stream.write_all(answers::NOT_FOUND).await?),
    }
}

async fn complete(stream: &mut TcpStream, body: &[u8], default: Mode) -> anyhow::Result<()> {
    if wants_prefill(body) {
        return Ok(stream.write_all(answers::PREFILL.as_bytes()).await?);
    }
    match Mode::asked(body).unwrap_or(default) {
        Mode::Unary => stream.write_all(answers::UNARY.as_bytes()).await?,
        Mode::Burst(tokens) => stream.write_all(&answers::burst(tokens)).await?,
        Mode::Paced(every, tokens) => {
            stream.write_all(answers::STREAM_HEAD).await?;
            let mut tick = time::interval(every);
            tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for _ in 0..tokens {
                tick.tick().await;
                stream.write_all(answers::TOKEN.as_bytes()).await?;
            }
            stream.write_all(answers::DONE).await?;
        }
    }
    Ok(())
}

/// Whether this is a prefill leg: `"do_remote_decode": true` somewhere in the body.
fn wants_prefill(body: &[u8]) -> bool {
    const MEMBER: &[u8] = b"\"do_remote_decode\"";
    memmem::find_iter(body, MEMBER).any(|at| {
        let value = body[at + MEMBER.len()..].trim_ascii_start();
        value.strip_prefix(b":").is_some_and(|v| v.trim_ascii_start().starts_with(b"true"))
    })
}

#[cfg(test)]
mod tests;
