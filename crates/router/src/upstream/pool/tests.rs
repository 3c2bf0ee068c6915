use tokio::io::DuplexStream;
use tokio::time::advance;

use super::*;
use crate::upstream::fake::{self, Peer};

/// A pool, and the peers of its idle connections to `d`.
struct Scene {
    pool: Pool<DuplexStream>,
    d: Arc<str>,
}

impl Scene {
    fn new() -> Self {
        Self { pool: Pool::default(), d: "d".into() }
    }

    /// One more connection becomes idle.
    async fn put(&self) -> Peer {
        let (connection, peer) = fake::used().await;
        self.pool.put(&self.d, connection);
        peer
    }

    /// Takes a connection, which must be the one to this peer.
    async fn takes_that_to(&self, peer: &mut Peer) {
        let mut connection = self.pool.take("d").expect("an idle connection");
        let answering = async {
            peer.asked().await;
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        };
        let (answer, ()) = tokio::join!(connection.send(fake::get()), answering);
        assert!(answer.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn the_connection_used_last_is_taken_first_and_each_once() {
    let scene = Scene::new();
    assert!(scene.pool.take("d").is_none());
    let (mut first, mut second) = (scene.put().await, scene.put().await);
    assert!(scene.pool.take("e").is_none(), "another endpoint");
    scene.takes_that_to(&mut second).await;
    scene.takes_that_to(&mut first).await;
    assert!(scene.pool.take("d").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_its_peer_has_closed_is_not_handed_out() {
    let scene = Scene::new();
    let mut open = scene.put().await;
    drop(scene.put().await);
    scene.takes_that_to(&mut open).await;
    drop(scene.put().await);
    assert!(scene.pool.take("d").is_none(), "all are closed");
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_peer_spoke_unasked_is_not_handed_out() {
    let scene = Scene::new();
    let mut peer = scene.put().await;
    peer.say("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await;
    assert!(scene.pool.take("d").is_none());
    assert!(peer.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_only_for_a_time() {
    let scene = Scene::new();
    let mut peer = scene.put().await;
    advance(MAX_IDLE).await;
    scene.takes_that_to(&mut peer).await;
    let (mut older, mut old) = (scene.put().await, scene.put().await);
    advance(MAX_IDLE + Duration::from_millis(1)).await;
    assert!(scene.pool.take("d").is_none());
    assert!(older.is_closed().await && old.is_closed().await, "all that are older are closed");
}

#[tokio::test(start_paused = true)]
async fn sweeping_closes_what_is_too_old_and_nothing_else() {
    let scene = Scene::new();
    let mut old = scene.put().await;
    advance(MAX_IDLE / 2).await;
    let mut young = scene.put().await;
    advance(MAX_IDLE / 2).await;
    scene.pool.sweep();
    assert_eq!(scene.pool.idle.borrow()["d"].len(), 2);
    advance(Duration::from_millis(1)).await;
    scene.pool.sweep();
    assert!(old.is_closed().await);
    scene.takes_that_to(&mut young).await;
    scene.pool.sweep();
    assert!(scene.pool.idle.borrow().is_empty(), "endpoints without connections are forgotten");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_are_kept_for_an_endpoint() {
    let scene = Scene::new();
    let mut peers = Vec::new();
    for _ in 0..=MAX_PER_ENDPOINT {
        peers.push(scene.put().await);
    }
    assert!(peers.pop().unwrap().is_closed().await, "one too many");
    assert_eq!(scene.pool.idle.borrow()["d"].len(), MAX_PER_ENDPOINT);
}
