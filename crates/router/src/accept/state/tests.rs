use std::task::Wake;

use tokio::time::advance;

use super::*;

const LIMITS: Limits = Limits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };
const SECOND: Duration = Duration::from_secs(1);

fn connection(protocol: Protocol) -> Rc<ConnectionState> {
    let state = Rc::new(ConnectionState::opened());
    state.speaks(protocol);
    state
}

/// What a look now orders, without a drain.
fn order(state: &ConnectionState) -> Order {
    state.judged(LIMITS, Lifecycle::Serving, None)
}

/// Looks every second, as the sweep does; how many seconds it takes to another order than to serve, and which.
async fn ordered_after(state: &ConnectionState) -> (u64, Order) {
    for seconds in 0..1000 {
        match order(state) {
            Order::Serve => advance(SECOND).await,
            order => return (seconds, order),
        }
    }
    (u64::MAX, Order::Serve)
}

/// Bytes came.
fn receive(state: &ConnectionState) {
    state.received().store(true, Ordering::Relaxed);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_cut_after_the_idle_limit() {
    assert_eq!(ordered_after(&ConnectionState::opened()).await, (75, Order::Cut));
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_has_the_time_of_a_head() {
    let state = ConnectionState::opened();
    advance(SECOND * 60).await;
    state.head_begun();
    advance(SECOND * 4).await;
    state.head_begun();
    assert_eq!(ordered_after(&state).await, (6, Order::Cut), "from its first byte");
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_head_is_cut_however_often_bytes_come() {
    let state = connection(Protocol::Http1);
    for _ in 0..9 {
        receive(&state);
        advance(SECOND).await;
        assert_eq!(order(&state), Order::Serve);
    }
    receive(&state);
    assert_eq!(ordered_after(&state).await, (1, Order::Cut));
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_on_a_kept_connection_is_cut_by_the_same_limit() {
    let state = connection(Protocol::Http1);
    drop(state.serving());
    advance(SECOND * 70).await;
    assert_eq!(order(&state), Order::Serve);
    receive(&state);
    assert_eq!(ordered_after(&state).await, (10, Order::Cut));
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_is_closed_after_the_idle_limit_from_the_end_of_its_last_answer() {
    let state = connection(Protocol::Http1);
    let request = state.serving();
    receive(&state); // Its body.
    advance(SECOND * 1000).await;
    assert_eq!(order(&state), Order::Serve, "an answer may take its time");
    drop(request);
    assert_eq!(ordered_after(&state).await, (75, Order::Close));
}

#[tokio::test(start_paused = true)]
async fn http2_is_busy_with_any_of_its_streams_and_not_with_pings() {
    let state = connection(Protocol::Http2);
    let (one, two) = (state.serving(), state.serving());
    drop(one);
    advance(SECOND * 1000).await;
    assert_eq!(order(&state), Order::Serve);
    drop(two);
    for _ in 0..74 {
        receive(&state);
        advance(SECOND).await;
        assert_eq!(order(&state), Order::Serve);
    }
    receive(&state);
    assert_eq!(ordered_after(&state).await, (1, Order::Close));
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_each_connection_by_what_it_is_doing() {
    let look =
        |state: &ConnectionState, began| state.judged(LIMITS, Lifecycle::Draining, Some(began));
    let silent = ConnectionState::opened();
    let (kept, head) = (connection(Protocol::Http1), connection(Protocol::Http1));
    let (idle_h2, busy_h2) = (connection(Protocol::Http2), connection(Protocol::Http2));
    let busy = connection(Protocol::Http1);
    let requests = (busy.serving(), busy_h2.serving());
    drop(kept.serving());
    advance(SECOND * 5).await;
    let began = Instant::now();
    assert_eq!(look(&silent, began), Order::Serve, "its first request may be on its way");
    assert_eq!((look(&idle_h2, began), look(&busy_h2, began)), (Order::Close, Order::Close));
    assert_eq!(look(&busy, began), Order::Serve, "its answer ends first");
    assert_eq!(look(&head, began), Order::Serve, "and its request is served");
    assert_eq!(look(&kept, began), Order::Serve, "its client may not know yet");
    advance(LINGER).await;
    assert_eq!((look(&kept, began), look(&silent, began)), (Order::Close, Order::Cut));
    drop(requests);
    assert_eq!(look(&busy, began), Order::Serve, "its client may go on");
    advance(LINGER).await;
    assert_eq!(look(&busy, began), Order::Close);
    advance(SECOND * 10).await;
    assert_eq!(look(&head, began), Order::Cut);
}

#[tokio::test(start_paused = true)]
async fn after_the_deadline_nothing_goes_on() {
    let look = |state: &ConnectionState| state.judged(LIMITS, Lifecycle::Closing, None);
    assert_eq!(look(&ConnectionState::opened()), Order::Cut);
    assert_eq!(look(&connection(Protocol::Http1)), Order::Cut, "half a head");
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let state = connection(protocol);
        let request = state.serving();
        assert_eq!(look(&state), Order::Close, "its answer is ended by an event");
        drop(request);
        assert_eq!(look(&state), Order::Close, "which may still have to be written out");
    }
}

#[derive(Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_task_is_woken_once_for_each_new_order_and_for_nothing_else() {
    let state = connection(Protocol::Http1);
    drop(state.serving());
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    let woken = || wakes.0.load(Ordering::Relaxed);
    let cx = Context::from_waker(&waker);
    assert_eq!(state.order(&cx), Order::Serve);
    state.look(LIMITS, Lifecycle::Serving, None);
    assert_eq!(woken(), 0);
    advance(LIMITS.idle).await;
    state.look(LIMITS, Lifecycle::Serving, None);
    assert_eq!((woken(), state.order(&cx)), (1, Order::Close));
    state.look(LIMITS, Lifecycle::Serving, None);
    assert_eq!(woken(), 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_overtake_the_order_to_close_are_served() {
    let cx = Context::from_waker(Waker::noop());
    let state = connection(Protocol::Http1);
    drop(state.serving());
    advance(LIMITS.idle).await;
    state.look(LIMITS, Lifecycle::Serving, None);
    receive(&state);
    assert_eq!(state.order(&cx), Order::Serve);
    state.look(LIMITS, Lifecycle::Serving, None);
    assert_eq!(state.order(&cx), Order::Serve, "the next look sees a head");
    assert_eq!(ordered_after(&state).await, (10, Order::Cut));
}
