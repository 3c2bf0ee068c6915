//! One request in flight: what it holds at endpoints, how its time goes, and what is learned from it.
//!
//! The pure half of the router's ticket. It is told of moments, and passes on what they mean: to the ledgers of the
//! endpoints, to the models of their speed, to the memory of the route. Dropped at any moment, it gives back all that
//! it holds.

pub mod qoe;
pub mod timings;
pub mod track;

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::endpoint::holds::{Hold, PromptHold, StreamHold, TransferHold};
use crate::endpoint::state::EndpointState;
use crate::estimate::bias::{Bias, relative_error};
use crate::flight::timings::Timings;
use crate::flight::track::Track;
use crate::memory::RouteMemory;
use crate::phase::Phase;
use crate::plan::forecast::Forecast;
use crate::speed::busy_time::BusyTime;
use crate::speed::work::PromptWork;
use crate::target::Target;

/// A live estimate of the ITL is passed on to the endpoint's signals this often.
const ITL_EVERY: Duration = Duration::from_millis(250);

/// Tokens at the end of a stream that are enough to tell how fast they came.
const ENOUGH: u32 = 8;

/// What is sent, as far as it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cargo {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer that are expected.
    pub output_tokens: f64,
    /// Tokens of one prefix block.
    pub block_tokens: f64,
    /// The answer is a stream: its first token will be seen.
    pub streamed: bool,
}

/// What is expected of one plan.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Planned {
    at: Duration,
    by_models: Option<Forecast>,
    /// Corrected by how far such forecasts have been off.
    forecast: Option<Forecast>,
    handed_over: bool,
}

/// Tokens since the endpoint's signals were last told.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    gaps: f64,
    count: u32,
    since: Duration,
    /// What the endpoint had read when it began.
    read: BusyTime,
}

/// What a handful of tokens meant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Streamed {
    /// Seconds since the tokens before, divided among these; `None` for the first ones.
    pub gap: Option<f64>,
    /// They are the first ones, so many seconds after the request's arrival.
    pub ttft: Option<Duration>,
    /// How far the forecast of the TTFT was off, relative to what it was.
    pub ttft_error: Option<f64>,
}

/// The record of one request while it is in flight.
#[derive(Debug)]
pub struct Flight {
    track: Track,
    cargo: Cargo,
    planned: Planned,
    holds: SmallVec<[Hold; 2]>,
    /// The prompt, until it is read.
    reading: Option<PromptHold>,
    /// Tokens to move to who decodes.
    to_move: f64,
    moving: Option<TransferHold>,
    streaming: Option<StreamHold>,
    decoding: Option<Arc<EndpointState>>,
    window: Window,
}

impl Flight {
    /// A request arrived, with this promise.
    #[must_use]
    pub fn new(target: Target, cargo: Cargo, now: Duration) -> Self {
        Self {
            track: Track::new(target, now),
            cargo,
            planned: Planned::default(),
            holds: SmallVec::new(),
            reading: None,
            to_move: 0.0,
            moving: None,
            streaming: None,
            decoding: None,
            window: Window::default(),
        }
    }

    /// Its clockwork.
    #[must_use]
    pub const fn track(&self) -> &Track {
        &self.track
    }

    /// A plan is carried out: whom it involves is held until the next plan or the end, and is taken to have the
    /// prompt's `blocks` from now on.
    pub fn planned(
        &mut self,
        prefill: Option<&Arc<EndpointState>>,
        decoding: &Arc<EndpointState>,
        forecast: Option<Forecast>,
        blocks: &[u64],
        memory: &RouteMemory,
        now: Duration,
    ) {
        self.release();
        let Cargo { prompt_tokens, output_tokens, streamed, .. } = self.cargo;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens")]
        let kept = prompt_tokens + (output_tokens / 2.0) as u64;
        self.holds.extend(prefill.map(|endpoint| endpoint.hold(Phase::Prefill, prompt_tokens)));
        self.holds.push(decoding.hold(Phase::Decoding, kept));
        let reader = prefill.unwrap_or(decoding);
        let work = self.work(reader, forecast, now);
        let told = streamed || prefill.is_some();
        self.reading = Some(reader.reads(work, told, &memory.models, now));
        self.to_move = forecast.map_or(prompt_tokens as f64, |forecast| forecast.moved);
        self.decoding = Some(Arc::clone(decoding));
        let handed_over = prefill.is_some();
        let by_models = forecast;
        let forecast = by_models.map(|models| Forecast {
            ttft: models.ttft * ttft_bias(memory, handed_over).factor(),
            itl: models.itl * decoding.pace.itl_bias.factor(),
            ..models
        });
        self.planned = Planned { at: now, by_models, forecast, handed_over };
        if !blocks.is_empty() {
            let mut prefixes = memory.prefixes();
            prefill.into_iter().chain([decoding]).for_each(|e| prefixes.insert(e.tag, blocks));
        }
    }

    /// The prompt as work for who reads it.
    fn work(
        &self,
        reader: &EndpointState,
        forecast: Option<Forecast>,
        now: Duration,
    ) -> PromptWork {
        let tokens = self.cargo.prompt_tokens as f64;
        let usual = || tokens * reader.usual_hit(now);
        let cached = forecast.map_or_else(usual, |forecast| forecast.cached).min(tokens);
        let streams = reader.ledger.stream_load().streams;
        PromptWork { uncached: tokens - cached, cached, streams }
    }

    /// The prefill leg departs. A second try starts its time anew.
    pub const fn prefill_sent(&mut self, now: Duration) {
        self.track.prefill_sent(now);
    }

    /// The prefill leg was answered: its endpoint is free, and its seconds are learned.
    pub fn prefill_done(&mut self, endpoint: &EndpointState, memory: &RouteMemory, now: Duration) {
        let seconds = self.track.prefill_done(now);
        endpoint.signals.ttft.observe(seconds, now);
        endpoint.health.succeeded();
        if let Some(reading) = self.reading.take() {
            reading.done(&memory.models, now);
        }
        self.holds.retain(|hold| !std::ptr::eq(Arc::as_ptr(hold.state()), endpoint));
    }

    /// The leg that answers departs; after a prefill leg, with the address of a KV cache.
    pub fn sent(&mut self, memory: &RouteMemory, now: Duration) {
        self.track.sent(now);
        if self.reading.is_none()
            && self.cargo.streamed
            && let Some(decoding) = &self.decoding
        {
            self.moving = Some(decoding.fetches(self.to_move, &memory.models, now));
        }
    }

    /// `count` tokens of the stream came.
    pub fn streamed(&mut self, count: u32, memory: &RouteMemory, now: Duration) -> Streamed {
        if count == 0 {
            return Streamed::default();
        }
        let gap = self.track.streamed(count, now);
        match gap {
            None => self.first_token(memory, now),
            Some(gap) => {
                self.more_tokens(gap, count, memory, now);
                Streamed { gap: Some(gap), ..Streamed::default() }
            }
        }
    }

    fn first_token(&mut self, memory: &RouteMemory, now: Duration) -> Streamed {
        let ttft = now.saturating_sub(self.track.began());
        if let Some(reading) = self.reading.take() {
            reading.done(&memory.models, now);
        }
        if let Some(decoding) = &self.decoding {
            if let Some(moving) = self.moving.take() {
                let speed = decoding.pace.models.speed_or(&memory.models.speed());
                moving.done(speed.step(decoding.ledger.stream_load()), &memory.models, now);
            }
            if let Some(seconds) = self.track.first_token_after() {
                decoding.signals.ttft.observe(seconds, now);
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens")]
            let tokens = self.cargo.prompt_tokens + (self.cargo.output_tokens / 2.0) as u64;
            self.streaming = Some(decoding.streams(tokens));
            let read = decoding.pace.prompts.busy(now);
            self.window = Window { since: now, read, ..Window::default() };
        }
        let waited = now.saturating_sub(self.planned.at).as_secs_f64();
        let Planned { by_models, forecast, handed_over, .. } = self.planned;
        if let Some(models) = by_models {
            ttft_bias(memory, handed_over).observe(models.ttft, waited);
        }
        let ttft_error = forecast.map(|forecast| relative_error(forecast.ttft, waited));
        Streamed { gap: None, ttft: Some(ttft), ttft_error }
    }

    fn more_tokens(&mut self, gap: f64, count: u32, memory: &RouteMemory, now: Duration) {
        let window = &mut self.window;
        window.gaps += gap * f64::from(count);
        window.count += count;
        if now.saturating_sub(window.since) >= ITL_EVERY {
            self.look_back(memory, now);
        }
    }

    /// What the tokens of the window tell is learned, and the next one begins.
    fn look_back(&mut self, memory: &RouteMemory, now: Duration) {
        let Some(decoding) = &self.decoding else { return };
        let window = &mut self.window;
        let length = now.saturating_sub(window.since);
        let mean = window.gaps / f64::from(window.count);
        decoding.signals.itl.observe(mean, now);
        let read = decoding.pace.prompts.busy(now);
        let gap = (mean, length.as_secs_f64());
        let load = decoding.ledger.stream_load();
        decoding.pace.streamed(load, gap, read - window.read, &memory.models, now);
        *window = Window { since: now, read, ..Window::default() };
    }

    /// The endpoint said how many tokens its answer has.
    pub const fn counted(&mut self, tokens: u64) {
        self.track.counted(tokens);
    }

    /// The answer came whole: its length is learned. Returns how far the forecast of the ITL was off.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "blocks")]
    pub fn answered(&mut self, memory: &RouteMemory, now: Duration) -> Option<f64> {
        let Timings { tokens, itl, .. } = self.track.timings(now);
        // Else only streams that are slow would be long enough to be learned from.
        if self.window.count >= ENOUGH {
            self.look_back(memory, self.track.last().unwrap_or(now));
        }
        memory.lengths.learn(self.cargo.prompt_tokens, tokens);
        let decoding = self.decoding.as_ref()?;
        if self.cargo.block_tokens > 0.0 {
            let blocks = (tokens as f64 / self.cargo.block_tokens).round() as u32;
            memory.prefixes().wrote(decoding.tag, blocks);
        }
        let itl = itl?;
        decoding.pace.itl_bias.observe(self.planned.by_models?.itl, itl);
        Some(relative_error(self.planned.forecast?.itl, itl))
    }

    /// What its clockwork says at the end.
    #[must_use]
    pub fn timings(&self, now: Duration) -> Timings {
        self.track.timings(now)
    }

    /// What was forecast for the last plan, corrected by how far such forecasts have been off.
    #[must_use]
    pub const fn forecast(&self) -> Option<Forecast> {
        self.planned.forecast
    }

    /// Gives back all that is held.
    pub fn release(&mut self) {
        self.holds.clear();
        self.reading = None;
        self.moving = None;
        self.streaming = None;
    }
}

/// How far forecasts of the TTFT are off.
fn ttft_bias(memory: &RouteMemory, handed_over: bool) -> &Bias {
    &memory.ttft_bias[usize::from(handed_over)]
}

#[cfg(test)]
mod tests;
