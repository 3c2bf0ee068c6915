//! One request in flight: what it holds at endpoints, its timings, and what is learned from it.
//!
//! The pure half of the router's ticket. Each event of the request updates the ledgers of its endpoints, the models of
//! their speed, and the memory of the route. Dropped at any moment, it gives back all that it holds.
//!
//! Must not know: HTTP, connections, or what happens after a failure.

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

/// How often a stream updates its endpoint's ITL: some ten tokens, so that the endpoint's lock is not taken for each.
const ITL_EVERY: Duration = Duration::from_millis(250);

/// The fewest tokens in the last window of a stream from which its ITL is learned. Fewer are too noisy; with many more,
/// only slow streams would be long enough. Tuned in the lab, no sensitivity measured.
const MIN_LAST_WINDOW: u32 = 8;

/// The sizes of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cargo {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Expected tokens of the answer.
    pub output_tokens: f64,
    /// Tokens of one prefix block.
    pub block_tokens: f64,
    /// Whether the answer is a stream, so its first token will be seen.
    pub streamed: bool,
}

/// The plan that is being carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Planned {
    at: Duration,
    /// The forecast of the models.
    by_models: Option<Forecast>,
    /// The same, corrected by the factor by which such forecasts are off.
    forecast: Option<Forecast>,
    handed_over: bool,
}

/// The tokens since the endpoint's ITL was last updated.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// The sum of the gaps before these tokens, in seconds.
    gaps: f64,
    /// The number of tokens.
    count: u32,
    since: Duration,
    /// The prefill work that the endpoint had done when the window began.
    read: BusyTime,
}

/// What the arrival of some tokens tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Streamed {
    /// Seconds since the tokens before, divided by the number of these; `None` for the first ones.
    pub gap: Option<f64>,
    /// The TTFT, if these are the first tokens.
    pub ttft: Option<Duration>,
    /// The error of the TTFT's forecast, relative to the measured TTFT.
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
    /// Prompt tokens whose KV cache is to be moved to the decoding endpoint.
    to_move: f64,
    moving: Option<TransferHold>,
    streaming: Option<StreamHold>,
    decoding: Option<Arc<EndpointState>>,
    window: Window,
}

impl Flight {
    /// A request that arrives with these targets.
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

    /// The moments of the request so far.
    #[must_use]
    pub const fn track(&self) -> &Track {
        &self.track
    }

    /// Notes that a plan is carried out. Its endpoints are held until the next plan or the end, and count as holding
    /// the prompt's `blocks` from now on.
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
        let watched = streamed || prefill.is_some();
        self.reading = Some(reader.reads(work, watched, &memory.models, now));
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

    /// The prompt as work for the endpoint that reads it.
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

    /// Notes that the prefill leg is sent. A second attempt starts its time anew.
    pub const fn prefill_sent(&mut self, now: Duration) {
        self.track.prefill_sent(now);
    }

    /// Notes that the prefill leg was answered: its endpoint is free, and its duration is learned.
    pub fn prefill_done(&mut self, endpoint: &EndpointState, memory: &RouteMemory, now: Duration) {
        let seconds = self.track.prefill_done(now);
        endpoint.signals.ttft.observe(seconds, now);
        endpoint.health.succeeded();
        if let Some(reading) = self.reading.take() {
            reading.done(&memory.models, now);
        }
        self.holds.retain(|hold| !std::ptr::eq(Arc::as_ptr(hold.state()), endpoint));
    }

    /// Notes that the answering leg is sent; after a prefill leg, the endpoint begins to fetch the KV cache.
    pub fn sent(&mut self, memory: &RouteMemory, now: Duration) {
        self.track.sent(now);
        if self.reading.is_none()
            && self.cargo.streamed
            && let Some(decoding) = &self.decoding
        {
            self.moving = Some(decoding.fetches(self.to_move, &memory.models, now));
        }
    }

    /// Notes that `count` tokens of the stream arrived.
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
            self.close_window(memory, now);
        }
    }

    /// Learns from the tokens of the window, and begins the next one.
    fn close_window(&mut self, memory: &RouteMemory, now: Duration) {
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

    /// Takes the number of output tokens from the endpoint's usage.
    pub const fn counted(&mut self, tokens: u64) {
        self.track.counted(tokens);
    }

    /// Notes that the answer is complete, and learns its length. Returns the error of the ITL's forecast, relative to
    /// the measured ITL.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "blocks")]
    pub fn answered(&mut self, memory: &RouteMemory, now: Duration) -> Option<f64> {
        let Timings { tokens, itl, .. } = self.track.timings(now);
        // Without the last window, only slow streams would be long enough to be learned from.
        if self.window.count >= MIN_LAST_WINDOW {
            self.close_window(memory, self.track.last().unwrap_or(now));
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

    /// The timings of the request, if it ends `now`.
    #[must_use]
    pub fn timings(&self, now: Duration) -> Timings {
        self.track.timings(now)
    }

    /// The forecast for the last plan, corrected by the factor by which such forecasts are off.
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

/// The factor by which TTFT forecasts are off, for handoffs or for requests served whole.
///
/// *Why*: the models describe single steps. What they leave out makes all forecasts wrong alike: the step that is running
/// when a prompt arrives, prompts that share a step. Only reported forecasts are corrected. Plans are compared by
/// uncorrected ones, because the same factor for all plans changes no order, and the thresholds of the queue were tuned
/// to uncorrected ones.
fn ttft_bias(memory: &RouteMemory, handed_over: bool) -> &Bias {
    &memory.ttft_bias[usize::from(handed_over)]
}

#[cfg(test)]
mod tests;
