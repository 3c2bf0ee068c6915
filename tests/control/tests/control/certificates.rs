//! Mutual TLS between routers and controllers.

use qoe_control_tests::certificates::Authority;
use qoe_control_tests::entry::Setup;
use qoe_control_tests::logs;
use qoe_control_tests::pods::selecting;
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::{comes_to, until};
use qoe_control_tests::wire::Wire;
use tokio::net::TcpStream;

use crate::routing::{serves, unreachable};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_nothing_and_the_log_says_why() {
    let space = Space::new("stranger").await;
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (folder, friendly, strange) = (ours.folder(), ours.folder(), theirs.folder());
    let control = space.controller().tls(folder.path()).start().await;
    let friend = Setup::default().tls(friendly.path()).start(control.address());
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    serves(&friend, "main", "a").await;
    // Neither believes the other.
    let stranger = Setup::default().tls(strange.path()).start(control.address());
    let said = async |parts: &[&str]| logs::line(parts).is_some();
    let address = control.address().to_string();
    let refused = ["WARN", "the stream to a controller failed", &address, "UnknownIssuer"];
    until("the router says why it believes nobody", async || said(&refused).await).await;
    let refused =
        ["WARN", "the connection of a router failed", "certificate of the same authority"];
    until("the controller says that somebody left it", async || said(&refused).await).await;
    // One that believes the controller, but has another authority's certificate.
    std::fs::copy(folder.path().join("ca.crt"), strange.path().join("ca.crt")).unwrap();
    let refused = [&refused[..], &["UnknownIssuer"]].concat();
    until("the controller says why it refuses it", async || said(&refused).await).await;
    // One without any.
    let naked = Setup::default().start(control.address());
    space.pod(&unreachable("b", 2)).await;
    serves(&friend, "main", "a,b").await;
    for stranger in [&stranger, &naked] {
        assert_eq!(stranger.routes().await.len(), 0);
        let (status, page) = stranger.pages().text("/ready").await;
        assert!(status != 200 && page.contains("routes from a controller"), "{page}");
    }
    let page = control.pages().json("/debug/routers").await;
    assert_eq!(page["routers"].as_array().map(Vec::len), Some(1), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_change_without_a_restart() {
    let space = Space::new("rotation").await;
    let (old, new) = (Authority::new(), Authority::new());
    let (folder, of_router, of_late) = (old.folder(), old.folder(), new.folder());
    let control = space.controller().tls(folder.path()).start().await;
    let wire = Wire::to(control.address()).await;
    let router = Setup::default().tls(of_router.path()).start(wire.address);
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    serves(&router, "main", "a").await;
    // Half written is not taken: what was good stays in use.
    std::fs::write(folder.path().join("tls.crt"), "-----BEGIN").unwrap();
    let path = folder.path().display().to_string();
    let kept = async || {
        // It looks when somebody connects.
        TcpStream::connect(control.address()).await.expect("it listens");
        logs::line(&["ERROR", "the last good ones stay in use", &path]).is_some()
    };
    until("the controller says so", kept).await;
    let connected = async || router.pages().metric("qoe_controllers", &[]).await;
    wire.cut();
    space.pod(&unreachable("b", 2)).await;
    serves(&router, "main", "a,b").await;
    comes_to("the router is connected all the same", 1.0, connected).await;

    new.write(folder.path());
    new.write(of_router.path());
    // A router that trusts only the new authority is let in, so the controller shows its new certificate.
    let late = Setup::default().tls(of_late.path()).start(control.address());
    serves(&late, "main", "a,b").await;
    // And the router, which was there all the time, shows its new one.
    wire.cut();
    space.pod(&unreachable("c", 3)).await;
    serves(&router, "main", "a,b,c").await;
}
