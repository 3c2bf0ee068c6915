//! Tickets for unit tests: of a route `main` with one endpoint `d`.

use std::sync::Arc;

use http::HeaderValue;
use prometheus_client::registry::Registry;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::plan::reason::Reason;
use qoe_core::request::analyze::{Analysis, HeaderRules, WholeReason};

use crate::observe::metrics::Metrics;
use crate::observe::record::Record;
use crate::routes::route::Route;
use crate::routes::source::RouteSource;
use crate::shared::Shared;
use crate::ticket::Ticket;
use crate::ticket::routed_request::RoutedRequest;

const FILE: &str = r#"
apiVersion: qoe-router.io/v1alpha1
kind: QoERoute
metadata: {name: main}
spec:
  models: [m]
  endpoints: {selector: {matchLabels: {app: m}}}
  timeouts: {idleSeconds: 5}
  limits: {maxInFlight: 2}
---
apiVersion: qoe-router.io/v1alpha1
kind: EndpointList
endpoints:
- {name: d, url: "http://127.0.0.1:1", labels: {app: m}}
"#;

/// A router that serves one route.
pub(crate) struct OneRoute {
    pub(crate) shared: Arc<Shared>,
    pub(crate) route: Arc<Route>,
}

impl OneRoute {
    pub(crate) fn new() -> Self {
        let shared = Shared::new(Metrics::register(&mut Registry::default()), 0);
        let file = qoe_api::standalone::load(FILE).expect("a good file");
        shared.configure(&RouteSource::of_file(&file));
        let route = Arc::clone(&shared.snapshot.load().routes[0]);
        Self { shared, route }
    }

    /// The route's endpoint.
    pub(crate) fn endpoint(&self) -> &Arc<EndpointState> {
        &self.route.pool[0].state
    }

    /// A client's request for a stream, with a prompt of `prompt_bytes`.
    pub(crate) fn asked(prompt_bytes: usize) -> RoutedRequest {
        let analysis = Analysis::without_body(&http::HeaderMap::new(), &HeaderRules::default());
        RoutedRequest {
            request_id: HeaderValue::from_static("r1"),
            api: "chat",
            prompt_tokens: 100,
            output_tokens: 10.0,
            generates: true,
            blocks: Box::default(),
            block_tokens: 0.0,
            analysis: Arc::new(Analysis { stream: true, prompt_bytes, ..analysis }),
        }
    }

    /// A ticket that has just been opened.
    pub(crate) fn ticket(&self) -> Ticket {
        let asked = Self::asked(4000);
        Ticket::open(&self.shared, &self.route, asked, self.shared.now()).expect("a place")
    }

    /// A ticket whose request was sent to the endpoint.
    pub(crate) fn sent(&self) -> Ticket {
        let mut ticket = self.ticket();
        let why = Reason::Whole(WholeReason::OtherApi);
        ticket.planned((why, None), None, self.endpoint());
        ticket.sent();
        ticket
    }

    /// A ticket whose request was answered with the head of a good answer.
    pub(crate) fn answered(&self) -> Ticket {
        let mut ticket = self.sent();
        ticket.answered(http::StatusCode::OK);
        ticket
    }

    /// The records of all requests that have ended, newest first.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.shared.ring.last(100)
    }

    /// The record of the only request that has ended.
    pub(crate) fn record(&self) -> Record {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "requests that have settled");
        records.remove(0)
    }
}
