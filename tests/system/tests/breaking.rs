//! Answers that break off after they began: the client must see that they did.

use qoe_sim::Role;
use qoe_tests::backend::{Backend, Script};
use qoe_tests::bodies::{CHAT, chat, events, streamed, with};
use qoe_tests::client::{Answer, explained, post, try_send};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use qoe_tests::wait::until;
use serde_json::{Value, json};

#[tokio::test]
async fn a_stream_whose_endpoint_dies_ends_with_an_error_and_not_with_done() {
    let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("d", d.addr, "decode")];
    let proxy = Proxy::start(&always(), &endpoints);
    d.pause_after(5);
    let mut answer = post(proxy.address(), CHAT, &streamed(chat(40, 50))).await;
    assert_eq!(answer.status, 200);
    let mut seen = Vec::new();
    while events(&seen).len() < 6 {
        seen.extend(answer.piece().await.unwrap().unwrap());
    }
    d.kill().await;
    seen.extend(answer.bytes().await.expect("a well-formed end of the body"));
    let events = events(&seen);
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(
        (&last["error"]["phase"], &last["error"]["code"]),
        (&json!("decoding"), &json!(502))
    );
    assert_eq!((&last["error"]["route"], events.len()), (&json!("main"), 7));
    assert!(events.iter().all(|event| event != "[DONE]"));
    let record = proxy.record().await;
    assert_eq!(
        (&record["outcome"], &record["failed_phase"]),
        (&json!("failure"), &json!("decoding"))
    );
    assert_eq!((&record["failure"], &record["tokens"]), (&json!("broken"), &json!(5)));
    assert_eq!(proxy.in_flight().await, 0);
}

fn stream_of(events: &[&str]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
    let events = events.iter().map(|event| format!("data: {event}\n\n"));
    (head + &events.collect::<String>()).into_bytes()
}

const TOKEN: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
const ABORTED: &str = r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"abort"}]}"#;
const ERROR: &str =
    r#"{"error":{"message":"engine died","type":"InternalServerError","code":500}}"#;

#[tokio::test]
async fn a_stream_that_is_cut_or_tells_of_an_error_is_a_failure() {
    for (events_sent, failure, said) in [
        (&[TOKEN, TOKEN][..], "ended_early", Some("the answer is incomplete")),
        (&[TOKEN, ERROR, "[DONE]"][..], "error_event", None),
    ] {
        let server = Backend::start(Script::SayAndClose(stream_of(events_sent))).await;
        let proxy = Proxy::start(&always(), &[endpoint("d", server.addr, "decode")]);
        let answer = post(proxy.address(), CHAT, &streamed(chat(4, 50))).await;
        let body = answer.whole().await;
        let came = events(&body);
        assert_eq!(came[..events_sent.len()], *events_sent, "what was sent came");
        match said {
            Some(said) => assert!(came.last().unwrap().contains(said), "{came:?}"),
            None => assert_eq!(came.len(), events_sent.len()),
        }
        let record = proxy.record().await;
        assert_eq!((&record["outcome"], &record["failure"]), (&json!("failure"), &json!(failure)));
    }
}

#[tokio::test]
async fn an_aborted_stream_is_never_passed_on_as_a_whole_one() {
    let server = Backend::start(Script::SayAndClose(stream_of(&[TOKEN, ABORTED, "[DONE]"]))).await;
    let proxy = Proxy::start(&always(), &[endpoint("d", server.addr, "decode")]);
    let answer = post(proxy.address(), CHAT, &streamed(chat(4, 50))).await;
    let status = answer.status;
    let body = String::from_utf8_lossy(&answer.whole().await).into_owned();
    // Nothing had reached the client yet, so it gets an error it can retry on.
    assert_eq!(status, 502, "{body}");
    assert!(body.contains("aborted"), "{body}");
    let record = proxy.record().await;
    assert_eq!((&record["outcome"], &record["failure"]), (&json!("failure"), &json!("aborted")));
}

#[tokio::test]
async fn a_stream_that_is_aborted_later_on_is_a_failure_wherever_it_is_cut() {
    let whole = stream_of(&[TOKEN, TOKEN, ABORTED, "[DONE]"]);
    let first = stream_of(&[TOKEN]).len();
    let second = stream_of(&[TOKEN, TOKEN]).len();
    for cut in [first, first + 20, second, second + 20, whole.len() - 3] {
        let (one, two) = whole.split_at(cut);
        let server = Backend::start(Script::Pieces(vec![one.to_vec(), two.to_vec()])).await;
        let proxy = Proxy::start(&always(), &[endpoint("d", server.addr, "decode")]);
        server.go_on();
        let mut answer = post(proxy.address(), CHAT, &streamed(chat(4, 50))).await;
        if cut > whole.len() - 20 {
            // The abort came before anything went on: refused, as there is no other endpoint.
            assert_eq!(answer.status, 502);
            continue;
        }
        let mut seen = answer.piece().await.unwrap().unwrap().to_vec();
        server.go_on();
        seen.extend(answer.whole().await);
        let came = events(&seen);
        assert!(came.last().unwrap().contains("aborted the request"), "{cut}: {came:?}");
        assert!(came.iter().all(|event| event != "[DONE]"), "{cut}: {came:?}");
        let record = proxy.record().await;
        assert_eq!(
            (&record["outcome"], &record["failure"]),
            (&json!("failure"), &json!("aborted"))
        );
    }
}

/// The client sees a connection that breaks, before the head or after it, or an error status: no whole 200.
async fn is_cut_or_refused(answer: Result<Answer, hyper::Error>) {
    let Ok(answer) = answer else { return };
    let status = answer.status;
    let cut = answer.bytes().await.is_err();
    assert!(cut || status.is_server_error(), "{status} that looks whole");
}

#[tokio::test]
async fn an_answer_in_one_piece_that_breaks_is_no_short_answer() {
    let half =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{\"cho";
    let chunked = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"cho\r\n";
    for half in [&half[..], &chunked[..]] {
        let server = Backend::start(Script::SayAndClose(half.to_vec())).await;
        let proxy = Proxy::start(&always(), &[endpoint("d", server.addr, "decode")]);
        is_cut_or_refused(try_send(proxy.address(), explained(CHAT, &chat(4, 50))).await).await;
        assert_eq!(proxy.record().await["outcome"], "failure");
        assert_eq!(proxy.in_flight().await, 0);
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_broken_off() {
    let server = simulator(Role::None).await;
    let spec = with(always(), "timeouts", json!({"idleSeconds": 1}));
    let proxy = Proxy::start(&spec, &[endpoint("d", server.addr, "decode")]);
    server.pause_after(2);
    let answer = post(proxy.address(), CHAT, &streamed(chat(4, 50))).await;
    let body = answer.whole().await;
    let events = events(&body);
    assert!(events.last().unwrap().contains("nothing for too long"), "{events:?}");
    assert_eq!(proxy.record().await["failure"], "idle");
    until("the engine was told", async || {
        server.inspect(|engine| engine.running() + engine.waiting().0) == 0
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_is_a_timeout_with_its_phase() {
    let server = Backend::start(Script::Silence).await;
    let spec = with(always(), "timeouts", json!({"firstTokenSeconds": 1, "answerSeconds": 1}));
    let proxy = Proxy::start(&spec, &[endpoint("d", server.addr, "decode")]);
    for body in [chat(4, 5), streamed(chat(4, 5))] {
        let answer = post(proxy.address(), CHAT, &body).await;
        assert_eq!(answer.status, 504);
        let error = answer.json().await["error"].take();
        assert_eq!((&error["phase"], &error["route"]), (&json!("decoding"), &json!("main")));
        assert!(error["message"].as_str().unwrap().contains("`d`"), "{error}");
    }
    until("the endpoint is let go", async || server.open() == 0).await;
}

#[tokio::test]
async fn a_unary_answer_that_falls_silent_is_broken_off() {
    let half =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{\"cho";
    let server = Backend::start(Script::Say(half.to_vec())).await;
    let spec = with(always(), "timeouts", json!({"idleSeconds": 1, "answerSeconds": 1}));
    let proxy = Proxy::start(&spec, &[endpoint("d", server.addr, "decode")]);
    is_cut_or_refused(try_send(proxy.address(), explained(CHAT, &chat(4, 50))).await).await;
    assert_eq!(proxy.record().await["outcome"], "failure");
}
