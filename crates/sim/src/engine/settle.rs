//! Applies the results of a step: writes tokens, finishes requests, and counts both.

use crate::engine::lease::Lease;
use crate::engine::request::{Event, Finish, Prefilled, Reason, Source, Time};
use crate::engine::{Engine, Sequence};

impl Engine {
    /// Counts the start of a request.
    pub(super) fn note_start(&mut self, now: Time, at: usize, cached: u32) {
        let sequence = &mut self.running[at];
        if sequence.times.scheduled.is_some() {
            // vLLM counts a preempted request once, at its first start.
            return;
        }
        let tokens = sequence.prompt().tokens;
        let block = self.config.block_size;
        let stats = &mut self.stats;
        stats.prefix_cache_queries += u64::from(tokens);
        stats.prefix_cache_hits += u64::from(cached);
        stats.queue_time.observe_time(now.saturating_sub(sequence.times.arrived));
        sequence.prefilled = Prefilled { cached, created: tokens / block * block - cached };
        // vLLM reports the cache hits of the prefill server, so that usage does not depend on the decoding server.
        if let Source::Pulled { remote_cached, .. } = sequence.request.source {
            stats.external_cache_queries += u64::from(tokens - cached);
            stats.external_cache_hits += u64::from(tokens - cached);
            let took = sequence.transfer.map(|transfer| transfer.arrives - transfer.began);
            stats.transfer_time.observe_time(took.unwrap_or_default());
            sequence.prefilled = Prefilled { cached: remote_cached, created: 0 };
        }
        sequence.times.scheduled = Some(now);
        self.count_prompt(at, cached);
    }

    fn count_prompt(&mut self, at: usize, cached: u32) {
        let sequence = &self.running[at];
        let tokens = u64::from(sequence.prompt().tokens);
        let cached = u64::from(cached);
        let stats = &mut self.stats;
        stats.prompt_tokens += tokens;
        stats.local_cache_hit += cached;
        match sequence.request.source {
            Source::Pulled { .. } => stats.external_kv_transfer += tokens - cached,
            Source::Local | Source::Produce => stats.local_compute += tokens - cached,
        }
        stats.request_prompt_tokens.observe(tokens as f64);
    }

    /// Adds the computed tokens of one request. Returns the reason if the request has finished.
    pub(super) fn settle(
        &mut self,
        at: usize,
        now: Time,
        events: &mut Vec<Event>,
    ) -> Option<Reason> {
        let block_size = self.config.block_size;
        let sequence = &mut self.running[at];
        if sequence.scheduled == 0 {
            // The budget of the step was spent before this request.
            return None;
        }
        sequence.computed += std::mem::take(&mut sequence.scheduled);
        let whole = (sequence.computed / block_size) as usize;
        // Only full blocks enter the prefix cache: a partial one has no hash.
        for block in sequence.registered..whole {
            self.pool.register(sequence.blocks[block], sequence.hashes[block]);
        }
        sequence.registered = sequence.registered.max(whole);
        if sequence.computed < sequence.known {
            // Later steps compute the rest of the prompt.
            return None;
        }
        self.write(at, now, events)
    }

    /// Writes one token of a request whose KV is complete. Returns the reason if it was the last one.
    fn write(&mut self, at: usize, now: Time, events: &mut Vec<Event>) -> Option<Reason> {
        let sequence = &mut self.running[at];
        let id = sequence.id;
        match sequence.times.first_token {
            None => {
                sequence.times.first_token = Some(now);
                let since = now.saturating_sub(sequence.times.arrived);
                self.stats.time_to_first_token.observe_time(since);
                events.push(Event::PrefillDone { id, prefilled: sequence.prefilled });
            }
            Some(_) => {
                let gap = now.saturating_sub(sequence.times.last_token);
                self.stats.inter_token_latency.observe_time(gap);
            }
        }
        sequence.times.last_token = now;
        self.stats.generation_tokens += 1;
        events.push(Event::Token { id, token: sequence.write(self.config.block_size) });
        if sequence.written() >= sequence.request.max_tokens {
            return Some(Reason::Length);
        }
        sequence.ends_here().then_some(Reason::Stop)
    }

    /// Finishes a request: frees its blocks, or leases those of its prompt to a decoding server.
    pub(super) fn finish(
        &mut self,
        now: Time,
        mut sequence: Sequence,
        reason: Reason,
        events: &mut Vec<Event>,
    ) {
        let leased = (sequence.request.source == Source::Produce).then(|| {
            // A decoding server reads the prompt's KV only. The block of the written token is freed.
            let keep = sequence.prompt().tokens.div_ceil(self.config.block_size) as usize;
            let rest = sequence.blocks.split_off(keep.min(sequence.blocks.len()));
            self.pool.release(&rest);
            let blocks = std::mem::take(&mut sequence.blocks);
            let expires_at = now + self.config.lease;
            let lease =
                Lease { prompt: sequence.prompt().clone(), blocks: blocks.clone(), expires_at };
            self.leases.insert(sequence.id, lease);
            blocks
        });
        self.pool.release(&sequence.blocks);
        self.count_finish(now, &sequence, reason);
        let finish = Finish { reason, leased };
        events.push(Event::Finished { id: sequence.id, finish });
    }

    fn count_finish(&mut self, now: Time, sequence: &Sequence, reason: Reason) {
        let stats = &mut self.stats;
        match reason {
            Reason::Stop => stats.ends.stop += 1,
            Reason::Length => stats.ends.length += 1,
        }
        let started = sequence.times.scheduled.unwrap_or(now);
        let first = sequence.times.first_token.unwrap_or(now);
        let decoding = now.saturating_sub(first);
        // The first token ends the prefill, so n tokens have n − 1 gaps between them.
        let gaps = sequence.written().saturating_sub(1);
        stats.e2e_latency.observe_time(now.saturating_sub(sequence.times.arrived));
        stats.inference_time.observe_time(now.saturating_sub(started));
        stats.prefill_time.observe_time(first.saturating_sub(started));
        stats.decode_time.observe_time(decoding);
        stats.time_per_output_token.observe(decoding.as_secs_f64() / f64::from(gaps.max(1)));
        stats.request_generation_tokens.observe(f64::from(sequence.written()));
    }
}
