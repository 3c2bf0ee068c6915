//! Answers that endpoints frame oddly: none becomes the answer to another request, or tells of another connection.

use qoe_tests::backend::{Backend, Script, answer_of};
use qoe_tests::bodies::{CHAT, chat};
use qoe_tests::client::{explained, post, raw, try_send};
use qoe_tests::proxy::{Proxy, always, endpoint};

const BODY: &str = r#"{"choices":[]}"#;

async fn before(backend: &Backend) -> Proxy {
    Proxy::with_one_worker(&always(), &[endpoint("e", backend.addr, "both")])
}

#[tokio::test]
async fn what_follows_an_answer_is_not_the_answer_to_the_next_request() {
    let evil = String::from_utf8(answer_of("200 OK", r#"{"evil":1}"#)).unwrap();
    let good = String::from_utf8(answer_of("200 OK", BODY)).unwrap();
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ne\r\n{BODY}\r\n0\r\n\r\n{evil}"
    );
    let nothing = format!("HTTP/1.1 204 No Content\r\n\r\n{evil}");
    for answer in [good + &evil, chunked, nothing] {
        let backend = Backend::start(Script::Say(answer.into_bytes())).await;
        let proxy = before(&backend).await;
        for _ in 0..4 {
            let answer = try_send(proxy.address(), explained(CHAT, &chat(4, 2))).await;
            let Ok(answer) = answer else { continue };
            let body = answer.bytes().await.unwrap_or_default();
            assert!(!body.windows(4).any(|window| window == b"evil"), "{body:?}");
        }
    }
}

#[tokio::test]
async fn headers_of_the_endpoints_connection_stay_there() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-private\r\nkeep-alive: timeout=5\r\nx-private: 1\r\nx-public: 1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let backend = Backend::start(Script::Say(answer.into_bytes())).await;
    let proxy = before(&backend).await;
    let answer = post(proxy.address(), CHAT, &chat(4, 2)).await;
    assert_eq!((answer.header("x-public"), answer.header("x-private")), ("1", ""));
    assert_eq!((answer.header("keep-alive"), answer.header("connection")), ("", ""));
    assert_eq!(answer.header("content-length"), BODY.len().to_string());
    assert_eq!(answer.whole().await, BODY);
}

#[tokio::test]
async fn a_head_beyond_all_measure_and_no_http_at_all_are_502() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(300 * 1024));
    for answer in [large.as_str(), "220 smtp ready\r\n", "\0\0\0\0\0\0\0\0\r\n\r\n"] {
        let backend = Backend::start(Script::SayAndClose(answer.as_bytes().to_vec())).await;
        let proxy = before(&backend).await;
        let answer = post(proxy.address(), CHAT, &chat(4, 2)).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json().await["error"]["phase"], "decoding");
    }
}

#[tokio::test]
async fn an_old_client_gets_an_answer_without_chunks() {
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ne\r\n{BODY}\r\n0\r\n\r\n");
    let backend = Backend::start(Script::Say(chunked.into_bytes())).await;
    let proxy = before(&backend).await;
    let body = chat(4, 2).to_string();
    let request =
        format!("POST {CHAT} HTTP/1.0\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = raw(proxy.address(), request.as_bytes()).await;
    assert!(answer.ends_with(&format!("\r\n\r\n{BODY}")), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer}");
}
