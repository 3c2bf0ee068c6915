//! What is served beside generation, and what is not.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use http::Method;
use qoe_sim::{Config, Role, Server};
use qoe_tests::backend::{Backend, Script, answer_of};
use qoe_tests::bodies::{CHAT, chat, with};
use qoe_tests::client::{ask, get, post, send, with_header};
use qoe_tests::proxy::{Proxy, always, endpoint, file, route, simulator};
use qoe_tests::wait::until;
use serde_json::{Value, json};

/// Names of `/v1/models`, sorted.
async fn model_names(proxy: &Proxy) -> Vec<String> {
    let list = get(proxy.address(), "/v1/models").await.json().await;
    let id = |model: &Value| model["id"].as_str().unwrap_or_default().to_owned();
    let mut names: Vec<_> = list["data"].as_array().unwrap().iter().map(id).collect();
    names.sort();
    names
}

/// An endpoint that is asked which models it serves.
fn asked(name: &str, server: &Server) -> Value {
    let mut endpoint = endpoint(name, server.addr, "both");
    endpoint.as_object_mut().unwrap().remove("models");
    endpoint
}

#[tokio::test]
async fn models_are_merged_and_an_adapter_is_asked_where_it_is_loaded() {
    let plain = simulator(Role::Both).await;
    let config = Config { loras: vec!["sql".into()], ..Config::default() };
    let adapted = Server::start(config).await.unwrap();
    let endpoints = [asked("plain", &plain), asked("adapted", &adapted)];
    let proxy = Proxy::start(&always(), &endpoints);
    until("both were asked", async || model_names(&proxy).await == ["sql", "tiny"]).await;
    for _ in 0..4 {
        let answer = post(proxy.address(), CHAT, &with(chat(4, 3), "model", "sql")).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-qoe-decoding")), (200, "adapted"));
    }
    let card = get(proxy.address(), "/v1/models/sql").await.json().await;
    assert_eq!((&card["id"], &card["parent"]), (&json!("sql"), &json!("tiny")));
    let card = get(proxy.address(), "/v1/models/tiny").await.json().await;
    assert_eq!(card["max_model_len"], 131_072, "the endpoint's own words");
    let unknown = get(proxy.address(), "/v1/models/none").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json().await["error"]["param"], "model");
}

#[tokio::test]
async fn an_unknown_model_names_the_known_ones() {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    let answer = post(proxy.address(), CHAT, &with(chat(4, 3), "model", "huge")).await;
    assert_eq!(answer.status, 404);
    let error = answer.json().await["error"].take();
    assert_eq!(error["type"], "NotFoundError");
    assert_eq!(error["message"], "the model `huge` does not exist; available models: tiny");
}

#[tokio::test]
async fn small_apis_reach_one_endpoint_as_they_are() {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    let cases = [
        ("/v1/embeddings", json!({"model": "tiny", "input": ["a b", "c"]}), "data"),
        ("/tokenize", json!({"model": "tiny", "prompt": "a b c"}), "tokens"),
        ("/detokenize", json!({"model": "tiny", "tokens": [400, 500]}), "prompt"),
    ];
    for (path, body, member) in cases {
        let answer = post(proxy.address(), path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-qoe-reason")), (200, "other_api"));
        let direct = post(server.addr, path, &body).await.json().await;
        assert_eq!(answer.json().await[member], direct[member], "{path}");
    }
}

#[tokio::test]
async fn a_stored_response_is_found_where_it_was_made() {
    let servers = [simulator(Role::Both).await, simulator(Role::Both).await];
    let endpoints =
        [endpoint("a", servers[0].addr, "both"), endpoint("b", servers[1].addr, "both")];
    let proxy = Proxy::start(&always(), &endpoints);
    let body = json!({"model": "tiny", "input": "hello there", "max_output_tokens": 4});
    for _ in 0..4 {
        let answer = post(proxy.address(), "/v1/responses", &body).await;
        let maker = answer.header("x-qoe-decoding").to_owned();
        let id = answer.json().await["id"].as_str().unwrap().to_owned();
        let found = get(proxy.address(), &format!("/v1/responses/{id}")).await;
        assert_eq!(found.status, 200);
        assert_eq!(found.json().await["id"], id);
        let next = with(body.clone(), "previous_response_id", id);
        let answer = post(proxy.address(), "/v1/responses", &next).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-qoe-decoding")), (200, &*maker));
        assert_eq!(answer.header("x-qoe-reason"), "stored_response");
    }
}

#[tokio::test]
async fn a_response_that_another_router_passed_on_is_asked_for_everywhere() {
    let servers = [simulator(Role::Both).await, simulator(Role::Both).await];
    let endpoints =
        [endpoint("a", servers[0].addr, "both"), endpoint("b", servers[1].addr, "both")];
    let proxy = Proxy::start(&always(), &endpoints);
    let body = json!({"model": "tiny", "input": "hello there", "max_output_tokens": 4});
    let made = post(servers[1].addr, "/v1/responses", &body).await.json().await;
    let id = made["id"].as_str().unwrap();
    let found = get(proxy.address(), &format!("/v1/responses/{id}")).await;
    assert_eq!(found.json().await["output"], made["output"]);
    let next = with(body.clone(), "previous_response_id", id);
    assert_eq!(post(proxy.address(), "/v1/responses", &next).await.status, 200);
    assert_eq!(get(proxy.address(), "/v1/responses/resp_none").await.status, 404);
    let next = with(body, "previous_response_id", "resp_none");
    assert_eq!(post(proxy.address(), "/v1/responses", &next).await.status, 404);
}

const ADMINISTRATIVE: [&str; 7] = [
    "/sleep?level=2",
    "/wake_up",
    "/pause",
    "/reset_prefix_cache",
    "/v1/load_lora_adapter",
    "/v1/chat/completions/../../../pause",
    "/metrics",
];

#[tokio::test]
async fn administrative_paths_are_not_there() {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    for path in ADMINISTRATIVE {
        for method in [Method::POST, Method::GET] {
            let answer = send(proxy.address(), ask(method, path, "")).await;
            assert_eq!(answer.status, 404, "{path}");
        }
    }
    let paused = get(server.addr, "/is_paused").await.json().await;
    assert_eq!(paused["is_paused"], false);
    assert_eq!(model_names(&proxy).await, ["tiny"]);
}

#[tokio::test]
async fn a_route_may_allow_single_administrative_paths() {
    let server = simulator(Role::Both).await;
    let spec = with(always(), "allowAdminPaths", json!(["/pause", "/is_paused"]));
    let proxy = Proxy::start(&spec, &[endpoint("e", server.addr, "both")]);
    assert_eq!(send(proxy.address(), ask(Method::POST, "/pause", "")).await.status, 200);
    assert_eq!(get(proxy.address(), "/is_paused").await.json().await["is_paused"], true);
    let answer = send(proxy.address(), ask(Method::POST, "/resume", "")).await;
    assert_eq!(answer.status, 404, "only what is named");
}

#[tokio::test]
async fn two_routes_take_each_their_own_models() {
    let one = simulator(Role::Both).await;
    let config = Config { models: vec!["other".into()], ..Config::default() };
    let two = Server::start(config).await.unwrap();
    let spec = |model: &str| json!({"models": [model], "endpoints": {"selector": {"matchLabels": {"for": model}}}});
    let labelled = |name: &str, server: &Server, model: &str| {
        let endpoint = endpoint(name, server.addr, "both");
        let endpoint = with(endpoint, "labels", json!({"for": model}));
        with(endpoint, "models", json!([model]))
    };
    let text = file(
        &[route("first", &spec("tiny")), route("second", &spec("other"))],
        &[labelled("one", &one, "tiny"), labelled("two", &two, "other")],
    );
    let proxy = Proxy::with(&text, 60_000);
    for (model, route, server) in [("tiny", "first", "one"), ("other", "second", "two")] {
        let answer = post(proxy.address(), CHAT, &with(chat(4, 2), "model", model)).await;
        let told = (answer.header("x-qoe-route"), answer.header("x-qoe-decoding"));
        assert_eq!((answer.status.as_u16(), told), (200, (route, server)));
    }
    assert_eq!(model_names(&proxy).await, ["other", "tiny"]);
    let mut nameless = chat(4, 2);
    nameless.as_object_mut().unwrap().remove("model");
    let answer = post(proxy.address(), CHAT, &nameless).await;
    assert_eq!(answer.status, 400);
    let error = answer.json().await["error"].take();
    assert_eq!(error["message"], "the request has no `model`; available models: other, tiny");
}

#[tokio::test]
async fn a_form_goes_where_its_model_field_says() {
    let (one, two) = (
        Backend::start(Script::Say(answer_of("200 OK", r#"{"text":"one"}"#))).await,
        Backend::start(Script::Say(answer_of("200 OK", r#"{"text":"two"}"#))).await,
    );
    let named = |name: &str, backend: &Backend, model: &str| {
        with(endpoint(name, backend.addr, "both"), "models", json!([model]))
    };
    let spec = json!({"models": ["whisper", "other"]});
    let proxy = Proxy::start(&spec, &[named("one", &one, "other"), named("two", &two, "whisper")]);
    let form = "--XX\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n\0\u{1}RIFF\r\n--XX\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--XX--\r\n";
    let form_type = "multipart/form-data; boundary=XX";
    let request = ask(Method::POST, "/v1/audio/transcriptions", form);
    let answer = send(proxy.address(), with_header(request, "content-type", form_type)).await;
    assert_eq!(answer.json().await["text"], "two");
    let [leg] = &two.requests()[..] else { panic!("one request") };
    assert_eq!(leg.body, form.as_bytes(), "byte for byte");
    assert_eq!(leg.header("content-type"), form_type);
    let evil = form.replace("name=\"file\"", "name=\"vllm_xargs\"");
    let request = ask(Method::POST, "/v1/audio/transcriptions", evil);
    let answer = send(proxy.address(), with_header(request, "content-type", form_type)).await;
    assert_eq!((answer.status.as_u16(), two.requests().len()), (400, 1));
}

#[tokio::test]
async fn an_allowed_administrative_path_carries_no_transfer_parameters_either() {
    let server = Backend::start(Script::Say(answer_of("200 OK", "{}"))).await;
    let spec = with(always(), "allowAdminPaths", json!(["/inference/v1/generate"]));
    let proxy = Proxy::start(&spec, &[endpoint("e", server.addr, "both")]);
    let path = "/inference/v1/generate";
    let deadly = json!({"max_tokens": 9, "kv_transfer_params": {"do_remote_prefill": true}});
    assert_eq!(post(proxy.address(), path, &deadly).await.status, 200);
    let bodies: Vec<_> = server
        .requests()
        .iter()
        .filter(|leg| leg.target() == path)
        .map(qoe_tests::tap::Leg::json)
        .collect();
    assert_eq!(bodies, [json!({"max_tokens": 9})]);
    for unread in ["[]", "{\"kv_transfer_params\": {}, NaN", "\u{feff}{}"] {
        let answer = send(proxy.address(), ask(Method::POST, path, unread)).await;
        assert_eq!(answer.status, 400, "{unread}");
    }
}
