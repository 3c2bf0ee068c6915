use tokio::time::advance;

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn registry() -> Registry {
    Registry::new(Instant::now())
}

/// A router that is called `name` connects.
fn join(registry: &Registry, connection: u64, name: &str) {
    let hello = Hello { router: name.to_owned(), release: "1.2.3".to_owned(), routes: Vec::new() };
    registry.joined(connection, &hello);
}

fn programmed(connected: u32, programmed: u32) -> Programmed {
    Programmed { connected, programmed, refused: None }
}

fn prefill(unread_tokens: f64, tokens_per_second: f64) -> PrefillLoad {
    PrefillLoad { unread_tokens, tokens_per_second, ..PrefillLoad::default() }
}

fn decoding(kv_use: f64, kv_endpoints: u32) -> DecodingLoad {
    DecodingLoad { kv_use, kv_endpoints, ..DecodingLoad::default() }
}

fn report(registry: &Registry, connection: u64, prefill: PrefillLoad, decoding: DecodingLoad) {
    let (prefill, decoding) = (Some(prefill), Some(decoding));
    registry.reported(connection, vec![RouteLoad { route: "llm/r".to_owned(), prefill, decoding }]);
}

fn close(got: Option<f64>, wanted: f64) -> bool {
    got.is_some_and(|got| (got - wanted).abs() < 1e-9)
}

#[tokio::test(start_paused = true)]
async fn a_state_is_programmed_where_it_was_answered_by_its_nonce() {
    let registry = registry();
    assert_eq!(registry.programmed("llm/r", 7), programmed(0, 0));
    join(&registry, 1, "a");
    join(&registry, 2, "b");
    advance(ANSWERS_WITHIN).await;
    assert_eq!(registry.programmed("llm/r", 7), programmed(2, 0));
    registry.answered(1, "llm/r", 7, Ok(()));
    registry.answered(2, "llm/r", 6, Ok(()));
    assert_eq!(registry.programmed("llm/r", 7), programmed(2, 1));
    assert_eq!(registry.programmed("llm/other", 7), programmed(2, 0));
    registry.answered(2, "llm/r", 7, Err("y".repeat(MAX_REASON + 1)));
    let refused = Some(("b".to_owned(), "y".repeat(MAX_REASON)));
    let wanted = Programmed { connected: 2, programmed: 1, refused };
    assert_eq!(registry.programmed("llm/r", 7), wanted);
    registry.answered(2, "llm/r", 8, Ok(()));
    assert_eq!(registry.programmed("llm/r", 8), programmed(2, 1));
}

#[tokio::test(start_paused = true)]
async fn who_has_just_come_is_not_late() {
    let registry = registry();
    join(&registry, 1, "a");
    registry.answered(1, "llm/r", 7, Ok(()));
    assert_eq!(registry.programmed("llm/r", 7), programmed(1, 1), "it need not be");
    advance(s(60)).await;
    join(&registry, 2, "b");
    assert_eq!(registry.programmed("llm/r", 7), programmed(1, 1));
    advance(ANSWERS_WITHIN).await;
    assert_eq!(registry.programmed("llm/r", 7), programmed(2, 1), "now it is");
}

#[tokio::test(start_paused = true)]
async fn who_has_left_counts_for_a_while_but_nothing_is_expected_of_it() {
    let registry = registry();
    join(&registry, 1, "a");
    advance(ANSWERS_WITHIN).await;
    registry.answered(1, "llm/r", 7, Ok(()));
    registry.left(1);
    registry.forget();
    assert_eq!(registry.programmed("llm/r", 7), programmed(1, 1), "it comes back");
    assert_eq!(registry.programmed("llm/r", 8), programmed(0, 0), "it cannot have heard of it");
    advance(RETURNS_WITHIN).await;
    registry.forget();
    assert_eq!(registry.count(), 1);
    advance(Duration::from_millis(1)).await;
    registry.forget();
    assert_eq!((registry.count(), registry.programmed("llm/r", 7)), (0, programmed(0, 0)));
    join(&registry, 2, "a");
    advance(s(60)).await;
    registry.forget();
    assert_eq!(registry.programmed("llm/r", 7), programmed(1, 0), "it is another one then");
}

#[tokio::test(start_paused = true)]
async fn of_one_routers_connections_the_newest_counts() {
    let registry = registry();
    join(&registry, 1, "a");
    registry.answered(1, "llm/r", 7, Ok(()));
    join(&registry, 2, "a");
    advance(ANSWERS_WITHIN).await;
    assert_eq!(registry.programmed("llm/r", 7), programmed(1, 1), "it goes on from there");
    registry.answered(1, "llm/r", 7, Err("an echo".to_owned()));
    report(&registry, 1, prefill(1.0, 1.0), decoding(0.0, 0));
    registry.left(1);
    advance(s(60)).await;
    registry.forget();
    assert_eq!(registry.programmed("llm/r", 7), programmed(1, 1));
    assert_eq!(registry.seen("llm/r"), None, "no report of the newest");
}

#[tokio::test(start_paused = true)]
async fn nobody_serves_what_was_taken_away() {
    let registry = registry();
    join(&registry, 1, "a");
    advance(ANSWERS_WITHIN).await;
    registry.answered(1, "llm/r", 7, Ok(()));
    registry.answered(1, "llm/r", 0, Ok(()));
    assert_eq!(registry.programmed("llm/r", 7), programmed(1, 0));
    assert_eq!(registry.programmed("llm/r", 0), programmed(1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_routers_see_is_summed_and_what_they_all_see_is_not() {
    let registry = registry();
    assert_eq!(registry.seen("llm/r"), None, "there is nobody");
    join(&registry, 1, "a");
    join(&registry, 2, "b");
    join(&registry, 3, "c");
    let first = PrefillLoad {
        first_tokens: 3,
        ttft_seconds: 0.9,
        prompt_tokens: 3000.0,
        ..prefill(1000.0, 8000.0)
    };
    report(&registry, 1, first, DecodingLoad { gaps: 30, gap_seconds: 0.6, ..decoding(0.9, 2) });
    let second = PrefillLoad {
        first_tokens: 1,
        ttft_seconds: 0.5,
        prompt_tokens: 200.0,
        ..prefill(500.0, 4000.0)
    };
    report(&registry, 2, second, DecodingLoad { gaps: 10, gap_seconds: 1.0, ..decoding(2.1, 3) });
    assert_eq!(registry.seen("llm/r"), None, "one has not told");
    registry.reported(3, Vec::new());
    let PhaseLoads { prefill, decoding } = registry.seen("llm/r").expect("all have told");
    assert!((prefill.unread_tokens - 1500.0).abs() < 1e-9);
    assert!(close(prefill.tokens_per_second, 6000.0), "{prefill:?}");
    assert!(close(prefill.ttft, 1.4 / 4.0) && close(prefill.prompt_tokens, 800.0), "{prefill:?}");
    assert!(close(decoding.kv_use, 0.7), "of who knows the most endpoints: {decoding:?}");
    assert!(close(decoding.itl, 1.6 / 40.0), "{decoding:?}");
    let nothing = registry.seen("llm/other").expect("all have told");
    assert_eq!((nothing.prefill, nothing.decoding), Default::default());
}

#[tokio::test(start_paused = true)]
async fn a_report_that_stays_away_makes_the_sum_unknown() {
    let registry = registry();
    join(&registry, 1, "a");
    join(&registry, 2, "b");
    for connection in [1, 2] {
        report(&registry, connection, prefill(10.0, 1.0), decoding(0.5, 1));
    }
    advance(REPORTED_WITHIN - Duration::from_millis(1)).await;
    report(&registry, 1, prefill(10.0, 1.0), decoding(0.5, 1));
    assert!(registry.seen("llm/r").is_some());
    advance(Duration::from_millis(1)).await;
    assert_eq!(registry.seen("llm/r"), None, "a smaller sum would scale somebody away");
    registry.left(2);
    advance(RETURNS_WITHIN + Duration::from_millis(1)).await;
    registry.forget();
    report(&registry, 1, prefill(10.0, 1.0), decoding(0.5, 1));
    let seen = registry.seen("llm/r").expect("a router that is gone for good is not waited for");
    assert!((seen.prefill.unread_tokens - 10.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn means_follow_the_last_half_minute_and_are_unknown_when_little_was_seen() {
    let registry = registry();
    join(&registry, 1, "a");
    let ttft = |first_tokens: u64, each: f64| PrefillLoad {
        first_tokens,
        #[expect(clippy::cast_precision_loss, reason = "a few")]
        ttft_seconds: first_tokens as f64 * each,
        ..prefill(0.0, 0.0)
    };
    let seen = || registry.seen("llm/r").expect("it has told").prefill.ttft;
    report(&registry, 1, ttft(100, 2.0), decoding(0.0, 0));
    assert!(close(seen(), 2.0));
    advance(SUMMED_OVER).await;
    report(&registry, 1, ttft(100, 0.2), decoding(0.0, 0));
    let mixed = seen().expect("known");
    assert!(mixed > 0.2 && mixed < 1.0, "the old ones count 1/e: {mixed}");
    advance(SUMMED_OVER * 10).await;
    report(&registry, 1, ttft(0, 0.0), decoding(0.0, 0));
    assert_eq!(seen(), None);
}

#[tokio::test(start_paused = true)]
async fn numbers_that_are_none_count_nothing() {
    let registry = registry();
    join(&registry, 1, "a");
    for odd in [f64::NAN, f64::INFINITY, -5.0] {
        let odd_prefill = PrefillLoad {
            first_tokens: 2,
            ttft_seconds: odd,
            prompt_tokens: odd,
            ..prefill(odd, odd)
        };
        let odd_decoding = DecodingLoad { gaps: 2, gap_seconds: odd, ..decoding(odd, 2) };
        report(&registry, 1, odd_prefill, odd_decoding);
        let PhaseLoads { prefill, decoding } = registry.seen("llm/r").expect("it has told");
        assert_eq!((prefill.unread_tokens, prefill.tokens_per_second), (0.0, None), "{odd}");
        assert_eq!((prefill.ttft, prefill.prompt_tokens), (Some(0.0), Some(0.0)), "{odd}");
        assert_eq!((decoding.kv_use, decoding.itl), (Some(0.0), Some(0.0)), "{odd}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_a_router_no_longer_tells_of_is_not_in_the_sum() {
    let registry = registry();
    join(&registry, 1, "a");
    report(&registry, 1, prefill(10.0, 1.0), decoding(0.5, 1));
    registry.reported(1, Vec::new());
    assert_eq!(registry.seen("llm/r").expect("it has told").prefill, PrefillSeen::default());
}

#[tokio::test(start_paused = true)]
async fn the_page_shows_who_serves_by_what() {
    let registry = registry();
    join(&registry, 1, "a");
    registry.answered(1, "llm/r", 7, Err("no".to_owned()));
    advance(s(2)).await;
    let wanted = json!([{
        "name": "a",
        "release": "1.2.3",
        "leftSecondsAgo": null,
        "reportedSecondsAgo": null,
        "answers": {"llm/r": {"nonce": 7, "refused": "no"}},
    }]);
    assert_eq!(registry.page(), wanted);
}
