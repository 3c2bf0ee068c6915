//! Admission: when a request may begin. One for which no endpoint has room waits for its turn.

use std::sync::Arc;

use qoe_core::admit::ask::Ask;
use qoe_core::admit::room::OnUnattainable;
use qoe_core::admit::shedding::{Refusal, Shedding};
use qoe_core::admit::step::{Arrival, Outlook, Verdict, arrive};
use qoe_core::plan::choice::Choice;
use qoe_core::speed::work::PromptWork;

use crate::execute::attempts::Attempts;
use crate::failure::Failure;
use crate::queue::place::{QueuePlace, Standing};

/// What came of a try to begin.
enum Begun {
    /// The endpoints of this plan are held.
    Now(Choice),
    /// There is no room.
    NoRoom,
    /// Others go first, whose promise can be kept.
    Late,
}

impl Attempts<'_> {
    /// The plan to begin with, whose endpoints are held: at once where there is room, else when it is its turn.
    pub(super) async fn admitted(&mut self) -> Result<Choice, Failure> {
        let state = Arc::clone(&self.ticket.route().state);
        let now = self.ticket.now();
        state.memory.arrivals.note(self.ticket.asked().analysis.priority, now);
        let attainable = || self.ask(self.uncached()).attainable(now);
        match arrive(self.rule(), state.admission.is_empty(), attainable) {
            Arrival::Refuse(why) => return Err(self.shed(state.admission.refusal(why, now))),
            Arrival::MayBegin => {
                if let Begun::Now(choice) = self.begin(None)? {
                    return Ok(choice);
                }
            }
            Arrival::Queue => {}
        }
        let clock = self.worker.shared.clock;
        let uncached = self.uncached();
        let place =
            QueuePlace::enter(&state.admission, clock, self.ask(uncached), tokens(uncached))
                .map_err(|refusal| self.shed(refusal))?;
        self.ticket.queued();
        let admitted = self.in_turn(&place).await;
        self.ticket.left_queue();
        admitted
    }

    /// Waits until it is its turn and there is room.
    async fn in_turn(&mut self, place: &QueuePlace) -> Result<Choice, Failure> {
        let mut standing = place.entered();
        loop {
            match standing {
                Standing::Refused(refusal) => return Err(self.shed(refusal)),
                Standing::Behind => place.wait(standing).await,
                Standing::First => match self.begin(Some(place))? {
                    Begun::Now(choice) => return Ok(choice),
                    Begun::Late => {}
                    Begun::NoRoom => place.wait(standing).await,
                },
            }
            standing = place.look(self.rule());
        }
    }

    /// Begins, if there is room: the endpoints of the plan are held from now on.
    fn begin(&mut self, place: Option<&QueuePlace>) -> Result<Begun, Failure> {
        let state = Arc::clone(&self.ticket.route().state);
        // The next one plans only once the endpoints of this one are held, so that it sees the room that is left.
        let _turn = place.map(|_| state.admission.turn());
        if place.is_some() {
            // It may have waited for long: endpoints have come and gone.
            self.ticket.follow(&self.worker.shared.snapshot.load());
        }
        if !self.ticket.enter() {
            return Ok(Begun::NoRoom);
        }
        let choice = self.plan();
        let not_yet = match self.step(choice.as_ref(), place) {
            Verdict::Go => return self.go(choice),
            Verdict::Wait => Begun::NoRoom,
            Verdict::Late => Begun::Late,
        };
        self.ticket.step_back();
        Ok(not_yet)
    }

    /// What admission says of the best plan.
    fn step(&self, choice: Option<&Choice>, place: Option<&QueuePlace>) -> Verdict {
        let route = self.ticket.route();
        let analysis = &self.ticket.asked().analysis;
        let outlook = Outlook {
            choice,
            pool: &route.pool,
            target: route.target(analysis),
            arrivals: &route.state.memory.arrivals,
            now: self.ticket.now(),
        };
        place.map_or_else(|| outlook.at_once(analysis.priority), |place| place.step(&outlook))
    }

    fn go(&mut self, choice: Option<Choice>) -> Result<Begun, Failure> {
        let choice = choice.ok_or_else(|| self.no_endpoint())?;
        let priority = self.ticket.asked().analysis.priority;
        let waited = self.ticket.queued_for().as_secs_f64();
        self.ticket.route().state.metrics.queue(priority).observe(waited);
        Ok(Begun::Now(self.hold(choice)))
    }

    /// What the queue knows of it, where this many prompt tokens are in no prefix cache.
    fn ask(&self, uncached: f64) -> Ask {
        let asked = self.ticket.asked();
        let route = self.ticket.route();
        let work = PromptWork { uncached, ..PromptWork::default() };
        let prefill = route.state.memory.models.speed().prefill(work);
        let target = route.target(&asked.analysis);
        Ask::new(asked.analysis.priority, self.ticket.began(), target, prefill)
    }

    fn uncached(&self) -> f64 {
        let asked = self.ticket.asked();
        let memory = &self.ticket.route().state.memory;
        memory.uncached(asked.prompt_tokens, &asked.blocks, asked.block_tokens)
    }

    fn rule(&self) -> OnUnattainable {
        self.ticket.route().on_unattainable
    }

    fn shed(&self, refusal: Refusal) -> Failure {
        let Refusal { why, retry_after } = refusal;
        let route = self.ticket.route();
        let priority = self.ticket.asked().analysis.priority;
        route.state.metrics.shed(priority, why).inc();
        let name = route.name.to_string();
        match why {
            Shedding::Full => {
                Failure::QueueFull { route: name, limit: route.max_queued, retry_after }
            }
            Shedding::Unattainable => Failure::Unattainable { route: name, retry_after },
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens of a prompt")]
const fn tokens(tokens: f64) -> u64 {
    tokens as u64
}
