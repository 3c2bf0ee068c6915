use super::check::Check;
use super::*;
use tokio::net::TcpListener;

use crate::backend::{self, Mode};
use crate::client::Sink as _;

async fn load(workload: RelayWorkload, window: u64) -> Load {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(backend::serve(vec![listener], Mode::Unary));
    Load { address, workload, window: Duration::from_millis(window) }
}

#[tokio::test]
async fn every_closed_workload_is_served_whole() {
    for workload in [
        RelayWorkload::Unary,
        RelayWorkload::Burst16,
        RelayWorkload::Burst256,
        RelayWorkload::LongPrompt,
    ] {
        let window = load(workload, 30).await.closed(Duration::from_millis(30)).await;
        assert!(window.units > 0 && window.failed == 0, "{}: {window:?}", workload.name());
        assert_eq!(window.latencies.len() as u64, window.units);
    }
}

#[tokio::test(start_paused = true)]
async fn steady_arrivals_come_at_their_rate() {
    let window = load(RelayWorkload::Steady, 5_000).await.steady().await;
    assert!((900..1_100).contains(&window.units), "{} requests in five seconds", window.units);
    assert_eq!((window.failed, window.lateness.len() as u64), (0, window.units));
}

#[tokio::test(start_paused = true)]
async fn paced_streams_are_counted_by_token() {
    let window = load(RelayWorkload::Paced, 1_000).await.paced(Usage::default).await;
    let expected = 1_000 / 20 * STREAMS as u64;
    assert!(window.units.abs_diff(expected) <= expected / 20, "{} tokens", window.units);
    assert_eq!(window.failed, 0);
}

#[tokio::test]
async fn answers_that_are_not_whole_are_failures() {
    let mut check = Check::new(true);
    check.status = 200;
    check.data(b"data: {\"content\":\"x\"}\n\ndata: [DONE]\n\n");
    assert!(check.outcome(Some(16)).latency.is_none(), "one token instead of 16");
    let mut check = Check::new(false);
    check.status = 503;
    check.data(&[b'x'; 2_000]);
    assert!(check.outcome(None).latency.is_none(), "an error of the right length");
}
