use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};

use super::server::MAX_CONNECTIONS;
use super::*;

fn start(readiness: &Readiness) -> AdminServer {
    let mut registry = Registry::default();
    let counter = Counter::<u64>::default();
    counter.inc_by(3);
    registry.register("qoe_requests", "Requests", counter);
    Admin::new(readiness.clone(), Arc::new(registry))
        .route("/debug/requests", |query| {
            let limit: usize = query.parsed("limit").unwrap_or(1_000);
            AdminResponse::json(&json!({ "limit": limit, "model": query.get("model") }))
        })
        .route("/text", |_| AdminResponse::text("hello"))
        .route("/teapot", |_| AdminResponse::error(StatusCode::IM_A_TEAPOT, "no coffee"))
        .serve((Ipv4Addr::LOCALHOST, 0).into())
        .unwrap()
}

fn send(server: &AdminServer, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Status line and headers, and the body; reading to the end shows that the server closes.
fn ask(server: &AdminServer, method: &str, target: &str) -> (String, String) {
    let mut stream = send(server, &format!("{method} {target} HTTP/1.1\r\nhost: admin\r\n\r\n"));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn ask_json(server: &AdminServer, target: &str) -> (String, Value) {
    let (head, body) = ask(server, "GET", target);
    assert!(head.contains("content-type: application/json"), "{head}");
    let status = head.split(' ').nth(1).unwrap().to_owned();
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn live_always_and_ready_when_nothing_is_awaited() {
    let readiness = Readiness::new();
    let config = readiness.awaiting("first configuration");
    let server = start(&readiness);
    assert_eq!(ask_json(&server, "/live"), ("200".into(), json!({"live": true})));
    let waiting = json!({"ready": false, "pending": ["first configuration"]});
    assert_eq!(ask_json(&server, "/ready"), ("503".into(), waiting));
    drop(config);
    let ready = json!({"ready": true, "pending": []});
    assert_eq!(ask_json(&server, "/ready?verbose"), ("200".into(), ready));
    readiness.shut_down();
    let draining = json!({"ready": false, "pending": ["draining"]});
    assert_eq!(ask_json(&server, "/ready"), ("503".into(), draining));
    assert_eq!(ask_json(&server, "/live").0, "200");
}

#[test]
fn metrics_are_open_metrics() {
    let (head, body) = ask(&start(&Readiness::new()), "GET", "/metrics");
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(body.contains("qoe_requests_total 3\n") && body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn pages_of_the_process_get_their_decoded_query() {
    let server = start(&Readiness::new());
    assert_eq!(
        ask_json(&server, "/debug/requests?model=a%2Fb+c&limit=5&limit=6").1,
        json!({"limit": 5, "model": "a/b c"})
    );
    let (_, answer) = ask_json(&server, "/debug/requests?limit=many&%ff=%");
    assert_eq!(answer, json!({"limit": 1000, "model": null}));
    assert_eq!(ask(&server, "GET", "/text").1, "hello");
    assert_eq!(ask_json(&server, "/teapot"), ("418".into(), json!({"error": "no coffee"})));
}

#[test]
fn the_index_lists_every_page_and_others_are_not_found() {
    let server = start(&Readiness::new());
    let pages = ["/debug/requests", "/live", "/metrics", "/ready", "/teapot", "/text"];
    assert_eq!(ask_json(&server, "/"), ("200".into(), json!({ "pages": pages })));
    let missing = json!({"error": "no such page: GET / lists all pages"});
    assert_eq!(ask_json(&server, "/debug"), ("404".into(), missing));
}

#[test]
fn only_reading_is_allowed() {
    let server = start(&Readiness::new());
    let (head, body) = ask(&server, "HEAD", "/text");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-length: 5"), "{head}");
    assert_eq!(body, "");
    for method in ["POST", "DELETE", "OPTIONS"] {
        let (head, _) = ask(&server, method, "/live");
        assert!(head.starts_with("HTTP/1.1 405") && head.contains("allow: GET, HEAD"), "{head}");
    }
}

#[test]
fn stuck_clients_give_way_to_the_next() {
    let server = start(&Readiness::new());
    let half = "GET /live HTTP/1.1\r\nhost:";
    let mut stuck: Vec<_> = (0..MAX_CONNECTIONS).map(|_| send(&server, half)).collect();
    assert_eq!(ask_json(&server, "/live").0, "200");
    let mut nothing = Vec::new();
    // Closed by a reset or by an end, as the system likes it: what counts is that no answer came.
    let _closed = stuck.remove(0).read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
    stuck[0].write_all(b" admin\r\n\r\n").unwrap();
    let mut answer = String::new();
    stuck[0].read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "the second oldest is still served: {answer}");
}

#[test]
fn nobody_listens_after_the_server_is_dropped() {
    let server = start(&Readiness::new());
    let address = server.address();
    let mut open = send(&server, "GET /live");
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    let mut nothing = Vec::new();
    let _closed = open.read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
}

#[test]
fn an_address_in_use_is_an_error_at_once() {
    let server = start(&Readiness::new());
    let second = Admin::new(Readiness::new(), Arc::new(Registry::default()));
    assert_eq!(second.serve(server.address()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
