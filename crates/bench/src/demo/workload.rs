//! The load of the demo. One seed determines it, so both runs get the same requests.

use std::time::Duration;

use qoe_core::target::Target;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::request;

/// Three kinds of traffic that share a model in production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A short question, with a streamed answer that a person reads.
    Chat,
    /// The same lengths, read by a program that waits for every token, such as a coding or voice agent.
    Agent,
    /// A long document with a short answer: a summary, a label, an extraction.
    Document,
}

/// Rates and sizes of the mix; sizes are uniform within their range, arrivals are Poisson.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Chat requests per second.
    pub chat_rate: f64,
    /// Agent requests per second.
    pub agent_rate: f64,
    /// Document requests per second.
    pub document_rate: f64,
    /// The seed of all arrivals, lengths and words.
    pub seed: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self { chat_rate: 14.0, agent_rate: 14.0, document_rate: 9.0, seed: 7 }
    }
}

/// One planned request.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// When it is sent, from the start of the run.
    pub at: Duration,
    /// The class of the request.
    pub class: Class,
    /// Length of the prompt, in tokens.
    pub prompt_tokens: u32,
    /// Length of the answer, in tokens.
    pub output_tokens: u32,
    /// Priority: 1 high, 2 medium, 3 low.
    pub priority: u8,
    words: u64,
}

impl Class {
    const fn prompt_tokens(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Self::Chat | Self::Agent => 60..=400,
            Self::Document => 4_000..=8_000,
        }
    }

    const fn output_tokens(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Self::Chat | Self::Agent => 150..=300,
            Self::Document => 20..=60,
        }
    }

    /// The targets of the class. 20 tokens per second keep ahead of a reader; agents are sold 100.
    #[must_use]
    pub const fn target(self) -> Target {
        let (ttft, itl) = match self {
            Self::Chat => (500, 50),
            Self::Agent => (500, 10),
            Self::Document => (2_000, 50),
        };
        Target { ttft: Duration::from_millis(ttft), itl: Duration::from_millis(itl) }
    }

    /// The priority (1 high, 2 medium, 3 low) for a draw from 0..10.
    const fn priority(self, draw: u32) -> u8 {
        match (self, draw) {
            (Self::Agent, 0..5) => 1,
            (Self::Agent | Self::Chat, _) | (Self::Document, 0..3) => 2,
            (Self::Document, _) => 3,
        }
    }
}

impl Mix {
    /// All requests of a run, in order of time.
    #[must_use]
    pub fn plan(&self, duration: Duration) -> Vec<Planned> {
        let mut all = arrivals(Class::Chat, self.chat_rate, duration, self.seed);
        all.extend(arrivals(Class::Agent, self.agent_rate, duration, self.seed ^ 0xA6E7));
        all.extend(arrivals(Class::Document, self.document_rate, duration, self.seed ^ 0xD0C5));
        all.sort_by_key(|planned| planned.at);
        all
    }

    /// A description of the load for reports.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "open loop, Poisson, seed {}, no shared prefixes:\n\
             - {} chats/s: 60–400 prompt tokens, 150–300 output tokens, read by people; targets: TTFT 500 ms, ITL 50 ms\n\
             - {} agents/s: the same lengths, read by programs, half with high priority; targets: TTFT 500 ms, ITL 10 ms\n\
             - {} documents/s: 4,000–8,000 prompt tokens, 20–60 output tokens, 70 % with low priority; targets: TTFT 2 s, ITL 50 ms",
            self.seed, self.chat_rate, self.agent_rate, self.document_rate
        )
    }
}

fn arrivals(class: Class, rate: f64, duration: Duration, seed: u64) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut at = 0.0;
    let mut planned = Vec::new();
    loop {
        // `random` returns 0 but never 1, and the logarithm needs a number above 0.
        at -= (1.0 - rng.random::<f64>()).ln() / rate;
        if at >= duration.as_secs_f64() {
            return planned;
        }
        planned.push(Planned {
            at: Duration::from_secs_f64(at),
            class,
            prompt_tokens: rng.random_range(class.prompt_tokens()),
            output_tokens: rng.random_range(class.output_tokens()),
            priority: class.priority(rng.random_range(0..10)),
            words: rng.random(),
        });
    }
}

impl Planned {
    /// The bytes of the streamed HTTP request for `model`.
    #[must_use]
    pub fn request(&self, model: &str) -> Vec<u8> {
        let mut rng = StdRng::seed_from_u64(self.words);
        let prompt = request::prose(self.prompt_tokens as usize, || rng.random());
        let tokens = self.output_tokens;
        let body = format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"{prompt}"}}],"max_tokens":{tokens},"ignore_eos":true,"temperature":0,"stream":true}}"#
        );
        let headers = [
            ("x-request-priority", self.priority.to_string()),
            ("x-expected-output-tokens", tokens.to_string()),
            ("x-sla-target-ms", self.class.target().ttft.as_millis().to_string()),
            ("x-llm-d-slo-tpot-ms", self.class.target().itl.as_millis().to_string()),
            ("x-qoe-explain", "1".to_owned()),
        ];
        request::post(&body, &headers.each_ref().map(|(name, value)| (*name, value.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn one_seed_gives_one_workload() {
        let mix = Mix::default();
        let (first, again) = (mix.plan(MINUTE), mix.plan(MINUTE));
        assert_eq!(first, again);
        assert_eq!(first[3].request("m"), again[3].request("m"));
        assert_ne!(first, Mix { seed: 8, ..mix }.plan(MINUTE));
    }

    #[test]
    fn rates_and_sizes_are_those_of_the_mix() {
        let plan =
            Mix { chat_rate: 30.0, agent_rate: 20.0, document_rate: 5.0, seed: 1 }.plan(MINUTE);
        let documents = plan.iter().filter(|planned| planned.class == Class::Document).count();
        assert!((240..360).contains(&documents), "{documents} documents");
        assert!(
            (2_800..3_200).contains(&(plan.len() - documents)),
            "{} chats",
            plan.len() - documents
        );
        assert!(plan.is_sorted_by_key(|planned| planned.at));
        assert!(
            plan.iter()
                .all(|planned| planned.class.prompt_tokens().contains(&planned.prompt_tokens))
        );
        assert!((1..=3).all(|priority| plan.iter().any(|planned| planned.priority == priority)));
    }

    #[test]
    fn a_prompt_is_as_long_as_planned_and_unlike_others() {
        let plan = Mix::default().plan(MINUTE);
        let (one, two) = (plan[0].request("m"), plan[1].request("m"));
        let text = String::from_utf8(one.clone()).unwrap();
        let (_, rest) = text.split_once(r#""content":""#).unwrap();
        let prompt = rest.split('"').next().unwrap();
        assert_eq!(prompt.len(), plan[0].prompt_tokens as usize * 4);
        assert_ne!(one[one.len() - 400..one.len() - 120], two[two.len() - 400..two.len() - 120]);
    }
}
