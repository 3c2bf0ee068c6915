//! Series of what is in use now: routes and endpoints come and go, and their series with them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use qoe_core::endpoint::state::EndpointState;

use crate::observe::route_metrics::RouteMetrics;
use crate::observe::sharded::HistogramTotals;

/// The routes and endpoints that have series.
#[derive(Default)]
pub(super) struct InUse {
    pub(super) routes: Vec<Arc<RouteMetrics>>,
    /// By name; one name may have several addresses.
    pub(super) endpoints: BTreeMap<Arc<str>, Vec<Arc<EndpointState>>>,
}

impl InUse {
    /// Series of each route.
    pub(super) fn of_routes(&self, series: impl Fn(&RouteMetrics) -> Vec<Series>) -> Vec<Series> {
        self.routes.iter().flat_map(|route| series(route)).collect()
    }
}

/// One series: its labels beside those of the family, and its value.
pub(super) struct Series {
    pub(super) labels: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) value: Value,
}

/// A series' value.
pub(super) enum Value {
    Counter(u64),
    Gauge(i64),
    Histogram(HistogramTotals),
}

/// Makes the series of one name.
type MakeSeries = dyn Fn(&InUse) -> Vec<Series> + Send + Sync;

/// The series of one name, made anew from what is in use whenever they are read.
pub(super) struct SeriesInUse {
    pub(super) in_use: Arc<ArcSwap<InUse>>,
    pub(super) kind: MetricType,
    pub(super) series: Box<MakeSeries>,
}

impl fmt::Debug for SeriesInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeriesInUse").field("kind", &self.kind.as_str()).finish_non_exhaustive()
    }
}

impl EncodeMetric for SeriesInUse {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for Series { labels, value } in (self.series)(&self.in_use.load()) {
            let mut encoder = encoder.encode_family(&labels)?;
            match value {
                Value::Counter(count) => {
                    encoder.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
                Value::Gauge(value) => encoder.encode_gauge(&value)?,
                Value::Histogram(HistogramTotals { buckets, sum }) => {
                    let count = buckets.iter().map(|(_, count)| count).sum();
                    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }

    fn is_empty(&self) -> bool {
        (self.series)(&self.in_use.load()).is_empty()
    }
}
