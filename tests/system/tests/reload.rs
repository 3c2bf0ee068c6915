//! The configuration file changes while the router serves.

use qoe_sim::{Role, Server};
use qoe_tests::bodies::{CHAT, chat, streamed, streamed_text};
use qoe_tests::client::post;
use qoe_tests::proxy::{Proxy, always, endpoint, file, route, simulator};
use qoe_tests::wait::until;

fn one(name: &str, server: &Server) -> String {
    file(&[route("main", &always())], &[endpoint(name, server.addr, "both")])
}

#[tokio::test]
async fn a_change_is_taken_and_a_bad_file_changes_nothing() {
    let (old, new) = (simulator(Role::Both).await, simulator(Role::Both).await);
    let proxy = Proxy::with(&one("old", &old), 60_000);
    assert_eq!(proxy.version().await, 1);
    let served_by = async || {
        let answer = post(proxy.address(), CHAT, &chat(4, 2)).await;
        assert_eq!(answer.status, 200);
        answer.header("x-qoe-decoding").to_owned()
    };
    assert_eq!(served_by().await, "old");
    // A stream of before is not cut.
    old.pause_after(3);
    let mut stream = post(proxy.address(), CHAT, &streamed(chat(40, 6))).await;
    let mut seen = stream.piece().await.unwrap().unwrap().to_vec();

    proxy.rewrite(&one("new", &new));
    until("the change is in use", async || proxy.version().await == 2).await;
    assert_eq!(served_by().await, "new");
    old.resume();
    seen.extend(stream.whole().await);
    assert!(seen.ends_with(b"data: [DONE]\n\n") && !streamed_text(&seen).is_empty());

    proxy.rewrite("kind: [");
    let rejected =
        async || proxy.metric("qoe_config_reloads_total", &["outcome=\"rejected\""]).await;
    until("the bad file was read", async || rejected().await == 1.0).await;
    assert_eq!((proxy.version().await, served_by().await), (2, "new".to_owned()));
}
