//! Long documents and further questions about them, in the shape of the Mooncake conversation trace.
//!
//! A request's length is drawn first, so that lengths are those of the trace; then, by lot, it goes on with the open
//! conversation whose history comes nearest to a drawn share of that length. So prefixes grow by whole turns.

use crate::lab::arrival::{Content, Piece};
use crate::lab::draw::Draw;
use crate::lab::workload::draft::Draft;
use crate::lab::workload::length::Length;

/// Lengths and prefix sharing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Documents {
    /// Tokens of whole prompts.
    pub prompt: Length,
    /// Tokens of answers.
    pub output: Length,
    /// Tokens of the system prompt that all share.
    pub system: u32,
    /// Share of the requests that try to go on with a conversation, 0 to 1.
    pub going_on: f64,
    /// Seconds after which a conversation is over.
    pub patience: f64,
}

/// Seconds that an answer takes for each of its tokens, as far as the next question waits for it.
pub(super) const ANSWER_PACE: f64 = 0.03;
/// Seconds before a further question, after the answer.
const THINK: f64 = 5.0;
/// A further question has at least so many tokens.
const QUESTION: u32 = 16;
/// What the history is of a prompt that goes on with it, at least.
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

/// A conversation that may go on.
struct Open {
    since: f64,
    due: f64,
    /// Everything said so far, the last answer included.
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

/// `history`, cut or filled up with new words to `tokens` in all.
fn fill(mut history: Vec<Piece>, tokens: u32, words: u64) -> Vec<Piece> {
    let said: u32 = history.iter().map(|piece| piece.tokens).sum();
    match tokens.checked_sub(said) {
        Some(0) => {}
        Some(new) => history.push(Piece { content: Content::Words(words), tokens: new }),
        // Only the system prompt alone may be longer than a whole prompt.
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
