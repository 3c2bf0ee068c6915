//! What is refused before it has a route is counted too, by reasons that no client can multiply.

use http::Method;
use qoe_sim::Role;
use qoe_tests::bodies::{CHAT, chat, streamed, with};
use qoe_tests::client::{ask, get, post, send};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use serde_json::json;

#[tokio::test]
async fn refusals_are_counted_by_their_reason() {
    let server = simulator(Role::Both).await;
    let spec =
        with(always(), "limits", json!({"maxInFlight": 1, "maxQueued": 0, "maxBodyBytes": 4096}));
    let proxy = Proxy::start(&spec, &[endpoint("e", server.addr, "both")]);
    let _stream = post(proxy.address(), CHAT, &streamed(chat(10, 100_000))).await;
    for i in 0..3 {
        assert_eq!(post(proxy.address(), CHAT, &chat(12, 5)).await.status, 429);
        let unknown = with(chat(4, 5), "model", format!("made-up-{i}"));
        assert_eq!(post(proxy.address(), CHAT, &unknown).await.status, 404);
        assert_eq!(get(proxy.address(), &format!("/made/up/{i}")).await.status, 404);
        assert_eq!(post(proxy.address(), CHAT, &chat(1000, 5)).await.status, 413);
        assert_eq!(send(proxy.address(), ask(Method::POST, CHAT, "{")).await.status, 400);
    }
    for kind in
        ["too_many_in_flight", "unknown_model", "unknown_path", "body_too_large", "bad_body"]
    {
        let label = format!("failure=\"{kind}\"");
        let counted = proxy.metric("qoe_refused_total", &[&label]).await;
        assert_eq!(counted, 3.0, "{kind}");
    }
}
