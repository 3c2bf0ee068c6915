use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use super::*;
use crate::upstream::fake::{self, EVENTS_UNTIL_CLOSE, Wakes};

const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
const ROLE: &str =
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const COMMENT: &str = ": ping\n\n";
const ABORT: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"abort\"}]}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"engine died\",\"code\":500}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// What the first bytes are of an answer that comes in these pieces, each after the one before was read, and then, if
/// it `closes`, ends. `None`: more is waited for.
async fn first(
    generated: bool,
    pieces: &[&str],
    closes: bool,
) -> Option<Result<Option<String>, &'static str>> {
    let (mut exchange, peer) = fake::exchange(EVENTS_UNTIL_CLOSE).await;
    let mut peer = Some(peer);
    let (_, waker) = Wakes::counted();
    let cx = &mut Context::from_waker(&waker);
    let mut reading = pin!(first_bytes(&mut exchange, generated));
    let mut polled = reading.as_mut().poll(cx);
    for piece in pieces {
        if polled.is_ready() {
            break;
        }
        tokio::task::yield_now().await;
        peer.as_mut()?.say(piece).await;
        polled = reading.as_mut().poll(cx);
    }
    if closes && polled.is_pending() {
        drop(peer.take());
        polled = reading.as_mut().poll(cx);
    }
    let Poll::Ready(first) = polled else { return None };
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Some(first.map(|bytes| bytes.map(text)).map_err(|error| error.kind()))
}

#[tokio::test]
async fn a_stream_goes_on_with_its_first_content_and_all_before_it() {
    for pieces in [
        &[TOKEN][..],
        &[ROLE, TOKEN],
        &[COMMENT, ROLE, COMMENT, TOKEN],
        &[&TOKEN[..10], &TOKEN[10..]],
    ] {
        let whole = Some(Ok(Some(pieces.concat())));
        assert_eq!(first(true, pieces, false).await, whole);
        let (last, before) = pieces.split_last().unwrap();
        assert_eq!(first(true, before, false).await, None, "{last} is still to come");
    }
}

#[tokio::test]
async fn pieces_after_the_first_content_are_left_for_later() {
    assert_eq!(first(true, &[TOKEN, TOKEN], false).await, Some(Ok(Some(TOKEN.to_owned()))));
}

#[tokio::test]
async fn an_error_an_abort_or_an_end_before_content_is_no_answer() {
    for (pieces, closes, kind) in [
        (&[ERROR][..], false, "error_event"),
        (&[ROLE, COMMENT, ERROR], false, "error_event"),
        (&[ABORT], false, "aborted"),
        (&[ROLE, ABORT], false, "aborted"),
        (&[], true, "ended_early"),
        (&[ROLE], true, "ended_early"),
        (&[COMMENT], true, "ended_early"),
    ] {
        assert_eq!(first(true, pieces, closes).await, Some(Err(kind)), "{pieces:?}");
    }
    let together = [TOKEN, ABORT].concat();
    assert_eq!(first(true, &[&together], false).await, Some(Err("aborted")), "nothing was sent on");
    let together = [TOKEN, ERROR].concat();
    assert_eq!(first(true, &[&together], false).await, Some(Ok(Some(together))), "content came");
}

#[tokio::test]
async fn a_stream_that_is_complete_without_content_is_an_answer() {
    let pieces = [ROLE, DONE];
    assert_eq!(first(true, &pieces, true).await, Some(Ok(Some(pieces.concat()))));
}

#[tokio::test]
async fn a_stream_without_content_is_held_back_only_for_so_long() {
    let comments = vec![COMMENT; MAX_FIRST_CHUNKS];
    assert_eq!(first(true, &comments[1..], false).await, None);
    assert_eq!(first(true, &comments, false).await, Some(Ok(Some(comments.concat()))));
}

#[tokio::test]
async fn the_first_bytes_of_other_answers_are_whatever_comes_first() {
    for said in [ERROR, ABORT, COMMENT, "{"] {
        assert_eq!(first(false, &[said, TOKEN], false).await, Some(Ok(Some(said.to_owned()))));
    }
    assert_eq!(first(false, &[], true).await, Some(Ok(None)));
    assert_eq!(first(false, &[], false).await, None);
}

#[tokio::test]
async fn a_connection_that_breaks_before_content_is_an_error() {
    let (mut exchange, mut peer) =
        fake::exchange("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    peer.say_chunk(ROLE).await;
    drop(peer);
    let error = first_bytes(&mut exchange, true).await.unwrap_err();
    assert_eq!(error.kind(), "broken");
}
