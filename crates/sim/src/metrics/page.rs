//! The Prometheus text format as vLLM's Python client writes it.

use std::fmt::Write as _;

use crate::stats::Histogram;

/// A metrics page that is being written.
pub(super) struct Page {
    out: String,
    /// The value of the label `model_name`.
    model: String,
    created: f64,
}

impl Page {
    pub(super) fn new(model: String, created: f64) -> Self {
        Self { out: String::with_capacity(32 << 10), model, created }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Writes one sample with all its labels.
    pub(super) fn line(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.out, "vllm:{name}{{{labels}}} {value:?}");
    }

    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP vllm:{name} {help}");
        let _ = writeln!(self.out, "# TYPE vllm:{name} {kind}");
    }

    /// Writes one sample; `label` is an extra label as `(name, value)`.
    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: f64) {
        let model = &self.model;
        let labels = match label {
            None => format!(r#"engine="0",model_name="{model}""#),
            // The Python client sorts labels by name.
            Some((label, of)) if label < "model_name" => {
                format!(r#"engine="0",{label}="{of}",model_name="{model}""#)
            }
            Some((label, of)) => format!(r#"engine="0",model_name="{model}",{label}="{of}""#),
        };
        self.line(name, &labels, value);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.sample(name, None, value);
    }

    pub(super) fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        self.head(name, "gauge", help);
        for (of, value) in values {
            self.sample(name, Some((label, of)), *value);
        }
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.sample(name, None, value as f64);
        self.created(name.trim_end_matches("_total"), help, &[None]);
    }

    pub(super) fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, "counter", help);
        for (of, value) in values {
            self.sample(name, Some((label, of)), *value as f64);
        }
        let labels: Vec<_> = values.iter().map(|(of, _)| Some((label, *of))).collect();
        self.created(name.trim_end_matches("_total"), help, &labels);
    }

    fn created(&mut self, base: &str, help: &str, labels: &[Option<(&str, &str)>]) {
        let name = format!("{base}_created");
        self.head(&name, "gauge", help);
        for label in labels {
            self.sample(&name, *label, self.created);
        }
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, values: &Histogram) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in values.buckets() {
            self.sample(&bucket, Some(("le", &format!("{bound:?}"))), count as f64);
        }
        self.sample(&bucket, Some(("le", "+Inf")), values.count() as f64);
        self.sample(&format!("{name}_count"), None, values.count() as f64);
        self.sample(&format!("{name}_sum"), None, values.sum());
        self.created(name, help, &[None]);
    }
}
