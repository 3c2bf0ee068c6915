//! The priorities, targets and stated lengths of requests.

use std::time::Duration;

use qoe_core::request::analyze::Priority;
use qoe_core::target::Target;

use crate::lab::arrival::Arrival;
use crate::lab::draw::Draw;
use crate::lab::workload::draft::{Draft, duration};

/// The distribution of priorities, targets and stated lengths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promises {
    /// The weights of high, medium and low priority. They need not add up to 1.
    pub shares: [f64; 3],
    /// The targets of each priority.
    pub targets: [Target; 3],
    /// The share of requests that state an expected output length, 0 to 1.
    pub stated: f64,
}

/// The largest relative error of a stated length.
const OFF: f64 = 0.3;

const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];

impl Default for Promises {
    fn default() -> Self {
        Self { shares: [0.2, 0.6, 0.2], targets: [250, 500, 2_000].map(first_in), stated: 0.5 }
    }
}

/// Targets with this TTFT in milliseconds and an ITL for 20 tokens per second, which keeps ahead of a reader.
const fn first_in(ttft: u64) -> Target {
    Target { ttft: Duration::from_millis(ttft), itl: Duration::from_millis(50) }
}

impl Promises {
    /// The same `target` for all requests, all with medium priority, without stated lengths.
    #[must_use]
    pub const fn same(target: Target) -> Self {
        Self { shares: [0.0, 1.0, 0.0], targets: [target; 3], stated: 0.0 }
    }

    pub(in crate::lab) fn arrival(&self, draft: Draft, draw: &mut Draw) -> Arrival {
        let index = self.index(draw.share());
        let (states, off) = (draw.share() < self.stated, draw.within(1.0 - OFF, 1.0 + OFF));
        let expected = (f64::from(draft.output_tokens) * off).round().max(1.0) as u32;
        Arrival {
            at: duration(draft.at),
            prompt: draft.prompt.into(),
            output_tokens: draft.output_tokens,
            expected_output_tokens: states.then_some(expected),
            priority: PRIORITIES[index],
            target: self.targets[index],
            goes_on: draft.goes_on,
        }
    }

    /// The index of the priority for a draw `share`.
    fn index(&self, share: f64) -> usize {
        let wanted = share * self.shares.iter().sum::<f64>();
        let high = self.shares[0];
        let medium = high + self.shares[1];
        usize::from(wanted >= high) + usize::from(wanted >= medium && self.shares[2] > 0.0)
    }

    /// A description for reports.
    pub(super) fn describe(&self) -> String {
        let of = |index: usize| {
            let target = self.targets[index];
            format!(
                "{:.0} % {} (TTFT {} ms, ITL {} ms)",
                self.shares[index] / self.shares.iter().sum::<f64>() * 100.0,
                PRIORITIES[index].as_str(),
                target.ttft.as_millis(),
                target.itl.as_millis()
            )
        };
        let some = (0..3).filter(|&index| self.shares[index] > 0.0).map(of).collect::<Vec<_>>();
        format!("{}; {:.0} % state a length", some.join(", "), self.stated * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(promises: Promises) -> Vec<Arrival> {
        let mut draw = Draw::new(3, 3);
        let draft = Draft { at: 1.0, prompt: Vec::new(), output_tokens: 100, goes_on: false };
        (0..10_000).map(|_| promises.arrival(draft.clone(), &mut draw)).collect()
    }

    #[test]
    fn shares_and_targets_are_those_promised() {
        let all = label(Promises::default());
        let share = |priority: Priority| {
            all.iter().filter(|arrival| arrival.priority == priority).count() as f64 / 10_000.0
        };
        assert!((share(Priority::High) - 0.2).abs() < 0.02);
        assert!((share(Priority::Low) - 0.2).abs() < 0.02);
        let high = all.iter().find(|arrival| arrival.priority == Priority::High).unwrap();
        assert_eq!(high.target.ttft, Duration::from_millis(250));
    }

    #[test]
    fn what_is_stated_is_near_the_truth() {
        let all = label(Promises::default());
        let stated: Vec<u32> = all.iter().filter_map(|a| a.expected_output_tokens).collect();
        assert!((4_800..5_200).contains(&stated.len()), "{}", stated.len());
        assert!(stated.iter().all(|tokens| (70..=130).contains(tokens)));
    }

    #[test]
    fn the_same_for_all_is_medium() {
        let all = label(Promises::same(Target::default()));
        assert!(all.iter().all(|arrival| arrival.priority == Priority::Medium));
        assert!(all.iter().all(|arrival| arrival.expected_output_tokens.is_none()));
    }
}
