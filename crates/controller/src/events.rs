//! Kubernetes events about routes, which `kubectl describe` shows: each is written once, when its reason arises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use qoe_api::QoERoute;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::kube_client::explain;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::route::{Route, RouteKey};
use crate::status::ConditionState;
use crate::translate::Findings;

/// An event to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// What it is about: the type of a condition, or the reason of a finding.
    topic: &'static str,
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) note: String,
}

/// The last reason of each topic of each route, so that no event repeats it.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeMap<RouteKey, BTreeMap<&'static str, &'static str>>);

impl Said {
    /// The new events of a route. At the first call for a route these are only that it is ready, or what is wrong, and
    /// nothing that its status says already: a new leader calls this for all routes.
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
            // Pending lasts a moment; neither it nor its end is worth an event.
            if verdict.reason == "Pending" {
                continue;
            }
            let known = said.insert(verdict.kind, verdict.reason) == Some(verdict.reason)
                || (first
                    && (in_status(route, verdict) || (verdict.holds && verdict.kind != "Ready")));
            // Ready repeats the message of the condition that it depends on.
            let same =
                |notice: &Notice| notice.reason == verdict.reason && notice.note == verdict.message;
            if known || news.iter().any(same) {
                continue;
            }
            news.push(Notice {
                topic: verdict.kind,
                warning: !verdict.holds,
                reason: verdict.reason,
                note: verdict.message.clone(),
            });
        }
        news.extend(findings.into_iter().flat_map(|findings| of_findings(findings, said)));
        news
    }

    /// Takes back that an event was said, so that it is news again at the next call.
    pub(crate) fn unsay(&mut self, key: &RouteKey, notice: &Notice) {
        if let Some(said) = self.0.get_mut(key) {
            said.remove(notice.topic);
        }
    }

    /// Forgets the routes that are gone.
    pub(crate) fn retain(&mut self, there: impl Fn(&RouteKey) -> bool) {
        self.0.retain(|key, _| there(key));
    }
}

/// Whether the status of a route has this condition for this reason already.
fn in_status(route: &Route, verdict: &ConditionState) -> bool {
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
            "they declare no phase, so they serve both: label them, for example with llm-d.ai/role: \
             prefill",
        ),
        (
            "ConnectorUnknown",
            true,
            connector_unknown,
            "routers do not support their KV connector, so requests are not handed off from or to \
             them",
        ),
        (
            "SchedulingUnknown",
            true,
            scheduling_unknown,
            "their annotation qoe-router.io/scheduling is neither priority nor fcfs, so requests \
             are sent to them without a priority",
        ),
    ];
    let mut news = Vec::new();
    for (reason, warning, pods, text) in texts {
        let now = if pods.count == 0 { "none" } else { "some" };
        if said.insert(reason, now) != Some(now) && pods.count > 0 {
            let note = format!("Pods {}: {text}.", pods.names());
            news.push(Notice { topic: reason, warning, reason, note });
        }
    }
    news
}

/// An event must be written within this; the next one waits.
const WRITE_WITHIN: Duration = Duration::from_secs(3);
/// Events that wait to be written: three for each of a hundred routes. Beyond, they are offered again later.
const QUEUE: usize = 300;
/// Bytes of a note that the API accepts are 1024; this leaves room for the ellipsis.
const MAX_NOTE: usize = 1000;

/// Where events are handed in. They are written by a task of their own, so that an API server that is slow about
/// events delays no status.
pub(crate) struct EventQueue(mpsc::Sender<(ObjectReference, Event)>);

impl EventQueue {
    /// Hands in an event about a route. False: too many wait, and it is not taken.
    #[must_use]
    pub(crate) fn add(&self, key: &RouteKey, route: &Route, notice: &Notice) -> bool {
        let Ok(place) = self.0.try_reserve() else { return false };
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
            note: Some(shortened(notice.note.clone())),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        place.send((reference, event));
        true
    }
}

/// Writes events, one after the other, while this replica leads.
pub(crate) struct EventWriter {
    recorder: Recorder,
    events: mpsc::Receiver<(ObjectReference, Event)>,
    leadership: Leadership,
    metrics: Arc<Metrics>,
}

impl EventWriter {
    /// A writer that signs as `identity`, and its queue.
    pub(crate) fn new(
        client: Client,
        identity: &str,
        leadership: Leadership,
        metrics: &Arc<Metrics>,
    ) -> (EventQueue, Self) {
        let reporter = Reporter {
            controller: "qoe-router.io/controller".into(),
            instance: Some(identity.to_owned()),
        };
        let recorder = Recorder::new(client, reporter);
        let (queue, events) = mpsc::channel(QUEUE);
        let writer = Self { recorder, events, leadership, metrics: Arc::clone(metrics) };
        (EventQueue(queue), writer)
    }

    /// Writes until the queue is gone.
    pub(crate) async fn run(mut self) {
        while let Some((route, event)) = self.events.recv().await {
            match self.leadership.left() {
                Some(left) => self.write(&route, &event, left.min(WRITE_WITHIN)).await,
                // The next leader says what its routes' statuses do not say yet; of a status that was written before its
                // event, the event is lost.
                None => drop(self.metrics.events_dropped.inc()),
            }
        }
    }

    async fn write(&self, route: &ObjectReference, event: &Event, within: Duration) {
        let name = || {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{}/{}", part(&route.namespace), part(&route.name))
        };
        match timeout(within, self.recorder.publish(event, route)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = explain(&error);
                tracing::warn!(route = name(), error, "cannot write an event");
            }
            Err(_) => tracing::warn!(route = name(), "an event was not written in time"),
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
        assert!(notices[0].note.starts_with("Pods a: they declare no phase"), "{notices:?}");
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
