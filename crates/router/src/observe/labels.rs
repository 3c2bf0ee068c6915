//! The labels of metrics. Their values are enums, or names that configuration bounds.

use std::borrow::Cow;

/// The names and values of the labels of one series, in the order of its family.
pub(crate) type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
