use std::cell::{Cell, RefCell};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::TokioExecutor;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::*;
use crate::accept::state::Limits;
use crate::accept::sweep;
use crate::observe::metrics::Metrics;
use crate::shared::Shared;
use crate::worker::drain::Lifecycle;

const LIMITS: Limits = Limits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
/// How exact limits are: the time between two sweeps, and the time until the order is carried out.
const EXACT: Duration = Duration::from_millis(1100);

/// A worker without listener, whose sweep runs.
fn worker() -> (Rc<Worker>, Rc<Connections>) {
    let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
    let worker = Rc::new(Worker {
        shared: Shared::new(metrics, 1 << 20),
        pool: Rc::default(),
        rng: RefCell::new(SmallRng::seed_from_u64(1)),
        drain: Rc::default(),
    });
    let connections = Rc::<Connections>::default();
    spawn_local(sweep::run(Rc::clone(&worker), Rc::clone(&connections), LIMITS));
    (worker, connections)
}

/// A client's end of a connection over which every request is answered after `takes`, and how many were.
fn client_of(
    protocol: Protocol,
    connections: &Connections,
    takes: Duration,
) -> (DuplexStream, Rc<Cell<u32>>) {
    let (client, io) = duplex(64 * 1024);
    let state = Rc::new(ConnectionState::opened());
    state.speaks(protocol);
    connections.watch(&state);
    let answered = Rc::<Cell<u32>>::default();
    let (serving, count) = (Rc::clone(&state), Rc::clone(&answered));
    let service = service_fn(move |_: Request<Incoming>| {
        let (request, count) = (serving.serving(), Rc::clone(&count));
        async move {
            sleep(takes).await;
            drop(request);
            count.set(count.get() + 1);
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
        }
    });
    spawn_local(async move { drop(drive(TokioIo::new(io), protocol, service, state).await) });
    (client, answered)
}

/// One answer, as text.
async fn answer(client: &mut DuplexStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\nok") {
        bytes.push(client.read_u8().await.expect("an answer"));
    }
    String::from_utf8(bytes).expect("ASCII").to_lowercase()
}

/// How long it takes until the connection ends; what else comes is thrown away.
async fn end(client: &mut DuplexStream) -> Duration {
    let began = Instant::now();
    drop(client.read_to_end(&mut Vec::new()).await);
    began.elapsed()
}

fn assert_about(measured: Duration, limit: Duration) {
    assert!(limit <= measured && measured <= limit + EXACT, "{measured:?}, not {limit:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_serves_until_the_idle_limit_and_then_closes() {
    LocalSet::new()
        .run_until(async {
            let (_worker, connections) = worker();
            let (mut client, answered) = client_of(Protocol::Http1, &connections, Duration::ZERO);
            for _ in 0..3 {
                client.write_all(GET).await.expect("open");
                let answer = answer(&mut client).await;
                assert!(!answer.contains("connection: close"), "{answer}");
                sleep(LIMITS.idle - EXACT).await;
            }
            client.write_all(GET).await.expect("open");
            answer(&mut client).await;
            assert_about(end(&mut client).await, LIMITS.idle);
            assert_eq!(answered.get(), 4);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_cut_on_the_first_request_and_on_a_later_one() {
    LocalSet::new()
        .run_until(async {
            let (_worker, connections) = worker();
            for before in 0..3 {
                let (mut client, answered) =
                    client_of(Protocol::Http1, &connections, Duration::ZERO);
                for _ in 0..before {
                    client.write_all(GET).await.expect("open");
                    answer(&mut client).await;
                    sleep(Duration::from_secs(30)).await;
                }
                let began = Instant::now();
                // One byte of a head that has no end, every 100 ms.
                let head = GET.iter().chain(b"x".iter().cycle());
                for byte in head.filter(|byte| **byte != b'\n') {
                    if client.write_all(std::slice::from_ref(byte)).await.is_err() {
                        break;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
                // The first byte is noticed by the next sweep.
                let took = began.elapsed();
                assert!(took >= LIMITS.head && took <= LIMITS.head + EXACT * 2, "{took:?}");
                assert_eq!(answered.get(), before, "after {before} requests");
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_longer_than_any_limit_is_awaited() {
    LocalSet::new()
        .run_until(async {
            let (_worker, connections) = worker();
            for protocol in [Protocol::Http1, Protocol::Http2] {
                let takes = LIMITS.idle * 10;
                let (client, answered) = client_of(protocol, &connections, takes);
                match protocol {
                    Protocol::Http1 => {
                        let mut client = client;
                        client.write_all(GET).await.expect("open");
                        answer(&mut client).await;
                    }
                    Protocol::Http2 => {
                        let (mut sender, connection) = handshake(client).await;
                        let _driver = spawn_local(connection);
                        let request = Request::get("http://x/").body(Full::default());
                        let request = request.expect("a request");
                        sender.send_request(request).await.expect("an answer");
                    }
                }
                assert_eq!(answered.get(), 1);
            }
        })
        .await;
}

type Http2Client =
    hyper::client::conn::http2::Connection<TokioIo<DuplexStream>, Full<Bytes>, TokioExecutor>;

async fn handshake(
    client: DuplexStream,
) -> (hyper::client::conn::http2::SendRequest<Full<Bytes>>, Http2Client) {
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client));
    handshake.await.expect("an HTTP/2 server")
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_ends_by_goaway() {
    LocalSet::new()
        .run_until(async {
            let (_worker, connections) = worker();
            let (client, _) = client_of(Protocol::Http2, &connections, Duration::ZERO);
            let began = Instant::now();
            let (_sender, connection) = handshake(client).await;
            connection.await.expect("an end by GOAWAY is no error");
            assert_about(began.elapsed(), LIMITS.idle);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_is_in_flight_and_a_client_that_goes_on_at_once() {
    LocalSet::new()
        .run_until(async {
            let (worker, connections) = worker();
            let takes = Duration::from_secs(20);
            let (mut client, answered) = client_of(Protocol::Http1, &connections, takes);
            client.write_all(GET).await.expect("open");
            sleep(Duration::from_secs(5)).await;
            worker.drain.enter(Lifecycle::Draining);
            answer(&mut client).await;
            sleep(Duration::from_millis(900)).await;
            client.write_all(GET).await.expect("it still listens");
            answer(&mut client).await;
            assert_about(end(&mut client).await, Duration::from_secs(1));
            assert_eq!(answered.get(), 2);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn after_the_drains_deadline_an_idle_connection_closes_at_once() {
    LocalSet::new()
        .run_until(async {
            let (worker, connections) = worker();
            let (mut client, _) = client_of(Protocol::Http1, &connections, Duration::ZERO);
            client.write_all(GET).await.expect("open");
            answer(&mut client).await;
            worker.drain.enter(Lifecycle::Draining);
            worker.drain.enter(Lifecycle::Closing);
            assert_eq!(end(&mut client).await, Duration::ZERO);
        })
        .await;
}
