//! The ends of answers: clean ones, and all others.

use super::*;

/// What a client got of a stream that is cut at `cut` and ends after its second part.
async fn cut_stream(stream: &str, cut: usize) -> Scene {
    let mut scene = Scene::new(EVENTS_UNTIL_CLOSE, None, Tap::events(true)).await;
    let (one, two) = stream.split_at(cut);
    scene.peer.say(one).await;
    let _ = scene.take();
    if scene.router.records().is_empty() {
        scene.peer.say(two).await;
        scene.peer.close().await;
    }
    assert_eq!(scene.take(), Poll::Ready(Ok(())), "a stream never ends with a broken connection");
    scene
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_an_error_of_its_own_after_all_good_events_wherever_it_is_cut() {
    let stream = [TOKEN, TOKEN, ABORT, DONE].concat();
    for cut in 0..=stream.len() {
        let scene = cut_stream(&stream, cut).await;
        let error = error_of(&scene.client);
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.contains("aborted the request"), "cut at {cut}: {message}");
        assert_eq!(data_of(&scene.client).len(), 3, "two tokens and the error; cut at {cut}");
        assert_eq!(scene.ended(), (Outcome::Failure, Some("aborted")), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_early_has_an_error_of_its_own_wherever_it_ends() {
    let stream = [TOKEN, "event: x\n", TOKEN, "data: [DONE]"].concat();
    for end in 0..=stream.len() {
        let scene = cut_stream(&stream[..end], end / 2).await;
        let error = error_of(&scene.client);
        assert_eq!(
            (&error["error"]["code"], &error["error"]["route"]),
            (&502.into(), &"main".into())
        );
        let whole = stream[..end].matches("]}\n").count();
        assert_eq!(data_of(&scene.client).len(), whole + 1, "ended at {end}");
        assert_eq!(scene.ended(), (Outcome::Failure, Some("ended_early")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_an_error_event_wherever_it_breaks() {
    let sent = fake::chunk(TOKEN) + &fake::chunk(TOKEN);
    for cut in 0..=sent.len() {
        let mut scene = Scene::stream().await;
        scene.peer.say(&sent[..cut]).await;
        scene.peer.close().await;
        assert_eq!(scene.take(), Poll::Ready(Ok(())), "cut at {cut}");
        drop(error_of(&scene.client));
        assert_eq!(scene.ended(), (Outcome::Failure, Some("broken")));
        assert!(!scene.pooled());
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_too_long_to_hold_is_closed_before_the_error() {
    let mut scene = Scene::new(EVENTS_UNTIL_CLOSE, None, Tap::events(true)).await;
    scene.peer.say(TOKEN).await;
    scene.peer.say(format!("data: {}", "x".repeat(200_000))).await;
    assert!(scene.take().is_pending());
    assert!(scene.client.len() > 100_000, "it goes on in parts");
    scene.peer.close().await;
    assert_eq!(scene.take(), Poll::Ready(Ok(())));
    let events = data_of(&scene.client);
    let last: serde_json::Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!((&last["error"]["code"], events.len()), (&502.into(), 3));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_broke_after_its_last_event_is_whole() {
    for last in [DONE, "data: [DONE]\n"] {
        let mut scene = Scene::stream().await;
        scene.peer.say_chunk(TOKEN).await;
        scene.peer.say_chunk(last).await;
        scene.peer.close().await;
        assert_eq!(scene.take(), Poll::Ready(Ok(())));
        assert_eq!(scene.client, [TOKEN, last].concat().as_bytes());
        assert_eq!(scene.ended(), (Outcome::Success, None));
        assert!(!scene.pooled());
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoints_own_error_event_is_the_only_one() {
    for rest in ["", DONE] {
        let stream = [TOKEN, ERROR, rest].concat();
        let scene = cut_stream(&stream, 30).await;
        assert_eq!(scene.client, stream.as_bytes());
        assert_eq!(scene.ended(), (Outcome::Failure, Some("error_event")));
    }
}

#[tokio::test(start_paused = true)]
async fn other_streams_end_as_they_like() {
    let mut scene = Scene::new(EVENTS_UNTIL_CLOSE, None, Tap::events(false)).await;
    scene.peer.say("data: a\n\ndata: half").await;
    assert!(scene.take().is_pending());
    scene.peer.close().await;
    assert_eq!(scene.take(), Poll::Ready(Ok(())));
    assert_eq!(scene.client, b"data: a\n\ndata: half", "also without a last line feed");
    assert_eq!(scene.ended(), (Outcome::Success, None));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_stream_breaks_with_its_connection() {
    for (said, tap) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhel", Tap::whole()),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n", Tap::Nothing),
    ] {
        let mut scene = Scene::new(said, None, tap).await;
        scene.peer.close().await;
        assert_eq!(scene.take(), Poll::Ready(Err(RelayError::Broken)));
        assert_eq!(scene.client, b"hel");
        assert_eq!(scene.take(), Poll::Ready(Ok(())), "polled after the error");
        assert!(scene.relay().is_end_stream());
        assert_eq!(scene.ended(), (Outcome::Failure, Some("broken")));
    }
}

#[tokio::test(start_paused = true)]
async fn usage_counts_wherever_it_comes() {
    for (stream, breaks) in [
        ([TOKEN, USAGE, DONE].concat(), false),
        ([TOKEN, USAGE, DONE].concat(), true),
        ([TOKEN, DONE, USAGE].concat(), false),
        ([TOKEN, DONE, USAGE].concat(), true),
    ] {
        let mut scene = Scene::stream().await;
        let before = scene.router.route.state.tokens_of(1000);
        scene.peer.say_chunk(&stream).await;
        match breaks {
            true => scene.peer.close().await,
            false => scene.peer.say(LAST_CHUNK).await,
        }
        assert_eq!(scene.take(), Poll::Ready(Ok(())));
        assert_eq!(scene.ended(), (Outcome::Success, None));
        assert_eq!(scene.router.record().timings.tokens, 7, "{stream} {breaks}");
        let after = scene.router.route.state.tokens_of(1000);
        assert!(after > before, "2000 tokens in 4000 bytes are more than was expected");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_has_left_and_its_endpoint_may_stop() {
    let mut scene = Scene::stream().await;
    scene.peer.say_chunk(TOKEN).await;
    assert!(scene.take().is_pending());
    drop(scene.relay.take());
    assert_eq!(scene.ended(), (Outcome::ClientGone, None));
    assert!(scene.peer.is_closed().await);
    assert!(!scene.pooled());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_after_the_last_event_has_been_served() {
    let mut scene = Scene::stream().await;
    scene.peer.say(fake::chunk(TOKEN) + &fake::chunk(USAGE) + &fake::chunk(DONE)).await;
    assert!(scene.take().is_pending(), "the endpoint has not ended the answer");
    drop(scene.relay.take());
    assert_eq!(scene.ended(), (Outcome::Success, None));
    assert_eq!(scene.router.record().timings.tokens, 7);
    assert!(!scene.pooled(), "the connection is not clean");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_drains_deadline_cuts_is_a_failure_unless_it_was_complete() {
    for (said, ended) in [
        (&TOKEN[..TOKEN.len() / 2], (Outcome::Failure, Some("drain_deadline"))),
        (TOKEN, (Outcome::Failure, Some("drain_deadline"))),
        (DONE, (Outcome::Success, None)),
    ] {
        let mut scene = Scene::stream().await;
        scene.peer.say_chunk(said).await;
        assert!(scene.take().is_pending());
        if let Some(last) = scene.relay().cut() {
            scene.client.extend_from_slice(&last.expect("a stream ends with an event"));
        }
        assert_eq!(scene.ended(), ended);
        assert_eq!(scene.take(), Poll::Ready(Ok(())));
        match ended.0 {
            Outcome::Success => assert_eq!(scene.client, DONE.as_bytes()),
            _ => drop(error_of(&scene.client)),
        }
        assert!(scene.peer.is_closed().await);
    }
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhel";
    let mut scene = Scene::new(half, None, Tap::whole()).await;
    assert!(scene.take().is_pending());
    assert!(matches!(scene.relay().cut(), Some(Err(RelayError::DrainDeadline))));
    assert_eq!(scene.ended(), (Outcome::Failure, Some("drain_deadline")));
}
