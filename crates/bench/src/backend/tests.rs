use super::*;
use crate::client::head::Head;
use crate::client::{Client, Sink};
use crate::request;
use crate::sse::{Events, SseEvent};

#[derive(Default)]
struct Answer {
    status: u16,
    text: Vec<u8>,
    events: Vec<SseEvent>,
    splitter: Events,
}

impl Sink for Answer {
    fn head(&mut self, head: &Head<'_>) {
        self.status = head.status;
    }
    fn data(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        self.splitter.push(bytes, |event| self.events.push(event));
    }
}

async fn ask(client: &mut Client, body: &str) -> Answer {
    let mut answer = Answer::default();
    client.send(&request::post(body, &[]), &mut answer).await.unwrap();
    assert_eq!(answer.status, 200);
    answer
}

async fn stand_in() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(listener.local_addr().unwrap());
    tokio::spawn(serve(vec![listener], Mode::Unary));
    client
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_every_mode() {
    let mut client = stand_in().await;
    let unary = ask(&mut client, r#"{"messages":[]}"#).await;
    assert!((1_900..2_200).contains(&unary.text.len()), "{} bytes", unary.text.len());
    let tokens = |answer: &Answer| answer.events.iter().filter(|e| **e == SseEvent::Token).count();
    let burst = ask(&mut client, r#"{"content":"mode=burst:16 x"}"#).await;
    assert_eq!((tokens(&burst), burst.events.last()), (16, Some(&SseEvent::Done)));
    let before = time::Instant::now();
    let paced = ask(&mut client, r#"{"content":"mode=paced:20:5 x"}"#).await;
    assert_eq!((tokens(&paced), paced.events.last()), (5, Some(&SseEvent::Done)));
    assert!(before.elapsed() >= std::time::Duration::from_millis(80), "four gaps of 20 ms");
}

#[tokio::test]
async fn a_prefill_leg_gets_complete_parameters() {
    let mut client = stand_in().await;
    let body = r#"{"content":"mode=burst:16 x","kv_transfer_params":{"do_remote_decode": true}}"#;
    let prefill = String::from_utf8(ask(&mut client, body).await.text).unwrap();
    for key in
        ["remote_block_ids", "remote_engine_id", "remote_request_id", "remote_host", "remote_port"]
    {
        assert!(prefill.contains(key), "{key}");
    }
    let decoding = r#"{"content":"mode=burst:3 x","kv_transfer_params":{"do_remote_decode":false,"do_remote_prefill":true}}"#;
    assert_eq!(ask(&mut client, decoding).await.events.len(), 6);
}

#[tokio::test]
async fn long_prompts_and_chunked_requests_arrive() {
    let mut client = stand_in().await;
    let body = format!(
        r#"{{"messages":[{{"content":"{}"}}],"content":"mode=burst:2 x"}}"#,
        "x".repeat(1 << 17)
    );
    assert_eq!(ask(&mut client, &body).await.events.len(), 5);
    let chunked = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
                   14\r\n{\"p\":\"mode=burst:7\"}\r\n0\r\n\r\n";
    let mut answer = Answer::default();
    client.send(chunked.as_bytes(), &mut answer).await.unwrap();
    assert_eq!(answer.events.len(), 10);
}

#[test]
fn modes_are_named() {
    assert_eq!("paced:20:7".parse(), Ok(Mode::Paced(std::time::Duration::from_millis(20), 7)));
    assert!("burst".parse::<Mode>().is_err());
    assert_eq!(Mode::asked(br#"{"content":"mode=somebody"}"#), None);
}
