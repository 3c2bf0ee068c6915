//! Long documents with follow-up questions, with the statistics of the Mooncake conversation trace.
//!
//! The length of a request is drawn first, so that lengths are those of the trace. A drawn share of the requests then
//! continues the open conversation whose history is nearest to a drawn share of that length. Prefixes therefore grow by
//! whole turns.

use crate::lab::arrival::{Content, Piece};
use crate::lab::draw::Draw;
use crate::lab::workload::draft::Draft;
use crate::lab::workload::length::Length;

/// The lengths and the prefix sharing of documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Documents {
    /// The length of a whole prompt.
    pub prompt: Length,
    /// The length of an answer.
    pub output: Length,
    /// The length of the shared system prompt, in tokens.
    pub system: u32,
    /// The share of requests that try to continue a conversation, 0 to 1.
    pub going_on: f64,
    /// The seconds after which a conversation ends.
    pub patience: f64,
}

/// The assumed seconds per token of an answer, after which the next question may follow.
pub(super) const ANSWER_PACE: f64 = 0.03;
/// The seconds between an answer and the next question.
const THINK: f64 = 5.0;
/// The minimum length of a follow-up question, in tokens.
const QUESTION: u32 = 16;
/// The minimum share of the history in a prompt that continues it.
const LEAST_SHARE: f64 = 0.4;

impl Default for Documents {
    fn default() -> Self {
        Self {
            prompt: Length::Lognormal { p50: 6_909.0, p99: 85_401.0, max: 126_000 },
            output: Length::Lognormal { p50: 350.0, p99: 1_120.0, max: 2_000 },
            system: 512,
            going_on: 0.53,
            patience: 600.0,
        }
    }
}

/// A conversation that a later request may continue.
struct Open {
    since: f64,
    due: f64,
    /// All pieces so far, with the last answer.
    history: Vec<Piece>,
    tokens: u32,
}

impl Documents {
    pub(super) fn drafts(&self, times: &[f64], draw: &mut Draw) -> Vec<Draft> {
        let system = Piece { content: Content::Words(draw.word()), tokens: self.system };
        let mut open: Vec<Open> = Vec::new();
        times.iter().map(|&at| self.draft(at, system, &mut open, draw)).collect()
    }

    fn draft(&self, at: f64, system: Piece, open: &mut Vec<Open>, draw: &mut Draw) -> Draft {
        open.retain(|open| at - open.since < self.patience);
        let tokens = self.prompt.draw(draw);
        let wanted = f64::from(tokens) * draw.within(LEAST_SHARE, 1.0);
        let goes_on = draw.share() < self.going_on;
        let found = if goes_on { nearest(open, at, tokens, wanted) } else { None };
        // The continued conversation is replaced by its continuation below, so each is continued once.
        let history = found.map(|index| open.swap_remove(index).history);
        let goes_on = history.is_some();
        let prompt = fill(history.unwrap_or_else(|| vec![system]), tokens, draw.word());
        let output_tokens = self.output.draw(draw);
        open.push(Open::after(at, &prompt, output_tokens));
        Draft { at, prompt, output_tokens, goes_on }
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "prompts of {}, answers of {}; {:.0} % try to go on with an open conversation",
            self.prompt,
            self.output,
            self.going_on * 100.0
        )
    }
}

/// The open conversation that fits into `tokens` and whose length is nearest to `wanted`.
fn nearest(open: &[Open], at: f64, tokens: u32, wanted: f64) -> Option<usize> {
    let fits = |open: &Open| open.due <= at && open.tokens + QUESTION <= tokens;
    let off = |open: &Open| (f64::from(open.tokens) - wanted).abs();
    let some = open.iter().enumerate().filter(|(_, open)| fits(open));
    some.min_by(|one, two| off(one.1).total_cmp(&off(two.1))).map(|(index, _)| index)
}

/// `history`, truncated or extended with new words to `tokens` in total.
fn fill(mut history: Vec<Piece>, tokens: u32, words: u64) -> Vec<Piece> {
    let said: u32 = history.iter().map(|piece| piece.tokens).sum();
    match tokens.checked_sub(said) {
        Some(0) => {}
        Some(new) => history.push(Piece { content: Content::Words(words), tokens: new }),
        // `nearest` finds only histories that fit, so this is a system prompt longer than the whole prompt.
        None => history.iter_mut().for_each(|piece| piece.tokens = tokens),
    }
    history
}

impl Open {
    fn after(at: f64, prompt: &[Piece], answer: u32) -> Self {
        let mut history = prompt.to_vec();
        history.push(Piece { content: Content::Answer, tokens: answer });
        let tokens = history.iter().map(|piece| piece.tokens).sum();
        Self { since: at, due: at + f64::from(answer) * ANSWER_PACE + THINK, history, tokens }
    }
}
