use std::future::poll_fn;
use std::task::Waker;

use http_body::Body;
use qoe_core::flight::timings::Outcome;
use tokio::io::DuplexStream;
use tokio::time::advance;

use self::sse::{data_of, error_of};
use super::*;
use crate::ticket::fake::OneRoute;
use crate::upstream::fake::{self, CHUNKED, EVENTS_UNTIL_CLOSE, Peer, Wakes};

mod ends;
mod sse;

const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const ABORT: &str =
    "data: {\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"abort\"}]}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"engine died\",\"code\":500}}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":2000,\"completion_tokens\":7}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const LAST_CHUNK: &str = "0\r\n\r\n";

/// A relay that is polled by hand, between an endpoint and a client.
struct Scene {
    router: OneRoute,
    peer: Peer,
    relay: Option<Relay<DuplexStream>>,
    pool: Rc<Pool<DuplexStream>>,
    wakes: Arc<Wakes>,
    waker: Waker,
    /// What the client has got.
    client: Vec<u8>,
}

impl Scene {
    /// A stream of tokens in chunks.
    async fn stream() -> Self {
        Self::new(CHUNKED, None, Tap::events(true)).await
    }

    async fn new(said: &str, first: Option<&'static str>, tap: Tap) -> Self {
        let router = OneRoute::new();
        let (exchange, peer) = fake::exchange(said).await;
        let pool = Rc::<Pool<DuplexStream>>::default();
        let (ticket, endpoint) = (router.answered(), Arc::clone(router.endpoint()));
        let first = first.map(|first| Bytes::from_static(first.as_bytes()));
        let relay = Relay::new(exchange, first, tap, ticket, endpoint, Rc::clone(&pool));
        let (wakes, waker) = Wakes::counted();
        Self { router, peer, relay: Some(relay), pool, wakes, waker, client: Vec::new() }
    }

    fn relay(&mut self) -> &mut Relay<DuplexStream> {
        self.relay.as_mut().expect("the client has not left")
    }

    fn poll(&mut self) -> Poll<Option<Result<Bytes, RelayError>>> {
        let waker = self.waker.clone();
        self.relay().poll_chunk(&mut Context::from_waker(&waker))
    }

    /// The client takes all that is ready. Returns how that ended: `Pending`, an end or an error.
    fn take(&mut self) -> Poll<Result<(), RelayError>> {
        loop {
            match self.poll() {
                Poll::Ready(Some(Ok(chunk))) => self.client.extend_from_slice(&chunk),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// How the only request ended, by its record.
    fn ended(&self) -> (Outcome, Option<&'static str>) {
        let record = self.router.record();
        (record.outcome, record.failure)
    }

    fn pooled(&self) -> bool {
        self.pool.take(&self.router.endpoint().authority).is_some()
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_pass_as_they_come_and_the_ticket_settles_at_the_end() {
    let mut scene = Scene::stream().await;
    assert!(scene.take().is_pending());
    for (token, so_far) in [(TOKEN, 1), (TOKEN, 2), (DONE, 3)] {
        scene.peer.say_chunk(token).await;
        assert_eq!(scene.wakes.take(), 1);
        assert!(scene.take().is_pending());
        assert_eq!(data_of(&scene.client).len(), so_far);
        assert!(scene.router.records().is_empty(), "not at its end yet");
    }
    scene.peer.say(LAST_CHUNK).await;
    assert_eq!(scene.take(), Poll::Ready(Ok(())));
    assert_eq!(scene.client, [TOKEN, TOKEN, DONE].concat().as_bytes());
    assert_eq!(scene.ended(), (Outcome::Success, None));
    assert_eq!(scene.router.record().timings.tokens, 2);
    assert!(scene.relay().is_end_stream());
    assert_eq!(scene.take(), Poll::Ready(Ok(())), "polled after its end");
    assert!(scene.pooled());
}

#[tokio::test(start_paused = true)]
async fn an_end_that_comes_with_the_last_chunk_is_told_at_once() {
    let mut scene = Scene::stream().await;
    scene.peer.say(fake::chunk(TOKEN) + &fake::chunk(DONE) + LAST_CHUNK).await;
    let Poll::Ready(Some(Ok(all))) = scene.poll() else { panic!("all of it") };
    assert_eq!(all, [TOKEN, DONE].concat());
    assert!(scene.relay().is_end_stream(), "hyper needs no further poll");
    assert_eq!(scene.ended(), (Outcome::Success, None));
}

#[tokio::test(start_paused = true)]
async fn bytes_that_were_read_before_the_head_went_on_come_first() {
    let first = Some(concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"first\"}}]}\n\n",
        "data: {\"choi"
    ));
    let mut scene = Scene::new(CHUNKED, first, Tap::events(true)).await;
    assert_eq!(scene.relay().size_hint().exact(), None);
    assert!(scene.take().is_pending());
    assert_eq!(data_of(&scene.client).len(), 1, "and a begun line is held back");
    scene.peer.say_chunk("ces\":[{\"delta\":{\"content\":\"b\"}}]}\n\n").await;
    scene.peer.say(fake::chunk(DONE) + LAST_CHUNK).await;
    assert_eq!(scene.take(), Poll::Ready(Ok(())));
    assert_eq!(data_of(&scene.client).len(), 3);
    assert_eq!(scene.router.record().timings.tokens, 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_had_ended_before_its_head_went_on_is_settled() {
    let said = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let mut scene = Scene::new(said, Some("ok"), Tap::Nothing).await;
    assert_eq!(scene.ended(), (Outcome::Success, None));
    assert!(scene.pooled());
    assert_eq!(scene.relay().size_hint().exact(), Some(2));
    assert!(!scene.relay().is_end_stream());
    assert_eq!(scene.take(), Poll::Ready(Ok(())));
    assert_eq!(scene.client, b"ok");
    assert_eq!(scene.relay().size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_grow_beyond_what_its_endpoint_says_and_another_answer_may_not() {
    let sized = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    let mut stream = Scene::new(sized, None, Tap::events(true)).await;
    assert_eq!(stream.relay().size_hint().exact(), None);
    let mut whole = Scene::new(sized, None, Tap::whole()).await;
    assert_eq!(whole.relay().size_hint().exact(), Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_the_same_wherever_its_chunks_are_cut() {
    let stream = [ROLE, ": ping\n\n", TOKEN, TOKEN, USAGE, DONE].concat();
    for cut in 1..stream.len() {
        let mut scene = Scene::stream().await;
        for part in [&stream[..cut], &stream[cut..]] {
            scene.peer.say_chunk(part).await;
            assert!(scene.take().is_pending());
            assert!(matches!(scene.client.last(), None | Some(b'\n')), "cut at {cut}");
        }
        scene.peer.say(LAST_CHUNK).await;
        assert_eq!(scene.take(), Poll::Ready(Ok(())));
        assert_eq!(scene.client, stream.as_bytes(), "cut at {cut}");
        assert_eq!(scene.ended(), (Outcome::Success, None));
        assert_eq!(scene.router.record().timings.tokens, 7, "as its usage says");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wake_without_a_line_leaves_the_next_wake_alive() {
    let mut scene = Scene::stream().await;
    assert!(scene.take().is_pending());
    let (half, rest) = TOKEN.split_at(9);
    scene.peer.say_chunk(half).await;
    assert_eq!(scene.wakes.take(), 1);
    assert!(scene.take().is_pending());
    assert!(scene.client.is_empty());
    scene.peer.say_chunk(rest).await;
    assert_eq!(scene.wakes.take(), 1);
    assert!(scene.take().is_pending());
    assert_eq!(scene.client, TOKEN.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn silence_breaks_a_stream_off_counted_from_the_last_bytes() {
    let mut scene = Scene::stream().await;
    let idle = scene.router.route.timeouts.idle;
    let moment = Duration::from_millis(1);
    assert!(scene.take().is_pending());
    for _ in 0..3 {
        advance(idle - moment).await;
        scene.peer.say_chunk(TOKEN).await;
        assert!(scene.take().is_pending(), "it spoke in time");
    }
    advance(idle - moment).await;
    assert!(scene.take().is_pending(), "a moment is left");
    scene.wakes.take();
    advance(2 * moment).await;
    assert_eq!(scene.wakes.take(), 1, "the alarm rings");
    assert_eq!(scene.take(), Poll::Ready(Ok(())));
    assert_eq!(data_of(&scene.client).len(), 4);
    assert_eq!(error_of(&scene.client)["error"]["code"], 502);
    assert_eq!(scene.ended(), (Outcome::Failure, Some("idle")));
    assert!(scene.peer.is_closed().await, "the endpoint may stop");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_came_before_the_alarm_was_heard_count() {
    let mut scene = Scene::stream().await;
    let idle = scene.router.route.timeouts.idle;
    assert!(scene.take().is_pending());
    scene.peer.say_chunk(TOKEN).await;
    // The task was busy elsewhere: it is polled when both the bytes and the alarm are ready.
    advance(2 * idle).await;
    assert!(scene.take().is_pending(), "it did speak");
    assert_eq!(scene.client, TOKEN.as_bytes());
    advance(idle).await;
    assert_eq!(scene.take(), Poll::Ready(Ok(())));
    assert_eq!(scene.ended(), (Outcome::Failure, Some("idle")));
    assert_eq!(scene.take(), Poll::Ready(Ok(())), "polled after its end");
}

#[tokio::test(start_paused = true)]
async fn the_alarm_is_moved_only_when_it_rings() {
    let mut scene = Scene::stream().await;
    let idle = scene.router.route.timeouts.idle;
    let set = scene.relay().alarm.deadline();
    for _ in 0..4 {
        advance(idle / 5).await;
        scene.peer.say_chunk(TOKEN).await;
        assert!(scene.take().is_pending());
        assert_eq!(scene.relay().alarm.deadline(), set);
    }
    advance(idle / 4).await;
    assert!(scene.take().is_pending(), "it rang in vain");
    let heard = scene.relay().heard;
    assert_eq!(scene.relay().alarm.deadline(), heard + idle);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_passes_unread_and_its_usage_counts() {
    let body = r#"{"choices":[],"usage":{"prompt_tokens":2000,"completion_tokens":9}}"#;
    let said = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    for cut in [0, 1, body.len() - 1] {
        let mut scene = Scene::new(&said, None, Tap::whole()).await;
        for part in [&body[..cut], &body[cut..]] {
            scene.peer.say(part).await;
            let _ = scene.take();
        }
        assert_eq!(scene.take(), Poll::Ready(Ok(())));
        assert_eq!(scene.client, body.as_bytes());
        assert_eq!(scene.router.record().timings.tokens, 9);
        assert!(scene.pooled());
    }
}

#[tokio::test(start_paused = true)]
async fn as_a_body_it_hands_out_frames_and_an_end() {
    use crate::answer::reply::Reply;

    let mut full = Reply::full(Bytes::from_static(b"body"));
    assert_eq!((full.size_hint().exact(), full.is_end_stream()), (Some(4), false));
    let frame = poll_fn(|cx| Pin::new(&mut full).poll_frame(cx)).await.expect("a frame");
    assert_eq!(frame.expect("no error").into_data().expect("data"), "body");
    assert_eq!((full.size_hint().exact(), full.is_end_stream()), (Some(0), true));
    assert!(poll_fn(|cx| Pin::new(&mut full).poll_frame(cx)).await.is_none());
    for empty in [Reply::empty(), Reply::full(Bytes::new())] {
        assert_eq!((empty.size_hint().exact(), empty.is_end_stream()), (Some(0), true));
    }
}
