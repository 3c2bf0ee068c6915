//! Synthetic workloads with the statistics of public traces. One seed determines a workload.
//!
//! ```text
//! course (when) → kind (what: lengths, prefixes, turns) → promises (priority, targets, stated lengths) → arrivals
//! ```

pub mod conversations;
pub mod course;
pub mod documents;
pub mod draft;
pub mod length;
pub mod promises;
pub mod single;

use crate::lab::arrival::Arrival;
use crate::lab::draw::{Draw, mix};
use crate::lab::workload::conversations::Conversations;
use crate::lab::workload::course::RateCurve;
use crate::lab::workload::documents::Documents;
use crate::lab::workload::draft::WorkloadError;
use crate::lab::workload::length::Length;
use crate::lab::workload::promises::Promises;
use crate::lab::workload::single::{Prefix, Single};

#[cfg(test)]
mod tests;

/// A workload of any length and rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The name on the command line.
    pub name: &'static str,
    /// The kind of requests.
    pub kind: Traffic,
    /// The rate over time.
    pub course: RateCurve,
    /// The priorities, targets and stated lengths of requests.
    pub promises: Promises,
}

/// The kinds of requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Independent requests.
    Single(Single),
    /// Long documents with follow-up questions.
    Documents(Documents),
    /// Conversations of many turns.
    Conversations(Conversations),
    /// Several workloads at the same time, each with its share of the rate.
    Mix(Vec<(f64, Workload)>),
}

impl Workload {
    /// The workload with this name, with default targets.
    ///
    /// # Errors
    /// No workload has this name.
    pub fn named(name: &str) -> Result<Self, WorkloadError> {
        match name {
            "chat" => Ok(Self::chat()),
            "code" => Ok(Self::code()),
            "documents" => Ok(Self::documents()),
            "conversations" => Ok(Self::conversations()),
            "tiny" => Ok(Self::tiny()),
            "agents" => Ok(Self::agents()),
            _ => Err(WorkloadError::Unknown(name.to_owned())),
        }
    }

    /// Chats of one turn: lengths as in the Azure conversation trace of 2023.
    #[must_use]
    pub fn chat() -> Self {
        let prompt = Length::Lognormal { p50: 1_020.0, p99: 4_142.0, max: 14_050 };
        let output = Length::Lognormal { p50: 129.0, p99: 601.0, max: 1_000 };
        Self::single("chat", Single { prompt, output, prefix: None })
    }

    /// Code completion: lengths and bursts as in the Azure code trace of 2023, whose busiest second had 25 times the
    /// mean.
    #[must_use]
    pub fn code() -> Self {
        let prompt = Length::Lognormal { p50: 1_469.0, p99: 7_436.0, max: 7_437 };
        let output = Length::Lognormal { p50: 13.0, p99: 252.0, max: 1_899 };
        let single = Self::single("code", Single { prompt, output, prefix: None });
        Self { course: RateCurve::Spiky { peak: 25.0 }, ..single }
    }

    /// Long documents with follow-up questions: lengths and prefix sharing as in the Mooncake conversation trace.
    #[must_use]
    pub fn documents() -> Self {
        Self::of("documents", Traffic::Documents(Documents::default()))
    }

    /// Conversations of 2 to 12 turns under the system prompts of a few applications.
    #[must_use]
    pub fn conversations() -> Self {
        Self::of("conversations", Traffic::Conversations(Conversations::default()))
    }

    /// Short prompts and short answers, which show the cost of every detour.
    #[must_use]
    pub fn tiny() -> Self {
        let prompt = Length::Uniform { min: 16, max: 128 };
        let output = Length::Uniform { min: 32, max: 256 };
        Self::single("tiny", Single { prompt, output, prefix: None })
    }

    /// Agents: a long prefix of instructions and tools that all calls of an application share, and short answers.
    #[must_use]
    pub fn agents() -> Self {
        let prompt = Length::Uniform { min: 50, max: 500 };
        let output = Length::Uniform { min: 8, max: 96 };
        let prefix = Some(Prefix { tokens: 6_000, variants: 4 });
        Self::single("agents", Single { prompt, output, prefix })
    }

    /// Several workloads at the same time, each with its share of the rate. Each keeps its own course and promises.
    ///
    /// # Errors
    /// There are no parts, or a share is not above 0.
    pub fn mix(name: &'static str, parts: Vec<(f64, Self)>) -> Result<Self, WorkloadError> {
        let total: f64 = parts.iter().map(|(share, _)| share).sum();
        if parts.is_empty() || !parts.iter().all(|&(share, _)| share > 0.0 && share.is_finite()) {
            let what = "each part of a mix needs a share above 0, and there must be one".to_owned();
            return Err(WorkloadError::Figure { name, what });
        }
        let parts = parts.into_iter().map(|(share, part)| (share / total, part)).collect();
        Ok(Self::of(name, Traffic::Mix(parts)))
    }

    /// Returns the workload with another rate over time.
    #[must_use]
    pub fn with_course(self, course: RateCurve) -> Self {
        Self { course, ..self }
    }

    /// Returns the workload with other promises.
    #[must_use]
    pub fn with_promises(self, promises: Promises) -> Self {
        Self { promises, ..self }
    }

    fn single(name: &'static str, single: Single) -> Self {
        Self::of(name, Traffic::Single(single))
    }

    fn of(name: &'static str, kind: Traffic) -> Self {
        Self { name, kind, course: RateCurve::Constant, promises: Promises::default() }
    }

    /// The requests of `seconds` seconds at a mean of `rate` requests per second, in order of time.
    #[must_use]
    pub fn generate(&self, seconds: f64, rate: f64, seed: u64) -> Vec<Arrival> {
        // Separate streams keep the times of arrival the same when lengths or targets change.
        let mut times = Draw::new(seed, 1);
        let mut draw = Draw::new(seed, 2);
        let drafts = match &self.kind {
            Traffic::Single(single) => {
                single.drafts(&self.times(seconds, rate, &mut times), &mut draw)
            }
            Traffic::Documents(kind) => {
                kind.drafts(&self.times(seconds, rate, &mut times), &mut draw)
            }
            Traffic::Conversations(kind) => {
                // Conversations begin before the workload, so that its first second has turns of all ages, like its
                // last.
                let starts = (-kind.longest(), seconds);
                let starts = self.course.times(starts, rate / kind.mean_turns(), &mut times);
                kind.drafts(&starts, seconds, &mut draw)
            }
            Traffic::Mix(parts) => return merged(parts, seconds, rate, seed),
        };
        let mut labels = Draw::new(seed, 3);
        drafts.into_iter().map(|draft| self.promises.arrival(draft, &mut labels)).collect()
    }

    fn times(&self, seconds: f64, rate: f64, draw: &mut Draw) -> Vec<f64> {
        self.course.times((0.0, seconds), rate, draw)
    }

    /// A description of the workload for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        let kind = match &self.kind {
            Traffic::Single(single) => single.describe(),
            Traffic::Documents(documents) => documents.describe(),
            Traffic::Conversations(conversations) => conversations.describe(),
            Traffic::Mix(parts) => {
                let part = |(share, part): &(f64, Self)| {
                    format!("{:.0} % {}", share * 100.0, part.describe())
                };
                return parts.iter().map(part).collect::<Vec<_>>().join("; ");
            }
        };
        format!("{}: {kind}; {}; {}", self.name, self.course.describe(), self.promises.describe())
    }
}

/// The arrivals of all parts of a mix, in order of time.
fn merged(parts: &[(f64, Workload)], seconds: f64, rate: f64, seed: u64) -> Vec<Arrival> {
    let part = |(index, (share, part)): (usize, &(f64, Workload))| {
        // With one seed for all, parts of the same kind would repeat each other's prompts.
        part.generate(seconds, rate * share, mix(seed, index as u64 + 1))
    };
    let mut all: Vec<Arrival> = parts.iter().enumerate().flat_map(part).collect();
    all.sort_by_key(|arrival| arrival.at);
    all
}
