//! Endpoints that no capture covers, and what the metrics count.

use http::Method;
use qoe_sim::{Config, Role, Server};
use serde_json::{Value, json};

use crate::common::{chat, get, metric, post, request, send, start, text, with};

#[tokio::test]
async fn metrics_count_what_happened() {
    let server = start(Role::None).await;
    for _ in 0..2 {
        post(&server, "/v1/chat/completions", &chat(40, 12)).await.json().await;
    }
    let prompt = metric(&server, "vllm:prompt_tokens_total{").await;
    let hits = metric(&server, "vllm:prefix_cache_hits_total{").await;
    assert!(hits > 0.0 && hits < prompt / 2.0, "{hits} of {prompt}");
    assert_eq!(metric(&server, "vllm:generation_tokens_total{").await, 24.0);
    assert_eq!(metric(&server, "vllm:time_to_first_token_seconds_count{").await, 2.0);
    assert_eq!(metric(&server, "vllm:inter_token_latency_seconds_count{").await, 22.0);
    assert_eq!(metric(&server, "vllm:num_requests_running{").await, 0.0);
}

#[tokio::test]
async fn choices_echo_and_token_lists() {
    let server = start(Role::None).await;
    let path = "/v1/completions";
    let body = json!({"prompt": ["one two", "three"], "n": 2, "echo": true, "max_tokens": 3});
    let answer = post(&server, path, &body).await.json().await;
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 4);
    assert!(choices[0]["text"].as_str().unwrap().starts_with("one two"));
    assert!(choices[3]["text"].as_str().unwrap().starts_with("three"));
    assert_eq!(answer["usage"]["completion_tokens"], 12);
    let ids = post(&server, "/tokenize", &json!({"prompt": "one two"})).await.json().await;
    let body = json!({"prompt": ids["tokens"], "max_tokens": 3});
    let by_ids = post(&server, path, &body).await.json().await;
    let plain = choices[0]["text"].as_str().unwrap().strip_prefix("one two");
    assert_eq!(by_ids["choices"][0]["text"].as_str(), plain);
}

#[tokio::test]
async fn a_message_that_is_open_goes_on_as_it_would_have() {
    let (one, other) = (start(Role::None).await, start(Role::None).await);
    let path = "/v1/chat/completions";
    let whole = post(&one, path, &chat(30, 20)).await.json().await;
    let head = post(&one, path, &chat(30, 7)).await.json().await;
    let mut rest = with(chat(30, 13), "continue_final_message", json!(true));
    rest["add_generation_prompt"] = json!(false);
    let said = json!({"role": "assistant", "content": text(&head)});
    rest["messages"].as_array_mut().unwrap().push(said);
    let rest = post(&other, path, &rest).await.json().await;
    assert_eq!(format!("{}{}", text(&head), text(&rest)), text(&whole));
}

#[tokio::test]
async fn an_answer_without_a_limit_comes_to_an_end() {
    let server = start(Role::None).await;
    let mut body = chat(10, 1);
    body.as_object_mut().unwrap().remove("max_tokens");
    let answer = post(&server, "/v1/chat/completions", &body).await.json().await;
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let tokens = answer["usage"]["completion_tokens"].as_u64().unwrap();
    body["min_tokens"] = json!(tokens + 50);
    let longer = post(&server, "/v1/chat/completions", &body).await.json().await;
    assert!(longer["usage"]["completion_tokens"].as_u64().unwrap() >= tokens + 50);
    assert!(text(&longer).starts_with(text(&answer)));
}

#[tokio::test]
async fn a_conversation_goes_on_only_where_it_began() {
    let (here, elsewhere) = (start(Role::None).await, start(Role::None).await);
    let path = "/v1/responses";
    let first = post(&here, path, &json!({"input": "hello"})).await.json().await;
    let id = first["id"].as_str().unwrap();
    assert!(id.starts_with("resp_"), "{id}");
    let next = json!({"input": "more", "previous_response_id": id, "max_output_tokens": 5});
    let second = post(&here, path, &next).await.json().await;
    let tokens = |response: &Value| response["usage"]["input_tokens"].as_u64().unwrap();
    assert!(tokens(&second) > tokens(&first));
    assert_eq!(get(&here, &format!("{path}/{id}")).await.json().await, first);
    assert_eq!(get(&elsewhere, &format!("{path}/{id}")).await.status, 404);
    assert_eq!(post(&elsewhere, path, &next).await.status, 404);
}

#[tokio::test]
async fn a_key_is_asked_for_on_v1_only() {
    let key = Some("secret".to_owned());
    let server = Server::start(Config { api_key: key, ..Config::default() }).await.unwrap();
    let refused = post(&server, "/v1/chat/completions", &chat(3, 1)).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json().await, json!({"error": "Unauthorized"}));
    assert_eq!(get(&server, "/metrics").await.status, 200);
    let mut request = request(Method::GET, "/v1/models", "");
    request.headers_mut().insert("authorization", "Bearer secret".parse().unwrap());
    assert_eq!(send(&server, request).await.unwrap().status, 200);
}

#[tokio::test]
async fn embeddings_depend_on_the_text_alone() {
    let (one, other) = (start(Role::None).await, start(Role::None).await);
    let vector = async |server: &Server, input: &str| {
        let answer = post(server, "/v1/embeddings", &json!({"input": input})).await.json().await;
        answer["data"][0]["embedding"].clone()
    };
    assert_eq!(vector(&one, "a text").await, vector(&other, "a text").await);
    assert_ne!(vector(&one, "a text").await, vector(&one, "b text").await);
}

#[tokio::test]
async fn administration_changes_what_can_be_seen() {
    let server = start(Role::None).await;
    let sleeping = async || get(&server, "/is_sleeping").await.json().await["is_sleeping"].clone();
    assert_eq!(sleeping().await, false);
    assert_eq!(get(&server, "/sleep").await.status, 405);
    assert_eq!(post(&server, "/sleep?level=1", &json!({})).await.status, 200);
    assert_eq!(sleeping().await, true);
    post(&server, "/wake_up", &json!({})).await;
    assert_eq!(sleeping().await, false);
    let adapter = json!({"lora_name": "sql", "lora_path": "/adapters/sql"});
    post(&server, "/v1/load_lora_adapter", &adapter).await;
    let models = get(&server, "/v1/models").await.json().await;
    assert_eq!(models["data"][1]["id"], "sql");
    assert_eq!(models["data"][1]["parent"], "tiny");
    let body = with(chat(3, 1), "model", json!("sql"));
    assert_eq!(post(&server, "/v1/chat/completions", &body).await.status, 200);
}
