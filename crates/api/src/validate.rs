//! The rules of a route in code. They equal those of the schema, for documents that no API server has validated.

use std::collections::HashSet;
use std::fmt::Display;

use crate::autoscaling::{Autoscaling, ReplicaBounds};
use crate::limits::{Headers, Limits, Timeouts};
use crate::path::FieldPath;
use crate::policy::{Policy, PolicyType, Weights};
use crate::route::{Endpoints, Handoff, QoERouteSpec};
use crate::schema::{
    BODY_BYTES, CONNECT_MILLISECONDS, IN_FLIGHT, MAX_CHARS, MAX_ITEMS, PROMPT_TOKENS, QUEUED,
    REFERENCE, REPLICAS, Range, TARGET_MILLISECONDS, TIMEOUT_SECONDS, WEIGHT,
};
use crate::slo::{Slo, SloOverride};

/// A rule that a field violates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field from the spec, such as `slo.ttftMilliseconds`.
    pub path: FieldPath,
    /// What is wrong, and how to fix it.
    pub message: String,
}

impl QoERouteSpec {
    /// Returns every rule that this spec violates. An empty list means that it can be served.
    #[must_use]
    pub fn validate(&self) -> Vec<Violation> {
        let mut check = Check::default();
        check.class(&self.router_class_name);
        check.models(&self.models);
        check.endpoints(&self.endpoints);
        check.policy(&self.policy);
        check.handoff(&self.handoff);
        check.slo(&self.slo);
        check.headers(&self.headers);
        check.timeouts(&self.timeouts);
        check.limits(&self.limits);
        check.admin_paths(&self.allow_admin_paths);
        check.autoscaling(&self.autoscaling);
        check.found
    }
}

/// Collects violations, with one method for each part of the spec.
#[derive(Default)]
struct Check {
    found: Vec<Violation>,
}

impl Check {
    fn refuse(&mut self, path: FieldPath, message: impl Into<String>) {
        self.found.push(Violation { path, message: message.into() });
    }

    fn range<T: PartialOrd + Display>(&mut self, path: &str, value: T, range: Range<T>) {
        // The negation also refuses NaN, which is neither above nor below any bound.
        if !(value >= range.min && value <= range.max) {
            let message = format!("{value} is out of range: use {} to {}", range.min, range.max);
            self.refuse(FieldPath::of(path), message);
        }
    }

    /// Checks the number of names, and that none is empty or too long.
    fn names(&mut self, path: &str, names: &[String]) {
        let path = FieldPath::of(path);
        if names.len() > MAX_ITEMS {
            let message = format!("{} items: use at most {MAX_ITEMS}", names.len());
            self.refuse(path.clone(), message);
        }
        for (i, name) in names.iter().enumerate() {
            let chars = name.chars().count();
            if chars == 0 {
                self.refuse(path.index(i), "empty name: remove it or fill it in");
            } else if chars > MAX_CHARS {
                let message = format!("{chars} characters: use at most {MAX_CHARS}");
                self.refuse(path.index(i), message);
            }
        }
    }

    /// Checks that no name is listed twice.
    fn distinct(&mut self, path: &str, names: &[String]) {
        let mut seen = HashSet::new();
        for (i, name) in names.iter().enumerate() {
            if !seen.insert(name) {
                let message = format!("`{name}` is listed twice: remove one of the two");
                self.refuse(FieldPath::of(path).index(i), message);
            }
        }
    }

    fn class(&mut self, class: &str) {
        if !is_dns_label(class) {
            let message = format!(
                "`{class}` is not a class name: use 1 to 63 lower-case letters, digits or `-`, \
                 such as `default`"
            );
            self.refuse(FieldPath::of("routerClassName"), message);
        }
    }

    fn models(&mut self, models: &[String]) {
        self.names("models", models);
        self.distinct("models", models);
    }

    fn endpoints(&mut self, endpoints: &Endpoints) {
        if !endpoints.port.is_valid() {
            let message = format!(
                "`{}` is not a port: write a number from 1 to 65535, or the name of a container \
                 port, such as http",
                endpoints.port
            );
            self.refuse(FieldPath::of("endpoints.port"), message);
        }
        let phase = &endpoints.phase;
        self.names("endpoints.phase.labels", &phase.labels);
        self.names("endpoints.phase.prefillTags", &phase.prefill_tags);
        self.names("endpoints.phase.decodingTags", &phase.decoding_tags);
    }

    fn policy(&mut self, policy: &Policy) {
        if policy.predictive.is_some() && policy.kind != PolicyType::Predictive {
            self.refuse(
                FieldPath::of("policy.predictive"),
                "predictive belongs to the policy Predictive: set type to Predictive, or remove \
                 predictive",
            );
        }
        let Some(weights) = &policy.weights else { return };
        if policy.kind != PolicyType::Weighted {
            self.refuse(
                FieldPath::of("policy.weights"),
                "weights belong to the policy Weighted: set type to Weighted, or remove weights",
            );
        }
        self.weights(weights);
    }

    fn weights(&mut self, weights: &Weights) {
        let (prefill, decoding) = (&weights.prefill, &weights.decoding);
        self.weigh(
            "policy.weights.prefill",
            [("ttft", prefill.ttft), ("prefixMiss", prefill.prefix_miss), ("queue", prefill.queue)],
        );
        self.weigh(
            "policy.weights.decoding",
            [("itl", decoding.itl), ("tps", decoding.tps), ("queue", decoding.queue)],
        );
        let references = &weights.references;
        let at = |field: &str| format!("policy.weights.references.{field}");
        self.range(&at("ttftMilliseconds"), references.ttft_milliseconds, TARGET_MILLISECONDS);
        self.range(&at("itlMilliseconds"), references.itl_milliseconds, TARGET_MILLISECONDS);
        self.range(&at("tokensPerSecond"), references.tokens_per_second, REFERENCE);
        self.range(&at("prefillQueue"), references.prefill_queue, REFERENCE);
        self.range(&at("decodingQueue"), references.decoding_queue, REFERENCE);
    }

    fn weigh(&mut self, path: &str, weights: [(&str, f64); 3]) {
        for (field, weight) in weights {
            self.range(&format!("{path}.{field}"), weight, WEIGHT);
        }
        if weights.iter().all(|(_, weight)| *weight == 0.0) {
            let message =
                "all weights are 0, so endpoints cannot be compared: set at least one above 0";
            self.refuse(FieldPath::of(path), message);
        }
    }

    fn handoff(&mut self, handoff: &Handoff) {
        if let Some(tokens) = handoff.min_prompt_tokens {
            self.range("handoff.minPromptTokens", tokens, PROMPT_TOKENS);
        }
    }

    fn slo(&mut self, slo: &Slo) {
        self.range("slo.ttftMilliseconds", slo.ttft_milliseconds, TARGET_MILLISECONDS);
        self.range("slo.itlMilliseconds", slo.itl_milliseconds, TARGET_MILLISECONDS);
        let priorities = &slo.by_priority;
        self.slo_override("High", priorities.high.as_ref());
        self.slo_override("Medium", priorities.medium.as_ref());
        self.slo_override("Low", priorities.low.as_ref());
    }

    fn slo_override(&mut self, priority: &str, slo: Option<&SloOverride>) {
        let Some(slo) = slo else { return };
        if let Some(ttft) = slo.ttft_milliseconds {
            let path = format!("slo.byPriority.{priority}.ttftMilliseconds");
            self.range(&path, ttft, TARGET_MILLISECONDS);
        }
        if let Some(itl) = slo.itl_milliseconds {
            let path = format!("slo.byPriority.{priority}.itlMilliseconds");
            self.range(&path, itl, TARGET_MILLISECONDS);
        }
    }

    fn headers(&mut self, headers: &Headers) {
        let mut seen = HashSet::new();
        for (field, name) in headers.by_field() {
            let path = FieldPath::of("headers").key(field);
            if !is_header_name(name) {
                let message = "invalid header name: use 1 to 64 letters, digits or `-`, such as \
                               `x-request-priority`";
                self.refuse(path, message);
            } else if is_reserved(name) {
                let message = format!(
                    "`{name}` is reserved by HTTP or by the router: choose another name, such as \
                     x-request-priority"
                );
                self.refuse(path, message);
            } else if !seen.insert(name.to_ascii_lowercase()) {
                let message = format!("`{name}` is the name of two headers: give each its own");
                self.refuse(path, message);
            }
        }
    }

    fn timeouts(&mut self, timeouts: &Timeouts) {
        let connect = timeouts.connect_milliseconds;
        self.range("timeouts.connectMilliseconds", connect, CONNECT_MILLISECONDS);
        self.range("timeouts.firstTokenSeconds", timeouts.first_token_seconds, TIMEOUT_SECONDS);
        self.range("timeouts.prefillSeconds", timeouts.prefill_seconds, TIMEOUT_SECONDS);
        self.range("timeouts.idleSeconds", timeouts.idle_seconds, TIMEOUT_SECONDS);
        self.range("timeouts.answerSeconds", timeouts.answer_seconds, TIMEOUT_SECONDS);
    }

    fn limits(&mut self, limits: &Limits) {
        self.range("limits.maxBodyBytes", limits.max_body_bytes, BODY_BYTES);
        self.range("limits.maxInFlight", limits.max_in_flight, IN_FLIGHT);
        self.range("limits.maxQueued", limits.max_queued, QUEUED);
    }

    fn admin_paths(&mut self, paths: &[String]) {
        self.names("allowAdminPaths", paths);
        self.distinct("allowAdminPaths", paths);
        for (i, path) in paths.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
            if !is_plain_path(path) {
                let message = format!(
                    "`{path}` is not a plain path: write it like `/sleep`, without pattern, query or \
                     host"
                );
                self.refuse(FieldPath::of("allowAdminPaths").index(i), message);
            }
        }
    }

    fn autoscaling(&mut self, autoscaling: &Autoscaling) {
        self.bounds("autoscaling.prefill", &autoscaling.prefill);
        self.bounds("autoscaling.decoding", &autoscaling.decoding);
    }

    fn bounds(&mut self, path: &str, bounds: &ReplicaBounds) {
        let ReplicaBounds { min_replicas, max_replicas } = *bounds;
        self.range(&format!("{path}.minReplicas"), min_replicas, REPLICAS);
        self.range(&format!("{path}.maxReplicas"), max_replicas, REPLICAS);
        if min_replicas > max_replicas {
            let message = "minReplicas is above maxReplicas: swap them, or leave one out";
            self.refuse(FieldPath::of(path), message);
        }
    }
}

impl Headers {
    /// The field and the name of each header.
    fn by_field(&self) -> [(&'static str, &str); 4] {
        [
            ("priority", &self.priority),
            ("expectedOutputTokens", &self.expected_output_tokens),
            ("slaTarget", &self.sla_target),
            ("session", &self.session),
        ]
    }
}

/// Whether `name` is an RFC 1123 label, which Kubernetes requires of many names.
fn is_dns_label(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether `name` is a token of RFC 9110 with at most 64 characters.
fn is_header_name(name: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(is_token)
}

/// Whether `name` is a hop-by-hop header, describes the body or the client, or is the router's `x-request-id`. A route
/// that gave one of them another meaning would misread every request that has it.
fn is_reserved(name: &str) -> bool {
    const TAKEN: [&str; 12] = [
        "authorization",
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    ];
    let name = name.to_ascii_lowercase();
    name.starts_with("content-") || TAKEN.contains(&name.as_str())
}

/// Whether `path` is a path such as `/a/b.c`, without empty segments, segments that begin with a dot, or escapes.
fn is_plain_path(path: &str) -> bool {
    let is_plain = |segment: &str| {
        let starts_well = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        segment.bytes().next().is_some_and(starts_well)
            && segment.bytes().all(|b| starts_well(b) || b == b'.' || b == b'-')
    };
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_plain))
}

#[cfg(test)]
mod tests;
