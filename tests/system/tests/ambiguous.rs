//! Answers whose framing can be read in two ways.

use qoe_tests::backend::{Backend, Script};
use qoe_tests::bodies::{CHAT, chat};
use qoe_tests::client::{explained, try_send};
use qoe_tests::proxy::{Proxy, always, endpoint};

const BODY: &str = r#"{"choices":[]}"#;

#[tokio::test]
async fn ambiguous_answers_are_refused_or_read_as_chunks() {
    for lines in [
        "content-length: 14\r\ncontent-length: 15",
        "content-length: +14",
        "content-length: 14, 15",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, identity\r\ncontent-length: 5",
        "content-length: 14\r\n x: y",
    ] {
        let chunks = format!("e\r\n{BODY}\r\n0\r\n\r\n");
        let body = if lines.contains("chunked") { &chunks } else { BODY };
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{body}");
        let backend = Backend::start(Script::SayAndClose(answer.into_bytes())).await;
        let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
        let Ok(answer) = try_send(proxy.address(), explained(CHAT, &chat(4, 2))).await else {
            continue;
        };
        let status = answer.status;
        let both = answer.headers.contains_key("content-length")
            && answer.headers.contains_key("transfer-encoding");
        assert!(!both, "{lines}");
        if let Ok(body) = answer.bytes().await
            && status == 200
        {
            assert!(body == BODY || body == chunks, "{lines}: {body:?}");
        }
    }
}
