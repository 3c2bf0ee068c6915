//! A small HTTP client for tests: one connection a request, so that dropping it is leaving.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use qoe_sim::{Config, Role, Server};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An answer that has begun; dropped, the connection closes.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    connection: JoinHandle<()>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Answer {
    /// The rest of the body; an error if the connection breaks before its end.
    pub(crate) async fn bytes(mut self) -> Result<Bytes, hyper::Error> {
        Ok((&mut self.body).collect().await?.to_bytes())
    }

    pub(crate) async fn json(self) -> Value {
        let bytes = self.bytes().await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The next piece of a stream; `None` at its end.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        let frame = self.body.frame().await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

/// Sends a request and waits for the head of its answer.
pub(crate) async fn send(
    server: &Server,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(server.addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(async move {
        let _ = connection.await;
    });
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body, connection })
}

pub(crate) fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body = Full::new(body.into());
    Request::builder().method(method).uri(path).header("host", "sim").body(body).unwrap()
}

pub(crate) async fn post(server: &Server, path: &str, body: &Value) -> Answer {
    send(server, request(Method::POST, path, body.to_string())).await.unwrap()
}

pub(crate) async fn get(server: &Server, path: &str) -> Answer {
    send(server, request(Method::GET, path, "")).await.unwrap()
}

pub(crate) async fn start(role: Role) -> Server {
    Server::start(Config { role, ..Config::default() }).await.unwrap()
}

/// A chat request of about `words` tokens.
pub(crate) fn chat(words: usize, max_tokens: u32) -> Value {
    let content = "lorem ".repeat(words);
    json!({
        "model": "tiny",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": max_tokens,
    })
}

pub(crate) fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

pub(crate) fn text(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

/// One value of the metrics page; `name` with its labels up to the value.
pub(crate) async fn metric(server: &Server, name: &str) -> f64 {
    let page = get(server, "/metrics").await.bytes().await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    let line = page.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The data of all events.
pub(crate) fn events(body: &[u8]) -> Vec<String> {
    let body = std::str::from_utf8(body).unwrap();
    body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// Lets the server's tasks run until something is so.
pub(crate) async fn until(mut reached: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if reached() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it did not come to that");
}
