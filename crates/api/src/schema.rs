//! What the schema and the rules in code share: the ranges, and one correction of the schema.

use schemars::Schema;
use schemars::transform::transform_subschemas;
use serde_json::Value;

/// The smallest and the largest value a number may have, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range<T> {
    pub(crate) min: T,
    pub(crate) max: T,
}

/// Milliseconds of a promised TTFT or ITL, and of a reference value: at most ten minutes.
pub(crate) const TARGET_MILLISECONDS: Range<u32> = Range { min: 1, max: 600_000 };
/// Milliseconds to connect.
pub(crate) const CONNECT_MILLISECONDS: Range<u32> = Range { min: 1, max: 60_000 };
/// Seconds of every other timeout: at most a day.
pub(crate) const TIMEOUT_SECONDS: Range<u32> = Range { min: 1, max: 86_400 };
/// Bytes of a request body: 1 KiB to 1 GiB.
pub(crate) const BODY_BYTES: Range<u64> = Range { min: 1024, max: 1 << 30 };
/// Requests in flight; 0 means no limit.
pub(crate) const IN_FLIGHT: Range<u32> = Range { min: 0, max: 1_000_000 };
/// Requests that wait; 0 means none does.
pub(crate) const QUEUED: Range<u32> = Range { min: 0, max: 100_000 };
/// Tokens of a prompt.
pub(crate) const PROMPT_TOKENS: Range<u32> = Range { min: 0, max: 100_000_000 };
/// A reference value that is no time: tokens per second, requests queued.
pub(crate) const REFERENCE: Range<u32> = Range { min: 1, max: 1_000_000 };
/// Replicas of one phase.
pub(crate) const REPLICAS: Range<u32> = Range { min: 1, max: 10_000 };
/// One weight; only the ratio of weights matters.
pub(crate) const WEIGHT: Range<f64> = Range { min: 0.0, max: 100.0 };

/// Members of a list.
pub(crate) const MAX_ITEMS: usize = 256;
/// Characters of a model name, tag, or path.
pub(crate) const MAX_CHARS: usize = 256;

/// Gives integers a format that the Kubernetes API server knows; for `uint32` it warns at every apply. And joins the
/// lines of descriptions, which `kubectl explain` breaks by itself.
pub(crate) fn for_kubernetes(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        let paragraphs: Vec<_> =
            description.split("\n\n").map(|text| text.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
    if let Some(Value::String(format)) = schema.get_mut("format")
        && format.starts_with("uint")
    {
        *format = "int64".to_owned();
    }
    transform_subschemas(&mut (for_kubernetes as fn(&mut Schema)), schema);
}

/// The rules' shape in a schema, as `x-kubernetes-validations` wants it.
macro_rules! cel {
    ($($rule:literal => $message:literal),+ $(,)?) => {
        serde_json::json!([$({"rule": $rule, "message": $message}),+])
    };
}
pub(crate) use cel;
