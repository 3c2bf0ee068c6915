//! The status of a route, made from its spec, its pods, and what routers answered. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use qoe_api::crd::{PhaseStatus, PhasesStatus, QoERouteStatus, RoutersStatus};
use qoe_core::scale::Hint;

use crate::hints::Hints;
use crate::index::{Acceptance, RouteOutcome};
use crate::registry::Programmed;
use crate::route::{Route, RouteKey};
use crate::translate::{Count, Findings, Translation};

/// A condition of a route, without the times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConditionState {
    pub(crate) kind: &'static str,
    pub(crate) holds: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl ConditionState {
    fn new(
        kind: &'static str,
        holds: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, holds, reason, message: message.into() }
    }
}

/// The inputs of a status.
pub(crate) struct Facts<'a> {
    pub(crate) route: &'a Route,
    pub(crate) outcome: &'a RouteOutcome,
    pub(crate) programmed: &'a Programmed,
    /// The latest state, or this controller's view, is so young that routers may not have answered yet.
    pub(crate) fresh: bool,
    pub(crate) hints: Option<Hints>,
}

/// The four conditions.
pub(crate) fn verdicts(facts: &Facts<'_>) -> [ConditionState; 4] {
    let accepted = accepted(&facts.outcome.acceptance);
    let resolved = resolved(facts.outcome.translation.as_ref());
    let programmed = programmed(facts);
    let ready = ready(&accepted, &resolved, &programmed, facts.outcome.translation.as_ref());
    [accepted, resolved, programmed, ready]
}

/// The status, with the times of conditions that have not changed kept.
pub(crate) fn status(facts: &Facts<'_>, now: Timestamp) -> QoERouteStatus {
    let Facts { route, outcome, programmed, hints, .. } = facts;
    let old = &route.observed.conditions;
    let conditions = verdicts(facts)
        .into_iter()
        .map(|verdict| condition(verdict, route.generation, old, now))
        .collect();
    let counts = outcome.translation.as_ref().map(|t| (t.prefill, t.decoding));
    let column = |count: Count| format!("{}/{}", count.ready, count.total);
    QoERouteStatus {
        observed_generation: Some(route.generation),
        prefill: counts.map(|(prefill, _)| column(prefill)),
        decoding: counts.map(|(_, decoding)| column(decoding)),
        phases: counts.map(|(prefill, decoding)| PhasesStatus {
            prefill: phase(prefill, hints.map(|hints| hints.prefill)),
            decoding: phase(decoding, hints.map(|hints| hints.decoding)),
        }),
        routers: Some(RoutersStatus {
            connected: programmed.connected,
            programmed: programmed.programmed,
        }),
        conditions,
    }
}

fn phase(count: Count, hint: Option<Hint>) -> PhaseStatus {
    PhaseStatus {
        ready: count.ready,
        total: count.total,
        desired_replicas: hint.map(|hint| hint.desired),
        reason: hint.map(|hint| hint.reason.as_str().to_owned()),
    }
}

fn condition(
    verdict: ConditionState,
    generation: i64,
    old: &[Condition],
    now: Timestamp,
) -> Condition {
    let status = if verdict.holds { "True" } else { "False" };
    let same = old.iter().find(|old| old.type_ == verdict.kind && old.status == status);
    Condition {
        type_: verdict.kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: verdict.message,
        observed_generation: Some(generation),
        // The API has whole seconds.
        last_transition_time: same.map_or_else(
            || Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
            |same| same.last_transition_time.clone(),
        ),
    }
}

fn accepted(acceptance: &Acceptance) -> ConditionState {
    let owned = |lost: &[(String, RouteKey)]| {
        let owned = lost.iter().map(|(model, owner)| format!("`{model}` belongs to {owner}"));
        owned.collect::<Vec<_>>().join(", ")
    };
    let verdict = |holds, reason, message| ConditionState::new("Accepted", holds, reason, message);
    match acceptance {
        Acceptance::Accepted => verdict(true, "Accepted", "The route is served.".to_owned()),
        Acceptance::Partly(lost) => verdict(
            true,
            "PartlyAccepted",
            format!(
                "Older routes have some of the models: {}: name each model in one route only.",
                owned(lost)
            ),
        ),
        Acceptance::Conflict(lost) => verdict(
            false,
            "ModelConflict",
            format!(
                "Older routes have all of the models: {}: name each model in one route only.",
                owned(lost)
            ),
        ),
        Acceptance::Invalid(why) => verdict(
            false,
            "Invalid",
            format!("{why}. The last good spec, if there was one, stays in use."),
        ),
    }
}

fn resolved(translation: Option<&Translation>) -> ConditionState {
    let verdict =
        |holds, reason, message| ConditionState::new("ResolvedRefs", holds, reason, message);
    let Some(translation) = translation else {
        return verdict(false, "Invalid", "The spec cannot be used: see Accepted.".to_owned());
    };
    let Findings { port_missing, address_bad, .. } = &translation.findings;
    if translation.selected == 0 {
        let hint = "No pod in this namespace matches endpoints.selector.matchLabels.";
        return verdict(false, "NoPodsSelected", hint.to_owned());
    }
    if port_missing.count > 0 {
        let names = port_missing.names();
        let message = format!(
            "Pods without a TCP port named as in endpoints.port: {names}: name the container's \
             port, or use its number."
        );
        return verdict(false, "PortNotFound", message);
    }
    if address_bad.count > 0 {
        let names = address_bad.names();
        let message = format!("Pods without an IP address of their own: {names}.");
        return verdict(false, "AddressUnusable", message);
    }
    let message = format!("{} pods are selected.", translation.selected);
    verdict(true, "Resolved", message)
}

fn programmed(facts: &Facts<'_>) -> ConditionState {
    let verdict =
        |holds, reason, message| ConditionState::new("Programmed", holds, reason, message);
    let Programmed { connected, programmed, refused } = facts.programmed;
    if facts.outcome.nonce == 0 {
        let message = "There is nothing to serve: see Accepted.";
        return verdict(false, "NotAccepted", message.to_owned());
    }
    if let Some((router, why)) = refused {
        let message =
            format!("Router {router} rejected the latest state and serves the previous one: {why}");
        return verdict(false, "RouterRefused", message);
    }
    let was = facts.route.observed.conditions.iter().find(|c| c.type_ == "Programmed");
    let was = was.is_some_and(|condition| condition.status == "True");
    // Between a change and its answers nothing is wrong.
    if (programmed == connected && *connected > 0) || (facts.fresh && was) {
        return verdict(
            true,
            "Programmed",
            "All connected routers serve the latest state.".to_owned(),
        );
    }
    if *connected == 0 && !facts.fresh {
        let message = "No router is connected: is one running, and can it reach the controller?";
        return verdict(false, "NoRouters", message.to_owned());
    }
    verdict(false, "Pending", "Not all connected routers have the latest state yet.".to_owned())
}

fn ready(
    accepted: &ConditionState,
    resolved: &ConditionState,
    programmed: &ConditionState,
    translation: Option<&Translation>,
) -> ConditionState {
    let verdict = |holds, reason, message| ConditionState::new("Ready", holds, reason, message);
    let decoding = translation.map_or(0, |translation| translation.decoding.ready);
    let any = translation.map_or(0, |translation| translation.config.endpoints.len());
    if !accepted.holds {
        return verdict(false, accepted.reason, accepted.message.clone());
    }
    if any == 0 {
        let (reason, message) = if resolved.holds {
            ("NoEndpoints", "None of the selected pods is ready.".to_owned())
        } else {
            (resolved.reason, resolved.message.clone())
        };
        return verdict(false, reason, message);
    }
    if !programmed.holds {
        return verdict(false, programmed.reason, programmed.message.clone());
    }
    if decoding == 0 {
        let message = "No decoding endpoint is ready: prefill endpoints serve whole requests.";
        return verdict(true, "DecodingPoolEmpty", message.to_owned());
    }
    let message = "Requests are served.";
    verdict(true, "Ready", message.to_owned())
}

#[cfg(test)]
mod tests;
