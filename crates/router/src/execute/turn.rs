//! Admission: when a request may begin. One for which no endpoint has room waits for its turn.

use std::sync::Arc;

use qoe_core::admit::ask::Ask;
use qoe_core::admit::room::{OnUnattainable, Prospect, has_room};
use qoe_core::plan::choice::Choice;
use qoe_core::plan::forecast::Forecast;
use qoe_core::speed::work::PromptWork;

use crate::execute::attempts::Attempts;
use crate::failure::Failure;
use crate::queue::admission::{Refusal, Shedding};
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
        let ask = self.ask();
        let state = Arc::clone(&self.ticket.route().state);
        let now = self.ticket.now();
        state.memory.arrivals.note(ask.priority, now);
        if self.rejects() && !ask.attainable(now) {
            let retry_after = state.admission.retry_after(now);
            return Err(self.shed(Refusal { why: Shedding::Unattainable, retry_after }));
        }
        if state.admission.is_empty()
            && let Begun::Now(choice) = self.begin(None)?
        {
            return Ok(choice);
        }
        let shared = &self.worker.shared;
        let place = QueuePlace::enter(shared, &state, ask, self.unread())
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
            if standing == Standing::First {
                match self.begin(Some(place))? {
                    Begun::Now(choice) => return Ok(choice),
                    Begun::Late => {}
                    Begun::NoRoom => place.wait(standing).await,
                }
            } else {
                place.wait(standing).await;
            }
            standing = place.look(self.rejects());
            if let Standing::Refused(refusal) = standing {
                return Err(self.shed(refusal));
            }
        }
    }

    /// Begins, if there is room: the endpoints of the plan are held from now on.
    fn begin(&mut self, place: Option<&QueuePlace>) -> Result<Begun, Failure> {
        let state = Arc::clone(&self.ticket.route().state);
        let _turn = place.map(|_| state.admission.turn());
        if place.is_some() {
            // It may have waited for long: endpoints have come and gone.
            self.ticket.follow(&self.worker.shared.snapshot.load());
        }
        if !self.ticket.enter() {
            return Ok(Begun::NoRoom);
        }
        let choice = self.plan();
        let forecast = choice.and_then(|choice| choice.forecast);
        let prospect = forecast.map_or(Prospect::Room, |f| self.prospect(&f, place));
        if prospect != Prospect::Room || place.is_some_and(|place| !place.go()) {
            self.ticket.step_back();
            return Ok(if prospect == Prospect::Late { Begun::Late } else { Begun::NoRoom });
        }
        let choice = choice.ok_or_else(|| self.no_endpoint())?;
        let priority = self.ticket.asked().analysis.priority;
        state.metrics.queue(priority).observe(self.ticket.queued_for().as_secs_f64());
        Ok(Begun::Now(self.hold(choice)))
    }

    /// What becomes of it by its best plan; where nothing is in flight there is nothing to wait for.
    fn prospect(&self, forecast: &Forecast, place: Option<&QueuePlace>) -> Prospect {
        let route = self.ticket.route();
        let analysis = &self.ticket.asked().analysis;
        let target = route.target(analysis);
        if route.pool.iter().all(|endpoint| endpoint.state.ledger.in_flight_all() == 0) {
            return Prospect::Room;
        }
        match place {
            Some(place) => place.weigh(forecast, target),
            None if has_room(forecast, target, analysis.priority, self.is_behind()) => {
                Prospect::Room
            }
            None => Prospect::Wait,
        }
    }

    /// Whether requests come that are more urgent.
    fn is_behind(&self) -> bool {
        let memory = &self.ticket.route().state.memory;
        memory.arrivals.beyond(self.ticket.asked().analysis.priority, self.ticket.now())
    }

    fn ask(&self) -> Ask {
        let asked = self.ticket.asked();
        let route = self.ticket.route();
        #[expect(clippy::cast_precision_loss, reason = "tokens")]
        let work = PromptWork { uncached: asked.prompt_tokens as f64, ..PromptWork::default() };
        let reading = route.state.memory.models.speed().prefill(work);
        let target = route.target(&asked.analysis);
        Ask::new(asked.analysis.priority, self.ticket.began(), target, reading)
    }

    /// Tokens of its prompt that whoever holds most of it has not.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "tokens"
    )]
    fn unread(&self) -> u64 {
        let asked = self.ticket.asked();
        if asked.blocks.is_empty() {
            return asked.prompt_tokens;
        }
        let held = self.ticket.route().state.memory.prefixes().held(&asked.blocks, []);
        let cached = f64::from(held.most()) * asked.block_tokens;
        (asked.prompt_tokens as f64 - cached).max(0.0) as u64
    }

    fn rejects(&self) -> bool {
        self.ticket.route().on_unattainable == OnUnattainable::Reject
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
