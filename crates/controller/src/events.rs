//! Events: what somebody who looks at a route with `kubectl describe` should know, said once when it becomes so.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use qoe_api::QoERoute;

use crate::kube_client::explain;
use crate::route::{Route, RouteKey};
use crate::status::ConditionState;
use crate::translate::Findings;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) note: String,
}

/// What was said of each route last, by topic, so that it is not said again.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeMap<RouteKey, BTreeMap<&'static str, &'static str>>);

impl Said {
    /// What is new about a route. The first look at it says no more than that it is ready, or what is wrong, and nothing
    /// that its status says already: a new leader looks at all routes.
    pub(crate) fn news(
        &mut self,
        key: &RouteKey,
        route: &Route,
        verdicts: &[ConditionState],
        findings: Option<&Findings>,
    ) -> Vec<Notice> {
        let first = !self.0.contains_key(key);
        let said = self.0.entry(key.clone()).or_default();
        let mut news: Vec<Notice> = Vec::new();
        for verdict in verdicts {
            // What is not ready yet for a moment is no news; nor is its end.
            if verdict.reason == "Pending" {
                continue;
            }
            let known = said.insert(verdict.kind, verdict.reason) == Some(verdict.reason)
                || (first && (told(route, verdict) || (verdict.holds && verdict.kind != "Ready")));
            // Ready says the same as what makes it so.
            let same =
                |notice: &Notice| notice.reason == verdict.reason && notice.note == verdict.message;
            if known || news.iter().any(same) {
                continue;
            }
            news.push(Notice {
                warning: !verdict.holds,
                reason: verdict.reason,
                note: verdict.message.clone(),
            });
        }
        news.extend(findings.into_iter().flat_map(|findings| of_findings(findings, said)));
        news
    }

    /// Routes that are no more are forgotten.
    pub(crate) fn retain(&mut self, there: impl Fn(&RouteKey) -> bool) {
        self.0.retain(|key, _| there(key));
    }
}

/// Whether the status of a route says so already.
fn told(route: &Route, verdict: &ConditionState) -> bool {
    let conditions = &route.observed.conditions;
    conditions.iter().any(|old| old.type_ == verdict.kind && old.reason == verdict.reason)
}

fn of_findings(
    findings: &Findings,
    said: &mut BTreeMap<&'static str, &'static str>,
) -> Vec<Notice> {
    let Findings { phase_unknown, connector_unknown, scheduling_unknown, .. } = findings;
    let texts = [
        (
            "PhaseUnknown",
            false,
            phase_unknown,
            "nothing says their phase, so they serve both; label them, for example llm-d.ai/role: \
             prefill",
        ),
        (
            "ConnectorUnknown",
            true,
            connector_unknown,
            "they move KV caches in a way that routers do not speak, so nothing is handed over \
             from or to them",
        ),
        (
            "SchedulingUnknown",
            true,
            scheduling_unknown,
            "their annotation qoe-router.io/scheduling is neither priority nor fcfs, so requests \
             reach them without a priority",
        ),
    ];
    let mut news = Vec::new();
    for (reason, warning, pods, text) in texts {
        let now = if pods.count == 0 { "none" } else { "some" };
        if said.insert(reason, now) != Some(now) && pods.count > 0 {
            let note = format!("Pods {}: {text}.", pods.names());
            news.push(Notice { warning, reason, note });
        }
    }
    news
}

/// Publishes events.
pub(crate) struct Publisher(Recorder);

/// An event must be written within this; it is not worth more.
const WITHIN: Duration = Duration::from_secs(3);
/// Bytes of a note that the API takes.
const MAX_NOTE: usize = 1000;

impl Publisher {
    pub(crate) fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter {
            controller: "qoe-router.io/controller".into(),
            instance: Some(identity.to_owned()),
        };
        Self(Recorder::new(client, reporter))
    }

    /// Publishes an event about a route, or logs that it could not.
    pub(crate) async fn publish(&self, key: &RouteKey, route: &Route, notice: Notice) {
        let reference = ObjectReference {
            api_version: Some(QoERoute::api_version(&()).into_owned()),
            kind: Some(QoERoute::kind(&()).into_owned()),
            name: Some(key.name.to_string()),
            namespace: Some(key.namespace.to_string()),
            uid: Some(route.uid.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.to_owned(),
            note: Some(shortened(notice.note)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(WITHIN, self.0.publish(&event, &reference)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(route = %key, error = explain(&error), "cannot write an event");
            }
            Err(_) => tracing::warn!(route = %key, "an event was not written in time"),
        }
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > MAX_NOTE {
        let end = (0..=MAX_NOTE).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::index::Index;
    use crate::index::tests::{key, manifest, raw};
    use crate::translate::Pods;

    /// The route `r`, with a status whose conditions have these reasons.
    fn route(told: &[(&str, &str)]) -> Arc<Route> {
        let mut manifest = manifest("r", &[]);
        let condition = |(kind, reason): &(&str, &str)| {
            json!({
                "type": kind, "status": "True", "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let conditions: Value = told.iter().map(condition).collect();
        manifest["status"] = json!({"conditions": conditions});
        let mut index = Index::new("default");
        index.route(raw(manifest));
        Arc::clone(&index.publish(Duration::ZERO).1.routes[&key("r")].0)
    }

    fn verdict(kind: &'static str, holds: bool, reason: &'static str) -> ConditionState {
        ConditionState { kind, holds, reason, message: format!("{kind} {reason}") }
    }

    fn reasons(news: Vec<Notice>) -> Vec<&'static str> {
        news.into_iter().map(|notice| notice.reason).collect()
    }

    #[test]
    fn what_becomes_so_is_said_once() {
        let (mut said, route) = (Said::default(), route(&[]));
        let (good, bad) = (verdict("Ready", true, "Ready"), verdict("Ready", false, "NoEndpoints"));
        let accepted = verdict("Accepted", true, "Accepted");
        let mut news = |v: &[ConditionState]| reasons(said.news(&key("r"), &route, v, None));
        assert_eq!(news(&[accepted.clone(), bad.clone()]), ["NoEndpoints"]);
        assert!(news(&[accepted.clone(), bad.clone()]).is_empty());
        assert_eq!(news(&[accepted.clone(), good.clone()]), ["Ready"]);
        assert!(news(&[accepted, good]).is_empty());
    }

    #[test]
    fn a_new_leader_does_not_say_again_what_the_status_says() {
        let told =
            route(&[("Accepted", "Accepted"), ("Programmed", "NoRouters"), ("Ready", "Ready")]);
        let verdicts = [
            verdict("Accepted", false, "ModelConflict"),
            verdict("Programmed", false, "NoRouters"),
            verdict("Ready", true, "Ready"),
        ];
        let news = |route: &Route| reasons(Said::default().news(&key("r"), route, &verdicts, None));
        assert_eq!(news(&told), ["ModelConflict"]);
        assert_eq!(news(&route(&[])), ["ModelConflict", "NoRouters", "Ready"]);
    }

    #[test]
    fn what_is_not_yet_so_for_a_moment_is_no_news_and_nor_is_its_end() {
        let (mut said, route) = (Said::default(), route(&[]));
        let mut news = |holds, reason| {
            let verdicts = [verdict("Programmed", holds, reason)];
            reasons(said.news(&key("r"), &route, &verdicts, None))
        };
        assert!(news(false, "Pending").is_empty());
        assert_eq!(news(true, "Programmed"), ["Programmed"]);
        assert!(news(false, "Pending").is_empty());
        assert!(news(true, "Programmed").is_empty());
        assert_eq!(news(false, "NoRouters"), ["NoRouters"]);
    }

    #[test]
    fn what_two_conditions_say_in_the_same_words_is_said_once() {
        let same = |kind| ConditionState {
            message: "the models are another's".to_owned(),
            ..verdict(kind, false, "ModelConflict")
        };
        let between = verdict("Programmed", false, "NotAccepted");
        let verdicts = [same("Accepted"), between, same("Ready")];
        let news = Said::default().news(&key("r"), &route(&[]), &verdicts, None);
        assert!(news.iter().all(|notice| notice.warning));
        assert_eq!(reasons(news), ["ModelConflict", "NotAccepted"]);
    }

    #[test]
    fn findings_are_said_when_they_appear_and_not_for_every_pod() {
        let (mut said, route) = (Said::default(), route(&[]));
        let mut findings = Findings::default();
        let mut news = |findings: &Findings| said.news(&key("r"), &route, &[], Some(findings));
        assert!(news(&findings).is_empty());
        findings.phase_unknown = Pods::of(&["a"]);
        let notices = news(&findings);
        assert!(notices[0].note.starts_with("Pods a: nothing says their phase"), "{notices:?}");
        assert!(!notices[0].warning, "they serve");
        assert_eq!(reasons(notices), ["PhaseUnknown"]);
        findings.phase_unknown = Pods::of(&["a", "b"]);
        assert!(news(&findings).is_empty());
        findings.phase_unknown = Pods::default();
        findings.connector_unknown = Pods::of(&["c"]);
        assert_eq!(reasons(news(&findings)), ["ConnectorUnknown"]);
        findings.phase_unknown = Pods::of(&["d"]);
        findings.scheduling_unknown = Pods::of(&["e"]);
        let again = reasons(news(&findings));
        assert_eq!(again, ["PhaseUnknown", "SchedulingUnknown"], "the first is so again");
    }

    #[test]
    fn a_route_that_is_gone_is_forgotten() {
        let (mut said, route) = (Said::default(), route(&[]));
        let bad = [verdict("Ready", false, "NoEndpoints")];
        said.news(&key("r"), &route, &bad, None);
        said.retain(|_| true);
        assert!(said.news(&key("r"), &route, &bad, None).is_empty());
        said.retain(|_| false);
        assert_eq!(reasons(said.news(&key("r"), &route, &bad, None)), ["NoEndpoints"]);
    }

    #[test]
    fn long_notes_are_cut_at_a_character() {
        let note = shortened("ä".repeat(1000));
        assert!(note.len() <= MAX_NOTE + 3 && note.ends_with("ä…"));
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
