//! The engine: continuous batching with chunked prefill over a finite KV cache, as vLLM does it.
//!
//! Pure: no clock, no IO. Time is an argument, counted from the engine's start, so the same model
//! runs behind a server in real time and in a laboratory in virtual time:
//!
//! `add → begin_step(now) = when it ends → finish_step → events → begin_step …`
//!
//! One step gives every running stream its next token, then spends what is left of the token budget
//! on prompts, in order of arrival (or priority). When the blocks run out, the newest request is
//! preempted and computed again later.

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

/// In which order waiting requests are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// First come, first served; `priority` is ignored.
    #[default]
    Fcfs,
    /// Lower `priority` first, then by arrival.
    Priority,
}

/// The limits of one engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Tokens in one KV block.
    pub block_size: u32,
    /// Blocks in the KV cache.
    pub kv_blocks: u32,
    /// Tokens one step may compute.
    pub max_batched_tokens: u32,
    /// Requests that may run at once.
    pub max_sequences: u32,
    /// Requests that may wait; more are refused.
    pub max_queued: Option<u32>,
    /// How long a finished prefill keeps its blocks for a decoding server.
    pub lease: Duration,
    /// The order of the queue.
    pub scheduling: Scheduling,
}

impl EngineConfig {
    /// The limits that `profile` states, with vLLM's defaults for the rest.
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

/// One engine. At most one step is in flight.
#[derive(Debug)]
pub struct Engine {
    profile: Profile,
    config: EngineConfig,
    pool: BlockPool,
    /// In the order of admission: the newest is last and preempted first.
    running: Vec<Sequence>,
    /// In the order in which they will be taken.
    waiting: VecDeque<Sequence>,
    leases: Leases,
    /// When the last transfer begun so far has left the link: all of them share it.
    link_free_at: Time,
    ends_at: Option<Time>,
    stats: Stats,
}

impl Engine {
    /// An idle engine.
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
    /// When the queue is full, or the request could never fit into the KV cache.
    pub fn add(&mut self, now: Time, request: Request) -> Result<(), AddError> {
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

    /// Forgets a request and frees its blocks. `false`: it is not there (any more).
    pub fn abort(&mut self, id: RequestId) -> bool {
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

    /// Starts a step and says when it ends. `None`: there is nothing that can be computed now, see
    /// [`Engine::wakes_at`]. While a step is in flight, says again when that one ends.
    pub fn begin_step(&mut self, now: Time) -> Option<Time> {
        if self.ends_at.is_none() {
            self.expire_leases(now);
            let load = self.schedule(now)?;
            self.stats.step_tokens.observe(load.tokens() as f64);
            self.ends_at = Some(now + self.profile.step_time(&load));
        }
        self.ends_at
    }

    /// When the step in flight ends.
    #[must_use]
    pub fn step_ends_at(&self) -> Option<Time> {
        self.ends_at
    }

    /// Ends the step in flight: its tokens are computed, and what happened is appended to `events`.
    pub fn finish_step(&mut self, events: &mut Vec<Event>) {
        let Some(now) = self.ends_at.take() else { return };
        let mut at = 0;
        while at < self.running.len() {
            match self.settle(at, now, events) {
                Some(finish) => {
                    let sequence = self.running.remove(at);
                    self.finish(now, sequence, finish, events);
                }
                None => at += 1,
            }
        }
    }

    /// When an idle engine has something to do by itself: KV that arrives, a lease that ends.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Time> {
        let arrival = self.waiting.iter().filter_map(Sequence::arrives_at).min();
        arrival.into_iter().chain(self.leases.next_expiry()).min()
    }

    /// Frees the blocks of leases that have ended.
    pub fn expire_leases(&mut self, now: Time) {
        while let Some(lease) = self.leases.pop_expired(now) {
            self.pool.release(&lease.blocks);
            self.stats.expired_leases += 1;
        }
    }

    /// What a decoding server reads: the KV that the prefill `id` left, its lease renewed. `None`:
    /// there is no such lease any more.
    pub fn pull(&mut self, id: RequestId, now: Time) -> Option<&Lease> {
        self.expire_leases(now);
        self.leases.renew(id, now + self.config.lease)
    }

    /// Ends a lease before its time: the KV has been read. `false`: it had ended already.
    pub fn release(&mut self, id: RequestId) -> bool {
        let Some(lease) = self.leases.remove(id) else { return false };
        self.pool.release(&lease.blocks);
        true
    }

    /// Forgets the prefix cache.
    pub fn reset_prefix_cache(&mut self) {
        self.pool.reset_cache();
    }

    /// Requests in the batch.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Requests in the queue: (all, of those the ones that wait for KV to arrive).
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let loading = self.waiting.iter().filter(|s| s.pulls().is_some()).count();
        (self.waiting.len(), loading)
    }

    /// Prefills that keep blocks for a decoding server.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.leases.len()
    }

    /// The block pool, to look at.
    #[must_use]
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Counts what only the server sees: a transfer that failed.
    pub fn count_failed_transfer(&mut self) {
        self.stats.failed_transfers += 1;
    }

    /// The limits it runs under.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The speed it runs at.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }
}

#[cfg(test)]
mod tests;
