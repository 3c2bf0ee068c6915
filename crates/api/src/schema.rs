//! Ranges that the schema and the rules in code share, and the changes that Kubernetes needs in the schema.

use schemars::Schema;
use schemars::transform::transform_subschemas;
use serde_json::Value;

/// The smallest and the largest valid value of a number, both included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range<T> {
    pub(crate) min: T,
    pub(crate) max: T,
}

/// A TTFT or ITL target or reference value, in milliseconds: at most ten minutes.
pub(crate) const TARGET_MILLISECONDS: Range<u32> = Range { min: 1, max: 600_000 };
/// The connect timeout, in milliseconds: at most one minute.
pub(crate) const CONNECT_MILLISECONDS: Range<u32> = Range { min: 1, max: 60_000 };
/// Every other timeout, in seconds: at most a day.
pub(crate) const TIMEOUT_SECONDS: Range<u32> = Range { min: 1, max: 86_400 };
/// The largest request body, in bytes: 1 KiB to 1 GiB.
pub(crate) const BODY_BYTES: Range<u64> = Range { min: 1024, max: 1 << 30 };
/// The limit of requests in flight; 0 means no limit.
pub(crate) const IN_FLIGHT: Range<u32> = Range { min: 0, max: 1_000_000 };
/// The limit of queued requests; 0 disables waiting.
pub(crate) const QUEUED: Range<u32> = Range { min: 0, max: 100_000 };
/// The length of a prompt, in tokens.
pub(crate) const PROMPT_TOKENS: Range<u32> = Range { min: 0, max: 100_000_000 };
/// A reference value other than a time: tokens per second, or queued requests.
pub(crate) const REFERENCE: Range<u32> = Range { min: 1, max: 1_000_000 };
/// The replica count of one phase.
pub(crate) const REPLICAS: Range<u32> = Range { min: 1, max: 10_000 };
/// One weight. Only the ratio between weights matters, so any upper bound would do.
pub(crate) const WEIGHT: Range<f64> = Range { min: 0.0, max: 100.0 };

/// The maximum number of items in a list.
pub(crate) const MAX_ITEMS: usize = 256;
/// The maximum length of a model name, tag, or path, in characters.
pub(crate) const MAX_CHARS: usize = 256;

/// Gives integers a format that the Kubernetes API server knows, since it warns about `uint32` at every apply. Also
/// joins the lines of each description, since `kubectl explain` wraps them itself.
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

/// Builds the value of `x-kubernetes-validations` from pairs of rule and message.
macro_rules! cel {
    ($($rule:literal => $message:literal),+ $(,)?) => {
        serde_json::json!([$({"rule": $rule, "message": $message}),+])
    };
}
pub(crate) use cel;
