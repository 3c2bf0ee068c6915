//! The stream of one router: what it was sent, and what it is to be sent next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, stream};
use rand::RngExt;
use tokio::sync::watch;
use tokio::task::consume_budget;
use tokio::time::{Instant, Interval, MissedTickBehavior, sleep_until};
use tonic::{Status, Streaming};

use crate::proto::controller_message::Kind;
use crate::proto::{
    Answer, ControllerMessage, Heartbeat, Hello, Load, Push, Removal, RouterMessage, Synced,
    router_message,
};
use crate::server::world::{Routers, Server, World};

/// Connections so far, over all servers of the process.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// What a router was last sent of a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SentState {
    /// Nothing that it took: it said in its hello that it serves the route, or it refused the last state.
    Nothing,
    /// The state with this nonce.
    State(u64),
    /// The removal of the route.
    Removal,
}

impl SentState {
    /// Whether an answer with this nonce is about what was sent last.
    const fn is_answered_by(self, nonce: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::State(sent) => sent == nonce,
            Self::Removal => nonce == 0,
        }
    }
}

/// One router's stream; dropped, the router has left.
pub(super) struct RouterStream<R: Routers> {
    connection: u64,
    routers: Arc<R>,
    world: watch::Receiver<Option<Arc<World>>>,
    /// The last world that was sent, or is due: what heartbeats confirm.
    caught_up: Arc<World>,
    outage: watch::Receiver<Option<Arc<str>>>,
    incoming: Streaming<RouterMessage>,
    /// The routes of its hello and of the world, and removed ones until it has answered that.
    sent: BTreeMap<Arc<str>, SentState>,
    /// Routes whose last state, or removal, the router refused. They are offered again with each heartbeat: it
    /// may have refused them as older than what it had, before this controller had read on.
    refused: BTreeSet<Arc<str>>,
    due: VecDeque<Kind>,
    synced: bool,
    heartbeat: Interval,
    until: Instant,
}

impl<R: Routers> Drop for RouterStream<R> {
    fn drop(&mut self) {
        self.routers.left(self.connection);
    }
}

impl<R: Routers> RouterStream<R> {
    pub(super) fn open(
        server: Server<R>,
        hello: Hello,
        incoming: Streaming<RouterMessage>,
    ) -> Self {
        let Server { mut world, mut outage, routers, times } = server;
        outage.mark_changed();
        world.mark_changed();
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        routers.joined(connection, &hello);
        let mut heartbeat = tokio::time::interval(times.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sent =
            hello.routes.into_iter().map(|route| (route.into(), SentState::Nothing)).collect();
        Self {
            connection,
            routers,
            world,
            caught_up: Arc::default(),
            outage,
            incoming,
            sent,
            refused: BTreeSet::new(),
            due: VecDeque::new(),
            synced: false,
            heartbeat,
            until: Instant::now() + shortened(times.lifetime),
        }
    }

    /// The messages to the router, until one of the sides ends. An outage ends them with an error.
    pub(super) fn messages(self) -> impl Stream<Item = Result<ControllerMessage, Status>> + Send {
        stream::unfold(Some(self), async |stream| {
            let mut stream = stream?;
            match stream.next().await? {
                Ok(kind) => Some((Ok(ControllerMessage { kind: Some(kind) }), Some(stream))),
                Err(outage) => Some((Err(outage), None)),
            }
        })
    }

    async fn next(&mut self) -> Option<Result<Kind, Status>> {
        loop {
            if let Some(why) = &*self.outage.borrow_and_update() {
                return Some(Err(unavailable(why)));
            }
            if let Some(kind) = self.due.pop_front() {
                return Some(Ok(kind));
            }
            tokio::select! {
                // What the router says comes last: one that speaks without a pause delays nothing, and worlds, 50 ms
                // apart, and heartbeats delay what it says by little.
                biased;
                changed = self.outage.changed() => changed.ok()?,
                changed = self.world.changed() => {
                    changed.ok()?;
                    let world = self.world.borrow_and_update().clone();
                    if let Some(world) = world {
                        self.catch_up(&world);
                    }
                }
                () = sleep_until(self.until) => return None,
                _ = self.heartbeat.tick() => {
                    self.offer_again();
                    let progress = Some(self.caught_up.progress().to_proto());
                    return Some(Ok(Kind::Heartbeat(Heartbeat { progress })));
                }
                message = self.incoming.message() => {
                    self.heard(message.ok()??);
                    // What is buffered is had without a wait, and other tasks and timers would not run.
                    consume_budget().await;
                }
            }
        }
    }

    fn heard(&mut self, message: RouterMessage) {
        match message.kind {
            Some(router_message::Kind::Answer(answer)) => self.answered(answer),
            Some(router_message::Kind::Load(Load { routes })) => {
                self.routers.reported(self.connection, routes);
            }
            // A hello is for the beginning; what is unknown is of a newer release.
            Some(router_message::Kind::Hello(_)) | None => {}
        }
    }

    /// Takes in an answer. One about a route that was never sent to the router is ignored: a router must not make
    /// this process remember names without end.
    fn answered(&mut self, Answer { route, nonce, rejected }: Answer) {
        let Some((name, &sent)) = self.sent.get_key_value(route.as_str()) else { return };
        let (name, is_last) = (Arc::clone(name), sent.is_answered_by(nonce));
        let answer = if rejected.is_empty() { Ok(()) } else { Err(rejected) };
        match &answer {
            // The answer to what was sent last is still to come.
            _ if !is_last => {}
            Ok(()) => {
                self.refused.remove(&name);
                if sent == SentState::Removal {
                    self.sent.remove(&name);
                }
            }
            Err(_) => drop(self.refused.insert(name)),
        }
        self.routers.answered(self.connection, &route, nonce, answer);
    }

    /// Makes due once more what the router has refused.
    fn offer_again(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        if refused.is_empty() {
            return;
        }
        self.sent.extend(refused.into_iter().map(|route| (route, SentState::Nothing)));
        let world = Arc::clone(&self.caught_up);
        self.catch_up(&world);
    }

    /// Makes due what the router does not have of `world`.
    fn catch_up(&mut self, world: &Arc<World>) {
        self.caught_up = Arc::clone(world);
        for (route, state) in &world.routes {
            let now = SentState::State(state.nonce);
            if self.sent.get(route) == Some(&now) {
                continue;
            }
            self.sent.insert(Arc::clone(route), now);
            if let Some(body) = &state.body {
                self.due.push_back(Kind::Push(Push {
                    route: route.to_string(),
                    nonce: state.nonce,
                    version: Some(world.version(route)),
                    body: body.clone(),
                }));
            }
        }
        for (route, sent) in &mut self.sent {
            if *sent == SentState::Removal || world.routes.contains_key(route) {
                continue;
            }
            *sent = SentState::Removal;
            self.due.push_back(Kind::Removal(Removal {
                route: route.to_string(),
                nonce: 0,
                version: Some(world.version(route)),
            }));
        }
        if !std::mem::replace(&mut self.synced, true) {
            let progress = Some(world.progress().to_proto());
            self.due.push_back(Kind::Synced(Synced { progress }));
        }
    }
}

/// The lifetime less a random part, so that streams that began together do not end together.
fn shortened(lifetime: Duration) -> Duration {
    lifetime.mul_f64(rand::rng().random_range(0.67..=1.0))
}

/// Tells a router why it gets no stream.
pub(super) fn unavailable(why: &str) -> Status {
    Status::unavailable(format!("the controller cannot read the cluster: {why}"))
}
