//! Clients that leave: nothing goes on for them, nowhere.

use std::net::SocketAddr;
use std::time::Duration;

use qoe_sim::{Config, Role, Server};
use qoe_tests::backend::{Backend, Script};
use qoe_tests::bodies::{CHAT, chat, streamed};
use qoe_tests::client::{explained, post, try_send};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use qoe_tests::wait::until;
use tokio::task::JoinSet;

struct Pair {
    prefill: Server,
    decoding: Server,
    proxy: Proxy,
}

async fn pair() -> Pair {
    let (prefill, decoding) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    let endpoints =
        [endpoint("p", prefill.addr, "prefill"), endpoint("d", decoding.addr, "decode")];
    let proxy = Proxy::start(&always(), &endpoints);
    Pair { prefill, decoding, proxy }
}

/// Requests in an engine, running or waiting.
fn busy(server: &Server) -> usize {
    server.inspect(|engine| engine.running() + engine.waiting().0)
}

impl Pair {
    /// Everything that was held for a request is free again, and its record says that the client left.
    async fn forgot_it(&self, phase: &str) {
        until("both engines are idle", async || busy(&self.prefill) + busy(&self.decoding) == 0)
            .await;
        until("nothing is in flight", async || self.proxy.in_flight().await == 0).await;
        let record = self.proxy.record().await;
        assert_eq!(
            (&record["outcome"], &record["failed_phase"]),
            (&"client_gone".into(), &phase.into())
        );
        assert_eq!(self.proxy.records(1).await.len(), 1, "settled once");
        assert_eq!(self.proxy.metric("qoe_failures_total", &[]).await, 0.0, "nobody's fault");
    }
}

#[tokio::test]
async fn during_prefill() {
    for body in [chat(40, 50), streamed(chat(40, 50))] {
        let pair = pair().await;
        pair.prefill.pause();
        let asking = JoinSet::from_iter([try_send(pair.proxy.address(), explained(CHAT, &body))]);
        until("prefill has it", async || busy(&pair.prefill) == 1).await;
        assert_eq!(pair.proxy.in_flight().await, 2, "both endpoints are held for it");
        drop(asking);
        pair.forgot_it("prefill").await;
        assert_eq!(pair.prefill.inspect(|engine| engine.pool().held() + engine.leases()), 0);
        assert_eq!(pair.decoding.inspect(|engine| engine.stats().prompt_tokens), 0);
    }
}

#[tokio::test]
async fn between_the_phases() {
    for body in [chat(40, 50), streamed(chat(40, 50))] {
        let pair = pair().await;
        pair.decoding.pause();
        let asking = JoinSet::from_iter([try_send(pair.proxy.address(), explained(CHAT, &body))]);
        until("decoding has it", async || busy(&pair.decoding) == 1).await;
        assert_eq!(pair.prefill.inspect(|engine| engine.leases()), 1);
        drop(asking);
        pair.forgot_it("decoding").await;
        until("the KV is let go", async || {
            pair.prefill.inspect(|engine| engine.leases() + engine.pool().held()) == 0
        })
        .await;
    }
}

#[tokio::test]
async fn between_the_phases_before_decoding_asked_for_the_kv() {
    let lease = Duration::from_millis(300);
    let config = Config { role: Role::Prefill, kv_lease: lease, ..Config::default() };
    let prefill = Server::start(config).await.unwrap();
    let deaf = Backend::start(Script::Silence).await;
    let endpoints = [endpoint("p", prefill.addr, "prefill"), endpoint("d", deaf.addr, "decode")];
    let proxy = Proxy::start(&always(), &endpoints);
    let body = chat(40, 50);
    let asking = JoinSet::from_iter([try_send(proxy.address(), explained(CHAT, &body))]);
    until("decoding was asked", async || deaf.open() == 1).await;
    drop(asking);
    until("decoding is let go", async || deaf.open() == 0).await;
    until("the lease ends by itself", async || prefill.inspect(|e| e.leases()) == 0).await;
    assert_eq!(proxy.record().await["outcome"], "client_gone");
    assert_eq!(proxy.in_flight().await, 0);
}

#[tokio::test]
async fn in_the_middle_of_a_stream() {
    let pair = pair().await;
    let mut answer = post(pair.proxy.address(), CHAT, &streamed(chat(40, 100_000))).await;
    for _ in 0..3 {
        answer.piece().await.unwrap().unwrap();
    }
    assert_eq!(pair.proxy.in_flight().await, 1, "prefill is done with");
    drop(answer);
    pair.forgot_it("decoding").await;
    let record = pair.proxy.record().await;
    assert!(record["tokens"].as_u64() >= Some(1) && record["status"] == 200, "{record}");
    assert_eq!(pair.decoding.inspect(|engine| engine.stats().ends.abort), 1);
}

/// Asks for a stream without end, and reads it for ever.
async fn listen(address: SocketAddr, words: usize) {
    let body = streamed(chat(words, 100_000));
    let Ok(mut answer) = try_send(address, explained(CHAT, &body)).await else { return };
    while let Some(Ok(_)) = answer.piece().await {}
}

#[tokio::test]
async fn a_hundred_at_any_moment() {
    let lease = Duration::from_millis(500);
    let config = Config { role: Role::Prefill, kv_lease: lease, ..Config::default() };
    let prefill = Server::start(config).await.unwrap();
    let decoding = simulator(Role::Decoding).await;
    let endpoints =
        [endpoint("p", prefill.addr, "prefill"), endpoint("d", decoding.addr, "decode")];
    let pair = Pair { proxy: Proxy::start(&always(), &endpoints), prefill, decoding };
    let address = pair.proxy.address();
    let mut clients = JoinSet::new();
    for i in 0..100 {
        // The servers run in the same runtime, so they work a moment for each turn.
        let patience = (i * 37) % 300;
        clients.spawn(async move {
            tokio::select! {
                biased;
                () = listen(address, 20 + i) => panic!("a stream without end ended"),
                () = turns(patience) => {}
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    until("both engines are idle", async || busy(&pair.prefill) + busy(&pair.decoding) == 0).await;
    until("no KV is held", async || {
        pair.prefill.inspect(|engine| engine.leases() + engine.pool().held()) == 0
            && pair.decoding.inspect(|engine| engine.pool().held()) == 0
    })
    .await;
    until("nothing is in flight", async || pair.proxy.in_flight().await == 0).await;
    let records = pair.proxy.records(1).await;
    assert!(records.iter().all(|record| record["outcome"] == "client_gone"), "{records:?}");
    assert!(records.len() > 30, "many had begun: {}", records.len());
    // A client that left at once may only now have been taken in: the two are asked one after the other.
    until("the metrics agree with the records", async || {
        let counted = pair.proxy.metric("qoe_requests_total", &["route=\"main\""]).await;
        counted == pair.proxy.records(1).await.len() as f64
    })
    .await;
}

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}
