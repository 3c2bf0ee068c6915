//! Label sets of metrics: enums, or names bounded by configuration.

use std::borrow::Cow;

/// The labels of one series: name and value, in the order of the family.
pub(crate) type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
