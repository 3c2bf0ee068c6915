//! Waiting for what must come, without guessing how long it takes.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// What has not come by then does not come. Far beyond what any condition takes on a busy machine.
const AT_MOST: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Looks until `reached` is so.
///
/// # Panics
/// It did not come to that; `what` says to what.
pub async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + AT_MOST;
    while !reached().await {
        assert!(Instant::now() < deadline, "it did not come to this: {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// The future's output, which must come.
///
/// # Panics
/// It did not come; `what` says what.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(AT_MOST, future).await {
        Ok(output) => output,
        Err(_) => panic!("it did not come: {what}"),
    }
}
