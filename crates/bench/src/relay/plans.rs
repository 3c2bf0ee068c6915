//! Checks that qoe-router did what its row says, from the plan counts on its admin address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::timeout;

use crate::client::head::Head;
use crate::client::{Client, Sink};

/// The number of requests, by the plan that served them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plans(BTreeMap<String, u64>);

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: qoe-bench\r\n\r\n";
const WITHIN: Duration = Duration::from_secs(5);

impl Plans {
    /// Reads the counts of the router whose admin address this is.
    ///
    /// # Errors
    /// The page cannot be read.
    pub async fn read(admin: SocketAddr) -> anyhow::Result<Self> {
        let (mut client, mut page) = (Client::new(admin), MetricsPage::default());
        let sent = timeout(WITHIN, client.send(REQUEST, &mut page)).await;
        sent.context("/metrics timed out")?.context("cannot read /metrics")?;
        ensure!(page.status == 200, "/metrics answered with status {}", page.status);
        Ok(Self::of(&String::from_utf8_lossy(&page.body)))
    }

    /// Parses the counts on a page, summed over all routes and reasons.
    fn of(page: &str) -> Self {
        let mut plans = BTreeMap::new();
        for line in page.lines().filter_map(|line| line.strip_prefix("qoe_plans_total{")) {
            let Some((labels, count)) = line.rsplit_once("} ") else { continue };
            let plan = labels.split_once("plan=\"").and_then(|(_, rest)| rest.split('"').next());
            // Counters of whole requests; an exemplar or a time may stand behind the number.
            let count = count.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            if let (Some(plan), Some(count)) = (plan, count) {
                *plans.entry(plan.to_owned()).or_default() += count;
            }
        }
        Self(plans)
    }

    fn count(&self, plan: &str) -> u64 {
        self.0.get(plan).copied().unwrap_or(0)
    }

    /// The error of a run that should have handed off every request. `self` was read after the run.
    #[must_use]
    pub fn not_handed_off(&self, before: &Self) -> Option<String> {
        let since = |plan| self.count(plan).saturating_sub(before.count(plan));
        match (since("handoff"), since("local")) {
            (0, _) => Some("the router counted no handoff".to_owned()),
            (_, 0) => None,
            (handoffs, local) => {
                Some(format!("{local} requests were served locally beside {handoffs} handoffs"))
            }
        }
    }
}

#[derive(Default)]
struct MetricsPage {
    status: u16,
    body: Vec<u8>,
}

impl Sink for MetricsPage {
    fn head(&mut self, head: &Head<'_>) {
        self.status = head.status;
    }

    fn data(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_counted_over_routes_and_reasons() {
        let page = "# TYPE qoe_plans counter\n\
            qoe_plans_total{route=\"a\",plan=\"handoff\",reason=\"Always\"} 7\n\
            qoe_plans_total{route=\"b\",plan=\"handoff\",reason=\"Cost\"} 2\n\
            qoe_plans_total{route=\"a\",plan=\"local\",reason=\"Fallback\"} 1\n\
            qoe_retries_total{route=\"a\"} 5\n";
        let plans = Plans::of(page);
        assert_eq!((plans.count("handoff"), plans.count("local")), (9, 1));
    }

    #[test]
    fn a_local_plan_of_the_run_is_a_fault_and_one_before_it_is_none() {
        let plans = |handoff: u64, local: u64| {
            Plans([("handoff".to_owned(), handoff), ("local".to_owned(), local)].into())
        };
        let before = plans(1, 2);
        assert_eq!(plans(9, 2).not_handed_off(&before), None);
        let fault = plans(9, 5).not_handed_off(&before).unwrap();
        assert_eq!(fault, "3 requests were served locally beside 8 handoffs");
        assert!(plans(1, 2).not_handed_off(&before).unwrap().contains("no handoff"));
    }
}
