//! From the spec of a document to the rules of a route.

use std::time::Duration;

use http::HeaderName;
use qoe_api as api;
use qoe_core::plan::policy::{EndpointPolicy, Policy, Predictive};
use qoe_core::plan::scope::{HandoffMode, HandoffRule};
use qoe_core::plan::weighted::Weights;
use qoe_core::request::analyze::HeaderRules;
use qoe_core::target::Target;

use crate::routes::route::{Targets, Timeouts};

pub(crate) fn policy(policy: &api::Policy) -> Policy {
    match policy.kind {
        api::PolicyType::Predictive => {
            let api::Predictive { cross_phase } = policy.predictive.clone().unwrap_or_default();
            Policy::Predictive(Predictive { cross_phase })
        }
        api::PolicyType::Weighted => {
            EndpointPolicy::Weighted(weights(&policy.weights.clone().unwrap_or_default())).into()
        }
        api::PolicyType::RoundRobin => EndpointPolicy::RoundRobin.into(),
        api::PolicyType::LeastRequest => EndpointPolicy::LeastRequest.into(),
        api::PolicyType::PowerOfTwo => EndpointPolicy::PowerOfTwo.into(),
        api::PolicyType::PrefixAffinity => EndpointPolicy::PrefixAffinity.into(),
    }
}

/// Shorter prompts, in tokens, are not handed off by policies that do not forecast whether it pays. An H100 reads an 8 B
/// model's prompt of 512 tokens in some 20 ms, a stutter of one or two steps. At half, a handoff spares streams less than
/// it adds to the first token; at double, streams beside the prompt stutter for twice as long.
const MIN_PROMPT_TOKENS: u32 = 512;

pub(crate) fn handoff(handoff: &api::Handoff, policy: Policy) -> HandoffRule {
    let default = match policy {
        Policy::Predictive(_) => 0,
        _ => MIN_PROMPT_TOKENS,
    };
    HandoffRule {
        mode: match handoff.mode {
            api::HandoffMode::Auto => HandoffMode::Auto,
            api::HandoffMode::Always => HandoffMode::Always,
            api::HandoffMode::Never => HandoffMode::Never,
        },
        min_prompt_tokens: u64::from(handoff.min_prompt_tokens.unwrap_or(default)),
    }
}

fn weights(weights: &api::Weights) -> Weights {
    let api::Weights { prefill, decoding, references } = weights;
    Weights {
        prefill_ttft: prefill.ttft,
        prefill_prefix_miss: prefill.prefix_miss,
        prefill_queue: prefill.queue,
        decoding_itl: decoding.itl,
        decoding_tps: decoding.tps,
        decoding_queue: decoding.queue,
        ttft_reference: f64::from(references.ttft_milliseconds) / 1e3,
        itl_reference: f64::from(references.itl_milliseconds) / 1e3,
        tps_reference: f64::from(references.tokens_per_second),
        prefill_queue_reference: f64::from(references.prefill_queue),
        decoding_queue_reference: f64::from(references.decoding_queue),
    }
}

/// The names of the headers. They were validated with the document; a default stands in for one that was not.
pub(crate) fn header_rules(headers: &api::Headers) -> HeaderRules {
    let default = HeaderRules::default();
    let name = |name: &str, default: HeaderName| name.parse().unwrap_or(default);
    HeaderRules {
        priority: name(&headers.priority, default.priority),
        expected_output: name(&headers.expected_output_tokens, default.expected_output),
        sla_target: name(&headers.sla_target, default.sla_target),
        sla_target_alias: default.sla_target_alias,
        itl_target: default.itl_target,
        session: name(&headers.session, default.session),
    }
}

pub(crate) fn targets(slo: &api::Slo) -> Targets {
    let of = |over: Option<&api::SloOverride>| {
        let ttft = over.and_then(|o| o.ttft_milliseconds).unwrap_or(slo.ttft_milliseconds);
        let itl = over.and_then(|o| o.itl_milliseconds).unwrap_or(slo.itl_milliseconds);
        Target { ttft: millis(ttft), itl: millis(itl) }
    };
    let api::SloByPriority { high, medium, low } = &slo.by_priority;
    Targets { high: of(high.as_ref()), medium: of(medium.as_ref()), low: of(low.as_ref()) }
}

pub(crate) fn timeouts(timeouts: &api::Timeouts) -> Timeouts {
    let seconds = |s: u32| Duration::from_secs(u64::from(s));
    Timeouts {
        connect: millis(timeouts.connect_milliseconds),
        first_token: seconds(timeouts.first_token_seconds),
        prefill: seconds(timeouts.prefill_seconds),
        idle: seconds(timeouts.idle_seconds),
        answer: seconds(timeouts.answer_seconds),
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_document_are_those_of_core() {
        let of = |kind| policy(&api::Policy { kind, ..api::Policy::default() });
        assert_eq!(
            of(api::PolicyType::Weighted),
            EndpointPolicy::Weighted(Weights::default()).into()
        );
        assert_eq!(of(api::PolicyType::Predictive), Policy::Predictive(Predictive::default()));
        assert_eq!(header_rules(&api::Headers::default()), HeaderRules::default());
        assert_eq!(targets(&api::Slo::default()).medium, Target::default());
    }
}
