//! What a step computes: running streams first, then prompts, while tokens and blocks last.

use crate::engine::request::Time;
use crate::engine::sequence::Transfer;
use crate::engine::{Engine, Scheduling, Sequence};
use crate::profile::StepLoad;

impl Engine {
    /// Fills the next step. `None`: nothing can run.
    pub(super) fn schedule(&mut self, now: Time) -> Option<StepLoad> {
        let mut budget = self.config.max_batched_tokens;
        let preempted = self.extend_running(&mut budget, Sequence::is_decoding)
            | self.extend_running(&mut budget, |sequence| !sequence.is_decoding());
        // After a preemption the blocks are known to be short: nobody new, as vLLM does.
        if !preempted {
            self.admit(now, &mut budget);
        }
        let load = self.load();
        (load.tokens() > 0).then_some(load)
    }

    /// Schedules those of the running requests that `which` selects; true if one was preempted.
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
                // Those behind the victim have moved up by one.
                at -= usize::from(victim < at);
            }
        }
        preempted
    }

    /// Gives a running request the blocks for `tokens` more; all of them or none.
    fn grow(&mut self, at: usize, tokens: u32) -> bool {
        let sequence = &mut self.running[at];
        let blocks = (sequence.computed + tokens).div_ceil(self.config.block_size) as usize;
        let missing = blocks.saturating_sub(sequence.blocks.len());
        if missing > self.pool.free() {
            return false;
        }
        sequence.blocks.extend((0..missing).filter_map(|_| self.pool.allocate()));
        true
    }

    /// The request to preempt: the newest, or the least important and newest.
    fn victim(&self) -> usize {
        let last = self.running.len() - 1;
        match self.config.scheduling {
            Scheduling::Fcfs => last,
            Scheduling::Priority => (0..=last)
                .max_by_key(|at| (self.running[*at].request.priority, *at))
                .unwrap_or(last),
        }
    }

    /// Takes a request's blocks and puts it back into the queue; returns the budget it had.
    fn preempt(&mut self, at: usize) -> u32 {
        let mut sequence = self.running.remove(at);
        let budget = sequence.scheduled;
        self.pool.release(&sequence.blocks);
        sequence.reset();
        self.stats.preemptions += 1;
        match self.config.scheduling {
            Scheduling::Fcfs => self.waiting.push_front(sequence),
            Scheduling::Priority => self.enqueue(sequence),
        }
        budget
    }

    /// Puts a request where it belongs in the queue.
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

    /// Starts waiting requests, and the transfers of KV from elsewhere, while there is room.
    ///
    /// Once blocks are short, only requests that hold theirs already may start: those ahead of them wait for the
    /// blocks that they will free.
    fn admit(&mut self, now: Time, budget: &mut u32) {
        let (mut at, mut short) = (0, false);
        while at < self.waiting.len()
            && *budget > 0
            && self.running.len() < self.config.max_sequences as usize
        {
            let arrives = self.waiting[at].arrives_at();
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

    /// Takes all blocks of a prompt and begins the transfer into them; without blocks if they are short.
    fn fetch(&mut self, now: Time, mut sequence: Sequence, transfer: Time) -> Sequence {
        self.take_cached(&mut sequence);
        let blocks = sequence.known.div_ceil(self.config.block_size) as usize;
        let missing = blocks - sequence.blocks.len();
        if missing > self.pool.free() {
            self.pool.release(&sequence.blocks);
            sequence.reset();
            return sequence;
        }
        sequence.blocks.extend((0..missing).filter_map(|_| self.pool.allocate()));
        self.link_free_at = self.link_free_at.max(now) + transfer;
        sequence.transfer = Some(Transfer { began: now, arrives: self.link_free_at });
        sequence
    }

    /// Moves a request into the batch with its first chunk; gives it back if blocks are short.
    fn start(&mut self, now: Time, mut sequence: Sequence, budget: &mut u32) -> Option<Sequence> {
        let (cached, computed) = match sequence.arrives_at() {
            // All but the last token, which the next one comes out of; its blocks are there.
            Some(_) => (sequence.registered as u32 * self.config.block_size, sequence.known - 1),
            None => {
                let cached = self.take_cached(&mut sequence);
                (cached, cached)
            }
        };
        sequence.computed = computed;
        let wanted = (sequence.known - sequence.computed).min(*budget);
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

    /// Shares the blocks of the longest cached prefix; the last token is always computed, since
    /// the next one comes out of it. Returns the tokens found.
    fn take_cached(&mut self, sequence: &mut Sequence) -> u32 {
        let most = ((sequence.known - 1) / self.config.block_size) as usize;
        let hashes = sequence.hashes.iter().take(most);
        sequence.blocks = hashes.map_while(|hash| self.pool.acquire(*hash)).collect();
        sequence.registered = sequence.blocks.len();
        sequence.registered as u32 * self.config.block_size
    }

    /// The work of all that is scheduled.
    fn load(&self) -> StepLoad {
        let mut load = StepLoad::default();
        for sequence in self.running.iter().filter(|s| s.scheduled > 0) {
            if sequence.scheduled == 1 && sequence.computed > 0 {
                load.add_stream(u64::from(sequence.known));
            } else {
                load.add_prefill(u64::from(sequence.scheduled), u64::from(sequence.computed));
            }
        }
        load
    }
}
