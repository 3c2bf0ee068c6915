//! Waiting for what must come, without guessing how long it takes.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// What has not come by then does not come. Far beyond what any condition takes on a busy machine.
const AT_MOST: Duration = Duration::from_secs(60);
/// Between two looks: the API server is asked, and it has other things to do.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until `reached` is so.
///
/// # Panics
/// It did not come to that; `what` says to what.
pub async fn until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    comes_to(what, true, async || reached().await).await;
}

/// Looks until what is seen is what is `wanted`.
///
/// # Panics
/// It did not come to that.
pub async fn comes_to<T, W>(what: &str, wanted: W, mut look: impl AsyncFnMut() -> T)
where
    T: PartialEq<W> + Debug,
    W: Debug,
{
    let deadline = Instant::now() + AT_MOST;
    loop {
        let seen = look().await;
        if seen == wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "it did not come to this: {what}\n wanted: {wanted:?}\n   seen: {seen:?}"
        );
        sleep(LOOK_EVERY).await;
    }
}
