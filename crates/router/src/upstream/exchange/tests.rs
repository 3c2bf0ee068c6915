use tokio::io::DuplexStream;

use super::*;
use crate::upstream::fake::{self, CHUNKED, EVENTS_UNTIL_CLOSE, Peer, Wakes, chunk};

const SIZED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
const LAST_CHUNK: &str = "0\r\n\r\n";

/// An exchange that is polled by hand, with a count of its wakes.
struct Scene {
    exchange: Exchange<DuplexStream>,
    peer: Peer,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl Scene {
    async fn new(said: &str) -> Self {
        let (exchange, peer) = fake::exchange(said).await;
        let (wakes, waker) = Wakes::counted();
        Self { exchange, peer, wakes, waker }
    }

    fn poll(&mut self) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        self.exchange.poll_chunk(&mut Context::from_waker(&self.waker))
    }

    /// The chunk that is ready.
    fn ready(&mut self) -> Bytes {
        match self.poll() {
            Poll::Ready(Some(Ok(chunk))) => chunk,
            other => panic!("no chunk: {other:?}"),
        }
    }

    /// All that is ready, and whether it was followed by an end, an error, or nothing yet.
    fn drain(&mut self) -> (Vec<u8>, Poll<Result<(), hyper::Error>>) {
        let mut bytes = Vec::new();
        loop {
            match self.poll() {
                Poll::Ready(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
                Poll::Ready(Some(Err(error))) => return (bytes, Poll::Ready(Err(error))),
                Poll::Ready(None) => return (bytes, Poll::Ready(Ok(()))),
                Poll::Pending => return (bytes, Poll::Pending),
            }
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_body_has_ended_with_its_head() {
    let mut scene = Scene::new("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert!(scene.exchange.ended());
    assert!(matches!(scene.poll(), Poll::Ready(None)));
    assert!(scene.exchange.into_idle().is_some());
}

#[tokio::test]
async fn chunks_pass_one_by_one_as_they_come_with_one_wake_each() {
    let mut scene = Scene::new(CHUNKED).await;
    assert!(scene.poll().is_pending());
    for token in ["a", "b", "c"] {
        assert_eq!(scene.wakes.take(), 0, "nothing has come");
        scene.peer.say_chunk(token).await;
        assert_eq!(scene.wakes.take(), 1);
        assert_eq!(scene.ready(), token);
        assert!(scene.poll().is_pending());
        assert_eq!(scene.wakes.take(), 0, "the two halves of the connection woke only each other");
    }
}

#[tokio::test]
async fn chunks_that_are_ready_together_are_merged() {
    let mut scene = Scene::new(CHUNKED).await;
    for token in ["a", "b", "c"] {
        scene.peer.say_chunk(token).await;
    }
    scene.peer.say(LAST_CHUNK).await;
    assert_eq!(scene.ready(), "abc");
    assert!(scene.exchange.ended(), "the end was ready, too");
    assert!(matches!(scene.poll(), Poll::Ready(None)));
}

#[tokio::test]
async fn merging_stops_at_a_size() {
    let mut scene = Scene::new(CHUNKED).await;
    let part = "x".repeat(1000);
    let count = 3 * MERGE_BYTES / part.len();
    for _ in 0..count {
        scene.peer.say_chunk(&part).await;
    }
    let first = scene.ready();
    assert!((MERGE_BYTES..MERGE_BYTES + part.len()).contains(&first.len()), "{}", first.len());
    let (rest, end) = scene.drain();
    assert!(end.is_pending());
    assert_eq!(first.len() + rest.len(), count * part.len());
}

#[tokio::test]
async fn an_answer_ends_by_its_length_by_its_last_chunk_or_with_its_connection() {
    let chunks = chunk("hello") + &chunk("world") + LAST_CHUNK;
    let trailers = chunk("helloworld") + "0\r\nx-trailer: 1\r\n\r\n";
    for (head, body, closes, reusable) in [
        (SIZED, "helloworld", false, true),
        (CHUNKED, &chunks, false, true),
        (CHUNKED, &trailers, false, true),
        (EVENTS_UNTIL_CLOSE, "helloworld", true, false),
    ] {
        let mut scene = Scene::new(head).await;
        scene.peer.say(body).await;
        if closes {
            assert_eq!(scene.ready(), "helloworld");
            assert!(scene.poll().is_pending(), "more may come");
            scene.peer.close().await;
            assert_eq!(scene.wakes.take(), 1, "the end wakes");
            assert!(matches!(scene.poll(), Poll::Ready(None)));
        } else {
            let (bytes, end) = scene.drain();
            assert_eq!((bytes.as_slice(), end.is_ready()), (&b"helloworld"[..], true));
        }
        assert!(scene.exchange.ended());
        assert_eq!(scene.exchange.into_idle().is_some(), reusable, "{head}");
    }
}

#[tokio::test]
async fn a_chunked_answer_is_the_same_wherever_it_is_cut() {
    let sent = chunk("hello") + &chunk("world") + LAST_CHUNK;
    for cut in 0..=sent.len() {
        let mut scene = Scene::new(CHUNKED).await;
        let mut came = Vec::new();
        for part in [&sent[..cut], &sent[cut..]] {
            scene.peer.say(part).await;
            came.extend(scene.drain().0);
        }
        assert_eq!(came, b"helloworld", "cut at {cut}");
        assert!(scene.exchange.ended(), "cut at {cut}");
        assert!(scene.exchange.into_idle().is_some(), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_inside_an_answer_is_an_error_after_the_good_bytes() {
    let chunks = chunk("hello") + &chunk("world") + LAST_CHUNK;
    for (head, sent) in [(CHUNKED, chunks.as_str()), (SIZED, "helloworld")] {
        for cut in 0..sent.len() {
            let mut scene = Scene::new(head).await;
            scene.peer.say(&sent[..cut]).await;
            scene.peer.close().await;
            let (came, end) = scene.drain();
            assert!(b"helloworld".starts_with(&came), "cut at {cut}: {came:?}");
            assert!(matches!(end, Poll::Ready(Err(_))), "cut at {cut}: {end:?}");
            assert!(matches!(scene.poll(), Poll::Ready(None)), "an error is the end");
            assert!(scene.exchange.into_idle().is_none(), "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn an_error_that_comes_with_good_bytes_waits_for_them() {
    let mut scene = Scene::new(CHUNKED).await;
    scene.peer.say(chunk("good") + "no chunk\r\n").await;
    assert_eq!(scene.ready(), "good");
    assert!(!scene.exchange.ended(), "the error was not told yet");
    assert!(matches!(scene.poll(), Poll::Ready(Some(Err(_)))));
    assert!(matches!(scene.poll(), Poll::Ready(None)));
    assert!(scene.exchange.into_idle().is_none());
}

#[tokio::test]
async fn a_wake_without_data_leaves_the_next_wake_alive() {
    let mut scene = Scene::new(CHUNKED).await;
    assert!(scene.poll().is_pending());
    for framing in ["3", "\r", "\n"] {
        scene.peer.say(framing).await;
        assert_eq!(scene.wakes.take(), 1);
        assert!(scene.poll().is_pending(), "no data yet");
        assert_eq!(scene.wakes.take(), 0);
    }
    assert!(scene.poll().is_pending(), "polled again for nothing");
    scene.peer.say("abc").await;
    assert_eq!(scene.wakes.take(), 1);
    assert_eq!(scene.ready(), "abc");
}

#[tokio::test]
async fn the_task_that_polled_last_is_the_one_that_is_woken() {
    let mut scene = Scene::new(CHUNKED).await;
    assert!(scene.poll().is_pending());
    let earlier = Arc::clone(&scene.wakes);
    (scene.wakes, scene.waker) = Wakes::counted();
    assert!(scene.poll().is_pending());
    scene.peer.say_chunk("a").await;
    assert_eq!((earlier.take(), scene.wakes.take()), (0, 1));
}

#[tokio::test]
async fn only_a_clean_connection_serves_another_request() {
    for (said, why) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", "the rest is still to come"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello", "it closes"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello!", "more came than was said"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", "HTTP/1.0 does not keep it"),
    ] {
        let mut scene = Scene::new(said).await;
        drop(scene.drain());
        assert!(scene.exchange.into_idle().is_none(), "{why}");
        assert!(scene.peer.is_closed().await, "{why}");
    }
}

#[tokio::test]
async fn what_is_still_to_come_is_known_from_the_length() {
    let mut scene = Scene::new(SIZED).await;
    assert_eq!(scene.exchange.size_hint().exact(), Some(10));
    scene.peer.say("hello").await;
    assert_eq!(scene.ready(), "hello");
    assert_eq!(scene.exchange.size_hint().exact(), Some(5));
    assert_eq!(Scene::new(CHUNKED).await.exchange.size_hint().exact(), None);
}

#[tokio::test]
async fn a_whole_body_is_read_up_to_a_limit() {
    for (limit, fits) in [(9, false), (10, true), (11, true)] {
        let mut scene = Scene::new(SIZED).await;
        scene.peer.say("hello").await;
        let reading = read_all(scene.exchange, limit);
        let saying = async {
            tokio::task::yield_now().await;
            scene.peer.say("world").await;
        };
        match tokio::join!(reading, saying).0 {
            Ok((body, exchange)) => {
                assert!(fits, "{limit}");
                assert_eq!(body, "helloworld");
                assert!(exchange.into_idle().is_some());
            }
            Err(error) => assert!(!fits && matches!(error, UpstreamError::TooLarge(9)), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_or_is_empty_is_read_as_such() {
    let scene = Scene::new(SIZED).await;
    drop(scene.peer);
    let broken = read_all(scene.exchange, 100).await;
    assert!(matches!(broken, Err(UpstreamError::Broken(_))));
    let empty = Scene::new("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (body, _) = read_all(empty.exchange, 0).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(body.is_empty());
}

#[test]
fn one_chunk_is_merged_without_a_copy_and_empty_ones_are_nothing() {
    let data = Bytes::from_static(b"data");
    let mut merged = Merged::default();
    for part in [Bytes::new(), data.clone(), Bytes::new()] {
        merged.push(part);
    }
    assert_eq!(merged.len(), 4);
    assert_eq!(merged.take().unwrap().as_ptr(), data.as_ptr());
    let mut merged = Merged::default();
    merged.push(Bytes::new());
    assert!(merged.is_empty());
    assert_eq!(merged.take(), None);
}
