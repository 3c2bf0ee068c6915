//! The engine: continuous batching with chunked prefill over a finite KV cache, as vLLM does it.
//!
//! The engine is pure: it has no clock and does no I/O. Time is an argument, counted from the engine's start, so the
//! same model runs behind a server in real time and in the lab in virtual time:
//!
//! `add → begin_step(now) = when it ends → finish_step → events → begin_step …`
//!
//! One step gives every running stream its next token, then spends the rest of the token budget on prompts, in order
//! of arrival (or priority). When blocks run out, the newest request is preempted and computed again later.

pub mod lease;
pub mod request;
pub mod schedule;
pub mod sequence;
pub mod settle;

use std::collections::VecDeque;
use std::time::Duration;

use crate::engine::lease::{Lease, Leases};
use crate::engine::request::{AddError, Event, Request, RequestId, Time};
use crate::engine::sequence::Sequence;
use crate::kv::BlockPool;
use crate::profile::Profile;
use crate::stats::Stats;

/// The order in which waiting requests start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// Order of arrival; `priority` is ignored.
    #[default]
    Fcfs,
    /// Lower `priority` values first, then order of arrival.
    Priority,
}

/// The limits of one engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The number of tokens in one KV block.
    pub block_size: u32,
    /// The number of blocks in the KV cache.
    pub kv_blocks: u32,
    /// The maximum number of tokens that one step computes.
    pub max_batched_tokens: u32,
    /// The maximum number of requests that run at once.
    pub max_sequences: u32,
    /// The maximum number of waiting requests; further ones are refused. `None`: no limit.
    pub max_queued: Option<u32>,
    /// The engine time that a finished prefill keeps its blocks for a decoding server.
    pub lease: Duration,
    /// The order in which waiting requests start.
    pub scheduling: Scheduling,
}

impl EngineConfig {
    /// The limits of `profile`, with vLLM's defaults for everything that a profile does not have.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        Self {
            block_size: 16,
            kv_blocks: profile.kv_blocks,
            max_batched_tokens: profile.max_batched_tokens,
            max_sequences: profile.max_sequences,
            max_queued: None,
            lease: Duration::from_secs(30),
            scheduling: Scheduling::Fcfs,
        }
    }
}

/// One engine with its queue and its KV cache. At most one step is in flight.
#[derive(Debug)]
pub struct Engine {
    profile: Profile,
    config: EngineConfig,
    pool: BlockPool,
    /// The batch, in order of admission. The newest request is last and is preempted first.
    running: Vec<Sequence>,
    /// The queue, in the order in which requests start.
    waiting: VecDeque<Sequence>,
    leases: Leases,
    /// When the link, which all KV transfers share, has finished the last transfer that has begun.
    link_free_at: Time,
    /// When the step in flight ends.
    ends_at: Option<Time>,
    stats: Stats,
}

impl Engine {
    /// Creates an idle engine.
    #[must_use]
    pub fn new(profile: Profile, config: EngineConfig) -> Self {
        Self {
            pool: BlockPool::new(config.kv_blocks),
            running: Vec::new(),
            waiting: VecDeque::new(),
            leases: Leases::default(),
            link_free_at: Time::ZERO,
            ends_at: None,
            stats: Stats::default(),
            profile,
            config,
        }
    }

    /// Queues a request.
    ///
    /// # Errors
    /// The queue is full, or the request could never fit into the KV cache.
    pub fn add(&mut self, now: Time, request: Request) -> Result<(), AddError> {
        // A request that cannot fit even alone would be preempted and computed again for ever.
        let blocks = request.most_tokens().div_ceil(self.config.block_size);
        if blocks as usize > self.pool.total() {
            return Err(AddError::TooLong);
        }
        if self.config.max_queued.is_some_and(|most| self.waiting.len() >= most as usize) {
            self.stats.rejections += 1;
            return Err(AddError::QueueFull);
        }
        self.stats.request_max_tokens.observe(f64::from(request.max_tokens));
        self.enqueue(Sequence::new(now, request));
        Ok(())
    }

    /// Removes a request and frees its blocks. Returns `false` if the engine does not have it (any more).
    pub fn abort(&mut self, id: RequestId) -> bool {
        // A preempted request waits again, so the request may be in either list.
        let sequence = if let Some(at) = self.running.iter().position(|s| s.id == id) {
            self.running.remove(at)
        } else if let Some(at) = self.waiting.iter().position(|s| s.id == id) {
            let Some(sequence) = self.waiting.remove(at) else { return false };
            sequence
        } else {
            return false;
        };
        self.pool.release(&sequence.blocks);
        self.stats.ends.abort += 1;
        true
    }

    /// Starts a step and returns when it ends. While a step is in flight, returns when that one ends. Returns `None` if
    /// nothing can be computed now; see [`Engine::wakes_at`].
    pub fn begin_step(&mut self, now: Time) -> Option<Time> {
        if self.ends_at.is_none() {
            // The blocks of leases that have ended are free for this step.
            self.expire_leases(now);
            let load = self.schedule(now)?;
            self.stats.step_tokens.observe(load.tokens() as f64);
            self.ends_at = Some(now + self.profile.step_time(&load));
        }
        self.ends_at
    }

    /// Returns when the step in flight ends.
    #[must_use]
    pub fn step_ends_at(&self) -> Option<Time> {
        self.ends_at
    }

    /// Ends the step in flight and appends what happened in it to `events`.
    pub fn finish_step(&mut self, events: &mut Vec<Event>) {
        let Some(now) = self.ends_at.take() else { return };
        let mut at = 0;
        while at < self.running.len() {
            match self.settle(at, now, events) {
                Some(finish) => {
                    // `at` stays: the next request moves into the place of the removed one.
                    let sequence = self.running.remove(at);
                    self.finish(now, sequence, finish, events);
                }
                None => at += 1,
            }
        }
    }

    /// Returns when an idle engine has something to do next: KV arrives, or a lease ends.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Time> {
        let arrival = self.waiting.iter().filter_map(Sequence::arrives_at).min();
        arrival.into_iter().chain(self.leases.next_expiry()).min()
    }

    /// Frees the blocks of leases that have ended by `now`.
    pub fn expire_leases(&mut self, now: Time) {
        while let Some(lease) = self.leases.pop_expired(now) {
            self.pool.release(&lease.blocks);
            self.stats.expired_leases += 1;
        }
    }

    /// Renews the lease on the KV of the prefill `id` and returns it, for a decoding server to read. Returns `None` if
    /// the lease does not exist or has ended.
    pub fn pull(&mut self, id: RequestId, now: Time) -> Option<&Lease> {
        self.expire_leases(now);
        self.leases.renew(id, now + self.config.lease)
    }

    /// Ends a lease early, once the KV has been read. Returns `false` if it had ended already.
    pub fn release(&mut self, id: RequestId) -> bool {
        let Some(lease) = self.leases.remove(id) else { return false };
        self.pool.release(&lease.blocks);
        true
    }

    /// Clears the prefix cache.
    pub fn reset_prefix_cache(&mut self) {
        self.pool.reset_cache();
    }

    /// The number of requests in the batch.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The number of requests in the queue, and how many of them wait for KV from another server.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let loading = self.waiting.iter().filter(|s| s.pulls().is_some()).count();
        (self.waiting.len(), loading)
    }

    /// The number of finished prefills that keep blocks for a decoding server.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// The block pool.
    #[must_use]
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// The counters and histograms of this engine.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Counts a failed transfer, which only the server around the engine sees.
    pub fn count_failed_transfer(&mut self) {
        self.stats.failed_transfers += 1;
    }

    /// The limits of this engine.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The speed and size of this engine.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }
}

#[cfg(test)]
mod tests;
