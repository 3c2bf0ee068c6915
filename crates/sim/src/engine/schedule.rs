//! Decides what a step computes: running streams first, then prompts, within the token budget and the free blocks.

use crate::engine::request::Time;
use crate::engine::sequence::Transfer;
use crate::engine::{Engine, Scheduling, Sequence};
use crate::profile::StepLoad;

impl Engine {
    /// Schedules the next step and returns its load, or `None` if nothing can run.
    pub(super) fn schedule(&mut self, now: Time) -> Option<StepLoad> {
        let mut budget = self.config.max_batched_tokens;
        // Streams come before running prompts: vLLM's chunked prefill gives prompts only the rest of the budget.
        let preempted = self.extend_running(&mut budget, Sequence::is_decoding)
            | self.extend_running(&mut budget, |sequence| !sequence.is_decoding());
        // A preemption means that blocks are short, so vLLM starts no request in such a step.
        if !preempted {
            self.admit(now, &mut budget);
        }
        let load = self.load();
        // Without tokens every request waits: for blocks, or for KV that has not arrived.
        (load.tokens() > 0).then_some(load)
    }

    /// Schedules the running requests that `which` selects. Returns whether one was preempted.
    fn extend_running(&mut self, budget: &mut u32, which: impl Fn(&Sequence) -> bool) -> bool {
        let mut preempted = false;
        let mut at = 0;
        while at < self.running.len() && *budget > 0 {
            let sequence = &self.running[at];
            if sequence.scheduled > 0 || !which(sequence) {
                at += 1;
                continue;
            }
            let wanted = (sequence.known - sequence.computed).min(*budget);
            if self.grow(at, wanted) {
                self.running[at].scheduled = wanted;
                *budget -= wanted;
                at += 1;
            } else {
                preempted = true;
                let victim = self.victim();
                *budget += self.preempt(victim);
                // The requests behind the victim have moved up by one.
                at -= usize::from(victim < at);
            }
        }
        preempted
    }

    /// Allocates the blocks that a running request needs for `tokens` more, all of them or none.
    fn grow(&mut self, at: usize, tokens: u32) -> bool {
        let sequence = &mut self.running[at];
        let blocks = (sequence.computed + tokens).div_ceil(self.config.block_size) as usize;
        let missing = blocks.saturating_sub(sequence.blocks.len());
        if missing > self.pool.free() {
            // A partial allocation would hold blocks that another request could use to finish.
            return false;
        }
        sequence.blocks.extend((0..missing).filter_map(|_| self.pool.allocate()));
        true
    }

    /// The index of the request to preempt: the newest, with `Scheduling::Priority` the newest of the lowest priority.
    fn victim(&self) -> usize {
        let last = self.running.len() - 1;
        match self.config.scheduling {
            Scheduling::Fcfs => last,
            Scheduling::Priority => (0..=last)
                .max_by_key(|at| (self.running[*at].request.priority, *at))
                .unwrap_or(last),
        }
    }

    /// Frees the blocks of a request, puts it back into the queue, and returns the budget that it had in this step.
    fn preempt(&mut self, at: usize) -> u32 {
        let mut sequence = self.running.remove(at);
        let budget = sequence.scheduled;
        self.pool.release(&sequence.blocks);
        sequence.reset();
        self.stats.preemptions += 1;
        match self.config.scheduling {
            // It was admitted before every waiting request, so it starts before them.
            Scheduling::Fcfs => self.waiting.push_front(sequence),
            Scheduling::Priority => self.enqueue(sequence),
        }
        budget
    }

    /// Inserts a request into the queue at the place that the scheduling gives it.
    pub(super) fn enqueue(&mut self, sequence: Sequence) {
        let key = |s: &Sequence| (s.request.priority, s.times.arrived);
        let at = match self.config.scheduling {
            Scheduling::Fcfs => self.waiting.len(),
            Scheduling::Priority => {
                self.waiting.partition_point(|other| key(other) <= key(&sequence))
            }
        };
        self.waiting.insert(at, sequence);
    }

    /// Starts waiting requests and KV transfers while the budget, the batch and the blocks have room.
    fn admit(&mut self, now: Time, budget: &mut u32) {
        let (mut at, mut short) = (0, false);
        while at < self.waiting.len()
            && *budget > 0
            && self.running.len() < self.config.max_sequences as usize
        {
            let arrives = self.waiting[at].arrives_at();
            // Once blocks are short, only a request that already holds its blocks may start. The requests before it
            // wait for blocks, and its end frees some; stopping at the first of them could wait for ever.
            let passed_over = arrives.map_or(short, |arrives| arrives > now);
            let Some(sequence) = (!passed_over).then(|| self.waiting.remove(at)).flatten() else {
                at += 1;
                continue;
            };
            let back = match sequence.pulls() {
                Some(transfer) if arrives.is_none() => Some(self.fetch(now, sequence, transfer)),
                _ => self.start(now, sequence, budget),
            };
            if let Some(sequence) = back {
                short |= sequence.blocks.is_empty();
                self.waiting.insert(at, sequence);
                at += 1;
            }
        }
    }

    /// Allocates all blocks of a prompt and begins the transfer into them. If blocks are short, the returned request
    /// has none.
    fn fetch(&mut self, now: Time, mut sequence: Sequence, transfer: Time) -> Sequence {
        self.take_cached(&mut sequence);
        // A transfer writes into blocks that exist, so all of them are allocated before it begins.
        let blocks = sequence.known.div_ceil(self.config.block_size) as usize;
        let missing = blocks - sequence.blocks.len();
        if missing > self.pool.free() {
            // Two waiting transfers that each hold a part could block each other for ever.
            self.pool.release(&sequence.blocks);
            sequence.reset();
            return sequence;
        }
        sequence.blocks.extend((0..missing).filter_map(|_| self.pool.allocate()));
        // All transfers share one link, so each waits for those before it.
        self.link_free_at = self.link_free_at.max(now) + transfer;
        sequence.transfer = Some(Transfer { began: now, arrives: self.link_free_at });
        sequence
    }

    /// Moves a request into the batch with its first chunk. Returns the request if blocks are short.
    fn start(&mut self, now: Time, mut sequence: Sequence, budget: &mut u32) -> Option<Sequence> {
        let (cached, computed) = match sequence.arrives_at() {
            // The transfer brought the KV of all tokens but the last, whose computation gives the next token.
            Some(_) => (sequence.registered as u32 * self.config.block_size, sequence.known - 1),
            None => {
                let cached = self.take_cached(&mut sequence);
                (cached, cached)
            }
        };
        sequence.computed = computed;
        let wanted = (sequence.known - sequence.computed).min(*budget);
        // `grow` works on the batch, so the request joins it first and leaves it again if blocks are short.
        self.running.push(sequence);
        let last = self.running.len() - 1;
        if !self.grow(last, wanted) {
            let mut sequence = self.running.pop()?;
            self.pool.release(&sequence.blocks);
            sequence.reset();
            return Some(sequence);
        }
        self.running[last].scheduled = wanted;
        *budget -= wanted;
        self.note_start(now, last, cached);
        None
    }

    /// Takes the blocks of the longest cached prefix and returns the number of tokens in them.
    fn take_cached(&mut self, sequence: &mut Sequence) -> u32 {
        // The last token is always computed, because its computation gives the next token.
        let most = ((sequence.known - 1) / self.config.block_size) as usize;
        let hashes = sequence.hashes.iter().take(most);
        sequence.blocks = hashes.map_while(|hash| self.pool.acquire(*hash)).collect();
        sequence.registered = sequence.blocks.len();
        sequence.registered as u32 * self.config.block_size
    }

    /// The total load of the scheduled requests.
    fn load(&self) -> StepLoad {
        let mut load = StepLoad::default();
        for sequence in self.running.iter().filter(|s| s.scheduled > 0) {
            // A single token on top of computed ones costs what a stream costs: one read of its KV.
            if sequence.scheduled == 1 && sequence.computed > 0 {
                load.add_stream(u64::from(sequence.known));
            } else {
                load.add_prefill(u64::from(sequence.scheduled), u64::from(sequence.computed));
            }
        }
        load
    }
}
