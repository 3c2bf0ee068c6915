//! The wire against captures of real vLLM 0.32: the same members at every level.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use qoe_sim::{Config, Role, Server};
use serde_json::{Map, Value, json};

use crate::common::{chat, events, get, post, request, send, start, text, with};

/// One captured exchange.
struct Capture {
    method: Method,
    path: String,
    body: String,
    status: u16,
    content_type: String,
    answer: String,
}

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vllm-0.32").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn capture(name: &str) -> Capture {
    let whole = data(&format!("{name}.txt"));
    let mut lines = whole.splitn(4, '\n');
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let body = lines.next().unwrap().to_owned();
    let (status, content_type) = lines.next().unwrap().split_once(' ').unwrap();
    Capture {
        method: method.parse().unwrap(),
        path: path.to_owned(),
        body,
        status: status.parse().unwrap(),
        content_type: content_type.to_owned(),
        answer: lines.next().unwrap().trim().to_owned(),
    }
}

/// Says where `ours` has another shape than `theirs`. A null fits everything: a member that is
/// null in one exchange has a value in another. vLLM has `prompt_tokens_details` only if a flag enables it.
fn difference(ours: &Value, theirs: &Value, path: &str) -> Option<String> {
    match (ours, theirs) {
        (Value::Null, _) | (_, Value::Null) => None,
        // A completion's log probabilities have tokens as names: content, not shape.
        (Value::Object(a), Value::Object(b)) if path.ends_with(".top_logprobs[]") => {
            let numbers = |map: &Map<String, Value>| map.values().all(Value::is_number);
            (numbers(a) != numbers(b)).then(|| format!("{path}: other values"))
        }
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            names.into_iter().find_map(|name| match (a.get(name), b.get(name)) {
                (Some(ours), Some(theirs)) => difference(ours, theirs, &format!("{path}.{name}")),
                (Some(_), None) if name == "prompt_tokens_details" => None,
                (Some(_), None) => Some(format!("{path}.{name}: vLLM does not have it")),
                _ => Some(format!("{path}.{name}: missing")),
            })
        }
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (Some(ours), Some(theirs)) => difference(ours, theirs, &format!("{path}[]")),
            (None, None) => None,
            _ => Some(format!("{path}: one is empty")),
        },
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => None,
        _ => Some(format!("{path}: {ours} is not like {theirs}")),
    }
}

/// A server like the one that was captured.
async fn captured_server() -> Server {
    Server::start(Config { max_model_len: 2048, ..Config::default() }).await.unwrap()
}

/// Plays a captured request; the status and the content type must be the captured ones.
async fn play(server: &Server, capture: &Capture) -> Vec<u8> {
    let request = request(capture.method.clone(), &capture.path, capture.body.clone());
    let answer = send(server, request).await.unwrap();
    assert_eq!(answer.status.as_u16(), capture.status, "{}", capture.path);
    let content_type = answer.headers.get("content-type").map_or("-", |v| v.to_str().unwrap());
    assert_eq!(content_type, capture.content_type, "{}", capture.path);
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn answers_have_the_captured_shape() {
    let server = captured_server().await;
    let names = [
        "chat",
        "chat-tokenids",
        "completion",
        "completion-tokenids",
        "err-ctype",
        "tokenize",
        "tokenize-chat",
        "detokenize",
        "get-v1-models",
        "get-version",
        "get-load",
    ];
    for name in names {
        let capture = capture(name);
        let ours: Value = serde_json::from_slice(&play(&server, &capture).await).unwrap();
        let theirs: Value = serde_json::from_str(&capture.answer).unwrap();
        assert_eq!(difference(&ours, &theirs, ""), None, "{name}");
    }
}

#[tokio::test]
async fn errors_are_worded_as_captured() {
    let server = captured_server().await;
    let names = [
        "err-404",
        "err-405",
        "err-badjson",
        "err-maxtokens",
        "err-maxtokens0",
        "err-missing-messages",
        "err-nomodel",
        "err-temp",
        "err-type",
    ];
    for name in names {
        let capture = capture(name);
        let ours: Value = serde_json::from_slice(&play(&server, &capture).await).unwrap();
        let theirs: Value = serde_json::from_str(&capture.answer).unwrap();
        assert_eq!(ours, theirs, "{name}");
    }
}

#[tokio::test]
async fn probes_are_empty() {
    let server = captured_server().await;
    for name in ["get-health", "get-ping", "post-ping"] {
        assert_eq!(play(&server, &capture(name)).await, b"", "{name}");
    }
}

#[tokio::test]
async fn streams_are_made_of_captured_events() {
    let server = captured_server().await;
    for name in ["chat-stream", "chat-stream-usage", "chat-stream-usage-cont", "completion-stream"]
    {
        let capture = capture(name);
        let ours = events(&play(&server, &capture).await);
        let theirs = events(capture.answer.as_bytes());
        assert_eq!(ours.last().map(String::as_str), Some("[DONE]"), "{name}");
        let parse = |events: &[String]| -> Vec<Value> {
            let whole = events.iter().filter(|event| *event != "[DONE]");
            whole.map(|event| serde_json::from_str(event).unwrap()).collect()
        };
        let (ours, theirs) = (parse(&ours), parse(&theirs));
        assert_eq!(difference(&ours[0], &theirs[0], ""), None, "{name}: first event");
        let (our_last, their_last) = (ours.last().unwrap(), theirs.last().unwrap());
        assert_eq!(difference(our_last, their_last, ""), None, "{name}: last event");
        for event in &ours {
            let known = theirs.iter().any(|like| difference(event, like, "").is_none());
            assert!(known, "{name}: vLLM sends no event like {event}");
        }
        let asked: Value = serde_json::from_str(&capture.body).unwrap();
        let content = ours.iter().filter(|event| !written(event).is_empty()).count();
        assert_eq!(
            content as u64,
            asked["max_tokens"].as_u64().unwrap(),
            "{name}: a token an event"
        );
    }
}

/// The text of one event.
fn written(event: &Value) -> &str {
    let choice = &event["choices"][0];
    choice["text"].as_str().or(choice["delta"]["content"].as_str()).unwrap_or("")
}

#[tokio::test]
async fn a_stream_says_what_the_whole_answer_says() {
    let server = start(Role::None).await;
    let whole = post(&server, "/v1/chat/completions", &chat(20, 12)).await.json().await;
    let body = with(chat(20, 12), "stream", json!(true));
    let stream = post(&server, "/v1/chat/completions", &body).await.bytes().await.unwrap();
    let streamed: String = events(&stream)
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .map(|event| written(&event).to_owned())
        .collect();
    assert_eq!(streamed, text(&whole));
}

#[tokio::test]
async fn handoff_answers_have_the_captured_shape() {
    let (prefill, decoding) = (start(Role::Prefill).await, start(Role::Decoding).await);
    let body = with(chat(40, 1), "kv_transfer_params", json!({"do_remote_decode": true}));
    let ours = post(&prefill, "/v1/chat/completions", &body).await.json().await;
    let theirs: Value = serde_json::from_str(&data("nixl-prefill.json")).unwrap();
    assert_eq!(difference(&ours, &theirs, ""), None);
    let body = with(chat(40, 12), "kv_transfer_params", ours["kv_transfer_params"].clone());
    let ours = post(&decoding, "/v1/chat/completions", &body).await.json().await;
    let theirs: Value = serde_json::from_str(&data("nixl-decoding.json")).unwrap();
    assert_eq!(difference(&ours, &theirs, ""), None);
}

/// `name kind {labels}` of every family on a metrics page.
fn families(page: &str) -> Vec<(String, String, BTreeSet<String>)> {
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    kinds
        .filter(|line| !line.contains("_created "))
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let sample = page.lines().find(|line| line.starts_with(name)).unwrap();
            let labels = sample.split_once('{').unwrap().1.split_once('}').unwrap().0;
            let names = labels.split("\",").map(|pair| pair.split('=').next().unwrap().to_owned());
            (name.to_owned(), kind.to_owned(), names.collect())
        })
        .collect()
}

#[tokio::test]
async fn metrics_have_the_captured_names_kinds_and_labels() {
    let server = start(Role::Decoding).await;
    post(&server, "/v1/chat/completions", &chat(40, 12)).await.json().await;
    let page = get(&server, "/metrics").await.bytes().await.unwrap();
    let known = data("metric-families.txt");
    let families = families(std::str::from_utf8(&page).unwrap());
    assert!(families.len() > 25, "{}", families.len());
    for (name, kind, labels) in families {
        let like = known
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("vLLM has no metric {name}"));
        let mut parts = like.split(' ');
        assert_eq!(parts.nth(1), Some(kind.as_str()), "{name}");
        let theirs = parts.next().unwrap().trim_matches(['{', '}']);
        let theirs: BTreeSet<String> = theirs.split(',').map(str::to_owned).collect();
        // vLLM's cache_config_info shows every setting; the ones that routers read are enough.
        let fits =
            if name.ends_with("_info") { labels.is_subset(&theirs) } else { labels == theirs };
        assert!(fits, "{name}: {labels:?} is not {theirs:?}");
    }
}
