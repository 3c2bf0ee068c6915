//! A request that is prefilled on one endpoint and decoded on another, and requests that are not.

use http::Method;
use qoe_sim::{Role, Server};
use qoe_tests::bodies::{CHAT, COMPLETIONS, chat, completion, streamed, text_of, with};
use qoe_tests::client::{ask, explained, get, post, send, with_header};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use qoe_tests::tap::Tap;
use qoe_tests::wait::until;
use serde_json::{Value, json};

/// One prefill and one decoding simulator, each behind a tap.
struct Pair {
    prefill: Server,
    decoding: Server,
    to_prefill: Tap,
    to_decoding: Tap,
    proxy: Proxy,
}

async fn pair(spec: &Value) -> Pair {
    let (prefill, decoding) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    let to_prefill = Tap::before(prefill.addr).await;
    let to_decoding = Tap::before(decoding.addr).await;
    let endpoints =
        [endpoint("p0", to_prefill.addr, "prefill"), endpoint("d0", to_decoding.addr, "decode")];
    let proxy = Proxy::start(spec, &endpoints);
    Pair { prefill, decoding, to_prefill, to_decoding, proxy }
}

/// What a plain server answers.
async fn plain_text(path: &str, body: &Value) -> String {
    let plain = simulator(Role::None).await;
    text_of(body, &post(plain.addr, path, body).await.whole().await)
}

#[tokio::test]
async fn both_apis_streamed_and_not_write_what_a_plain_server_writes() {
    let pair = pair(&always()).await;
    let mut moved = 0;
    for (path, body) in [
        (CHAT, chat(60, 20)),
        (CHAT, streamed(chat(61, 20))),
        (COMPLETIONS, completion(62, 20)),
        (COMPLETIONS, streamed(completion(63, 20))),
    ] {
        let answer = post(pair.proxy.address(), path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-qoe-plan")), (200, "handoff"));
        assert_eq!(text_of(&body, &answer.whole().await), plain_text(path, &body).await);
        let external = pair.decoding.inspect(|engine| engine.stats().external_kv_transfer);
        assert!(external >= moved + 60, "the prompt's KV was pulled: {external}");
        moved = external;
    }
    until("no lease is left", async || pair.prefill.inspect(|e| e.leases() + e.pool().held()) == 0)
        .await;
    assert_eq!(pair.prefill.inspect(|engine| engine.stats().generation_tokens), 4, "one each");
    let prefilled_here = pair.decoding.inspect(|engine| engine.stats().local_compute);
    assert!(prefilled_here <= 4 * 16, "decoding prefilled {prefilled_here} tokens itself");
}

#[tokio::test]
async fn who_asks_is_told_the_plan_and_nobody_else() {
    let pair = pair(&always()).await;
    let answer = post(pair.proxy.address(), CHAT, &chat(40, 4)).await;
    let told = ["route", "plan", "reason", "prefill", "decoding", "attempts"]
        .map(|name| answer.header(&format!("x-qoe-{name}")).to_owned());
    assert_eq!(told, ["main", "handoff", "prefill_phase", "p0", "d0", "1"]);
    let request = ask(Method::POST, CHAT, chat(40, 4).to_string());
    let answer = send(pair.proxy.address(), request).await;
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("x-qoe-")));
    for leg in [pair.to_prefill.requests(CHAT), pair.to_decoding.requests(CHAT)].concat() {
        assert_eq!(leg.header("x-qoe-explain"), "", "endpoints need not know");
    }
}

#[tokio::test]
async fn one_request_id_names_both_legs_and_the_answer() {
    let pair = pair(&always()).await;
    let request = with_header(explained(CHAT, &chat(40, 4)), "x-request-id", "one-id-7");
    let answer = send(pair.proxy.address(), request).await;
    assert_eq!(answer.header("x-request-id"), "one-id-7");
    assert_eq!(answer.json().await["id"], "chatcmpl-one-id-7");
    for leg in [&pair.to_prefill.requests(CHAT)[0], &pair.to_decoding.requests(CHAT)[0]] {
        assert_eq!(leg.header("x-request-id"), "one-id-7");
    }
    assert_eq!(pair.proxy.record().await["request_id"], "one-id-7");
    let answer = post(pair.proxy.address(), CHAT, &chat(40, 4)).await;
    let made = answer.header("x-request-id").to_owned();
    assert_eq!(made.len(), 32, "made where the client sent none");
    assert_eq!(pair.to_prefill.requests(CHAT)[1].header("x-request-id"), made);
    assert_eq!(pair.to_decoding.requests(CHAT)[1].header("x-request-id"), made);
}

#[tokio::test]
async fn the_legs_differ_from_the_request_only_where_they_must() {
    let pair = pair(&always()).await;
    let body = with(streamed(chat(40, 9)), "temperature", 0.0);
    let body = with(body, "stream_options", json!({"include_usage": true}));
    post(pair.proxy.address(), CHAT, &body).await.whole().await;
    let mut prefill = pair.to_prefill.requests(CHAT)[0].json();
    assert_eq!(prefill["kv_transfer_params"]["do_remote_decode"], true);
    assert_eq!((&prefill["max_tokens"], &prefill["stream"]), (&json!(1), &json!(false)));
    assert!(prefill.get("stream_options").is_none(), "only streams have options");
    let mut decoding = pair.to_decoding.requests(CHAT)[0].json();
    let params = decoding["kv_transfer_params"].take();
    assert_eq!(params["do_remote_prefill"], true);
    assert!(params["remote_block_ids"][0].as_array().is_some_and(|blocks| !blocks.is_empty()));
    decoding.as_object_mut().unwrap().remove("kv_transfer_params");
    assert_eq!(decoding, body);
    assert_eq!(prefill["messages"].take(), body["messages"]);
}

#[tokio::test]
async fn transfer_parameters_and_steering_of_clients_never_reach_an_engine() {
    let pair = pair(&always()).await;
    let evil = json!({"do_remote_prefill": true, "remote_host": "evil"});
    let local = chat(40, 1);
    for body in [chat(40, 4), streamed(chat(40, 4)), local] {
        let body = with(body, "kv_transfer_params", evil.clone());
        let body = with(body, "ec_transfer_params", evil.clone());
        let body = with(body, "bootstrap_host", "evil");
        let body = with(body, "bootstrap_room", 7);
        let mut request = explained(CHAT, &body);
        for name in ["x-prefiller-host-port", "x-prefiller-url", "x-kv-cache-source-host-port"] {
            request = with_header(request, name, "evil:1");
        }
        let answer = send(pair.proxy.address(), request).await;
        assert_eq!(answer.status, 200);
        answer.whole().await;
    }
    assert!(!pair.prefill.is_dead() && !pair.decoding.is_dead());
    let legs = [pair.to_prefill.requests(CHAT), pair.to_decoding.requests(CHAT)].concat();
    assert_eq!(legs.len(), 5);
    for leg in legs {
        let body = String::from_utf8_lossy(&leg.body).into_owned();
        assert!(!body.contains("evil") && !body.contains("bootstrap"), "{body}");
        assert!(!body.contains("ec_transfer_params") && !leg.head.contains("evil"), "{}", leg.head);
    }
}

#[tokio::test]
async fn parameters_in_disguise_are_stripped_or_refused_and_the_engines_live() {
    let pair = pair(&always()).await;
    let bodies = [
        r#"{"model":"tiny","messages":[],"kv_transfer_params":null,"kv_transfer_params":{"do_remote_prefill":true}}"#,
        r#"{"model":"tiny","messages":[{"role":"user","content":"x"}],"kv\u005ftransfer_params":{"do_remote_prefill":true}}"#,
        r#"{"model":"tiny","messages":[{"role":"user","content":"x"}],"vllm_xargs":{"kv_transfer_params":{"do_remote_prefill":true}}}"#,
        r#"{"model":"tiny","input":"x","kv_transfer_params":{"do_remote_prefill":true}}"#,
    ];
    for path in [CHAT, COMPLETIONS, "/v1/responses", "/v1/embeddings"] {
        for body in bodies {
            let answer = send(pair.proxy.address(), ask(Method::POST, path, body)).await;
            assert!(answer.status.as_u16() < 500, "{path} {body}: {}", answer.status);
            for tap in [&pair.to_prefill, &pair.to_decoding] {
                let legs = tap.requests(path);
                assert!(
                    legs.iter().all(|leg| {
                        leg.json()["kv_transfer_params"]["do_remote_prefill"] != true
                            || leg.json()["kv_transfer_params"]["remote_host"].is_string()
                    }),
                    "{path} {body}: {legs:?}"
                );
            }
        }
    }
    for server in [&pair.prefill, &pair.decoding] {
        assert_eq!(get(server.addr, "/health").await.status, 200);
    }
}

#[tokio::test]
async fn what_stays_whole_says_why() {
    let spec = with(always(), "handoff", json!({"mode": "Auto", "minPromptTokens": 64}));
    let pair = pair(&spec).await;
    let assistant = json!([
        {"role": "user", "content": "x ".repeat(200)},
        {"role": "assistant", "content": "y"},
        {"role": "user", "content": "z"},
    ]);
    let long = || chat(200, 5);
    let cases = [
        (CHAT, chat(3, 5), "short_prompt", "d0"),
        (CHAT, with(long(), "n", 2), "several", "d0"),
        (CHAT, with(long(), "messages", assistant), "decoding_phase", "d0"),
        (CHAT, with(long(), "previous_message_id", "m1"), "decoding_phase", "d0"),
        (CHAT, with(long(), "parent_id", "m1"), "decoding_phase", "d0"),
        (CHAT, chat(200, 1), "single_token", "p0"),
        (CHAT, with(long(), "max_completion_tokens", 1), "single_token", "p0"),
        (COMPLETIONS, with(completion(200, 5), "echo", true), "echo", "d0"),
        (COMPLETIONS, with(completion(200, 5), "prompt_logprobs", 1), "prompt_logprobs", "d0"),
        (COMPLETIONS, with(completion(200, 5), "prompt", json!(["a", "b"])), "batch", "d0"),
        (COMPLETIONS, with(completion(200, 5), "prompt", json!([[1, 2], [3]])), "batch", "d0"),
    ];
    for (path, body, reason, where_to) in cases {
        let answer = post(pair.proxy.address(), path, &body).await;
        assert_eq!(answer.status, 200, "{reason}");
        let told = ["plan", "reason", "decoding", "prefill"]
            .map(|name| answer.header(&format!("x-qoe-{name}")).to_owned());
        assert_eq!(told, ["local", reason, where_to, ""], "{body}");
    }
    let answer = post(pair.proxy.address(), CHAT, &long()).await;
    assert_eq!(answer.header("x-qoe-plan"), "handoff", "the plain case is not among them");
}

#[tokio::test]
async fn a_route_that_hands_nothing_over_serves_whole() {
    let pair = pair(&with(always(), "handoff", json!({"mode": "Never"}))).await;
    let answer = post(pair.proxy.address(), CHAT, &chat(400, 5)).await;
    assert_eq!(answer.header("x-qoe-reason"), "handoff_never");
    assert!(pair.to_prefill.requests(CHAT).is_empty());
}

#[tokio::test]
async fn prompts_of_token_ids_are_counted_not_guessed() {
    let spec = with(always(), "handoff", json!({"mode": "Auto", "minPromptTokens": 100}));
    let pair = pair(&spec).await;
    for (count, plan) in [(99_u64, "local"), (100, "handoff")] {
        let ids: Vec<u64> = (1000..1000 + count).collect();
        let body = with(completion(1, 3), "prompt", ids);
        let answer = post(pair.proxy.address(), COMPLETIONS, &body).await;
        assert_eq!(answer.header("x-qoe-plan"), plan, "{count} tokens");
    }
}
