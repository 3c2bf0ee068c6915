//! Conversations of several turns. The prompt of each turn contains all earlier questions and answers.

use crate::lab::arrival::{Content, Piece};
use crate::lab::draw::Draw;
use crate::lab::workload::documents::ANSWER_PACE;
use crate::lab::workload::draft::Draft;
use crate::lab::workload::length::Length;

/// The applications, turns and lengths of conversations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversations {
    /// The number of applications, each with its own system prompt.
    pub applications: u32,
    /// The length of a system prompt.
    pub system: Length,
    /// The length of a user's message in one turn.
    pub question: Length,
    /// The length of an answer.
    pub answer: Length,
    /// The minimum and maximum number of turns, uniformly distributed.
    pub turns: (u32, u32),
    /// The minimum and maximum seconds from the end of an answer to the next turn.
    pub think: (f64, f64),
}

impl Default for Conversations {
    fn default() -> Self {
        Self {
            applications: 4,
            system: Length::Uniform { min: 800, max: 2_000 },
            question: Length::Uniform { min: 20, max: 400 },
            answer: Length::Lognormal { p50: 129.0, p99: 601.0, max: 1_000 },
            turns: (2, 12),
            think: (5.0, 40.0),
        }
    }
}

impl Conversations {
    /// The mean number of turns of a conversation.
    pub(super) fn mean_turns(&self) -> f64 {
        f64::midpoint(f64::from(self.turns.0), f64::from(self.turns.1))
    }

    /// A duration in seconds that hardly any conversation exceeds.
    pub(super) fn longest(&self) -> f64 {
        let answer = match self.answer {
            Length::Lognormal { p99, .. } => p99,
            Length::Uniform { max, .. } => f64::from(max),
        };
        f64::from(self.turns.1) * (self.think.1 + answer * ANSWER_PACE)
    }

    /// The turns from 0 to `seconds` of the conversations that begin at `starts`.
    pub(super) fn drafts(&self, starts: &[f64], seconds: f64, draw: &mut Draw) -> Vec<Draft> {
        let systems: Vec<Piece> = (0..self.applications.max(1))
            .map(|_| Piece { content: Content::Words(draw.word()), tokens: self.system.draw(draw) })
            .collect();
        let mut all: Vec<Draft> = Vec::new();
        for &start in starts {
            let system = systems[draw.between(1, systems.len() as u32) as usize - 1];
            all.extend(self.one(start, system, draw));
        }
        // Conversations begin before the workload and end after it. Only turns within it are requests.
        all.retain(|draft| (0.0..seconds).contains(&draft.at));
        all.sort_by(|one, two| one.at.total_cmp(&two.at));
        all
    }

    /// Draws one conversation.
    fn one(&self, start: f64, system: Piece, draw: &mut Draw) -> Vec<Draft> {
        let mut at = start;
        let mut said = vec![system];
        let turns = draw.between(self.turns.0.max(1), self.turns.1);
        let mut drafts = Vec::with_capacity(turns as usize);
        for turn in 0..turns {
            let question = self.question.draw(draw);
            said.push(Piece { content: Content::Words(draw.word()), tokens: question });
            let output_tokens = self.answer.draw(draw);
            drafts.push(Draft { at, prompt: said.clone(), output_tokens, goes_on: turn > 0 });
            said.push(Piece { content: Content::Answer, tokens: output_tokens });
            let think = draw.within(self.think.0, self.think.1);
            at += f64::from(output_tokens) * ANSWER_PACE + think;
        }
        drafts
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "{} to {} turns, {} to {} s apart, system prompts of {} shared by each of {} applications, \
             questions of {}, answers of {}",
            self.turns.0,
            self.turns.1,
            self.think.0,
            self.think.1,
            self.system,
            self.applications,
            self.question,
            self.answer
        )
    }
}
