//! What one client does must not change how others are served.

use qoe_sim::{Role, Server};
use qoe_tests::bodies::{CHAT, chat, streamed, text_of, with};
use qoe_tests::client::post;
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use serde_json::json;

async fn pair() -> (Server, Server, Proxy) {
    let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("d", d.addr, "decode")];
    let proxy = Proxy::start(&always(), &endpoints);
    (p, d, proxy)
}

#[tokio::test]
async fn requests_that_decoding_refuses_do_not_end_handoffs() {
    let (_p, _d, proxy) = pair().await;
    for i in 0..5 {
        // Prefill wants one token of it, and takes it; decoding sees the whole limit.
        let refused = post(proxy.address(), CHAT, &chat(40 + i, 999_999)).await;
        assert_eq!((refused.status.as_u16(), refused.header("x-qoe-plan")), (400, "handoff"));
    }
    let answer = post(proxy.address(), CHAT, &chat(60, 4)).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-qoe-plan")), (200, "handoff"));
}

#[tokio::test]
async fn clients_that_leave_between_the_phases_do_not_end_handoffs() {
    let (_p, d, proxy) = pair().await;
    for i in 0..5 {
        let mut answer = post(proxy.address(), CHAT, &streamed(chat(40 + i, 100_000))).await;
        answer.piece().await.unwrap().unwrap();
        drop(answer);
    }
    d.resume();
    let answer = post(proxy.address(), CHAT, &chat(60, 4)).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-qoe-plan")), (200, "handoff"));
}

#[tokio::test]
async fn members_that_only_make_sense_for_the_whole_answer_do_not_disturb_prefill() {
    let (_p, _d, proxy) = pair().await;
    let plain = simulator(Role::None).await;
    for (i, (name, value)) in [
        ("min_tokens", json!(5)),
        ("max_completion_tokens", json!(7)),
        ("logprobs", json!(true)),
        ("stop", json!(["zzz"])),
        ("ignore_eos", json!(true)),
        ("return_token_ids", json!(true)),
        ("stream_options", json!({"include_usage": true, "continuous_usage_stats": true})),
    ]
    .into_iter()
    .enumerate()
    {
        let body = with(streamed(chat(40 + i, 9)), name, value);
        let answer = post(proxy.address(), CHAT, &body).await;
        let told = (answer.status.as_u16(), answer.header("x-qoe-plan"));
        assert_eq!(told, (200, "handoff"), "{name}");
        let expected = post(plain.addr, CHAT, &body).await.whole().await;
        assert_eq!(text_of(&body, &answer.whole().await), text_of(&body, &expected), "{name}");
    }
}
