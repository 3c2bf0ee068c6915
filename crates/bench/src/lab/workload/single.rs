//! Independent requests, optionally with shared prefixes.

use crate::lab::arrival::{Content, Piece};
use crate::lab::draw::{Draw, mix};
use crate::lab::workload::draft::Draft;
use crate::lab::workload::length::Length;

/// Independent requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Single {
    /// The length of the prompt without the prefix.
    pub prompt: Length,
    /// The length of the answer.
    pub output: Length,
    /// The shared prefixes, if any.
    pub prefix: Option<Prefix>,
}

/// A set of prefixes that requests share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The length of a prefix in tokens.
    pub tokens: u32,
    /// The number of prefixes. Each request has one of them, drawn at random.
    pub variants: u32,
}

impl Single {
    pub(super) fn drafts(&self, times: &[f64], draw: &mut Draw) -> Vec<Draft> {
        let first = draw.word();
        times.iter().map(|&at| self.draft(at, first, draw)).collect()
    }

    fn draft(&self, at: f64, prefixes: u64, draw: &mut Draw) -> Draft {
        let mut prompt = Vec::with_capacity(2);
        if let Some(Prefix { tokens, variants }) = self.prefix {
            let variant = u64::from(draw.between(1, variants.max(1)));
            prompt.push(Piece { content: Content::Words(mix(prefixes, variant)), tokens });
        }
        prompt.push(Piece { content: Content::Words(draw.word()), tokens: self.prompt.draw(draw) });
        Draft { at, prompt, output_tokens: self.output.draw(draw), goes_on: false }
    }

    pub(super) fn describe(&self) -> String {
        let prefix = self.prefix.map_or(String::new(), |prefix| {
            format!("one of {} shared prefixes of {} tokens, ", prefix.variants, prefix.tokens)
        });
        format!("{prefix}prompts of {}, answers of {}", self.prompt, self.output)
    }
}
