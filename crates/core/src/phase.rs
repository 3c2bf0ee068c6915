//! The two phases of inference, and the role of an endpoint: which of them it is for.
//!
//! The role is read from a tag: in the labels that the route names, in labels that other projects put on their pods, in
//! the endpoint's own tags, or, last, inside its name. Without a tag an endpoint serves both phases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A phase of inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The prompt is read: compute-bound, judged by TTFT.
    Prefill,
    /// Tokens are generated: memory-bound, judged by ITL.
    Decoding,
}

impl Phase {
    /// The phase's name in headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decoding => "decoding",
        }
    }
}

/// The phases that an endpoint is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Only the prefill phase.
    Prefill,
    /// Only the decoding phase.
    Decoding,
    /// Both phases, which is the default.
    #[default]
    Mixed,
}

impl Role {
    /// The role's name in headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decoding => "decoding",
            Self::Mixed => "mixed",
        }
    }
}

/// How an endpoint's role is read from its labels, tags and name. Their published defaults are in the document's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseRules {
    /// Label keys that are read before the [known ones](KNOWN_LABELS); the first one that names a role decides.
    pub labels: Vec<String>,
    /// Values that mean prefill.
    pub prefill_tags: Vec<String>,
    /// Values that mean decoding.
    pub decoding_tags: Vec<String>,
}

/// Label keys that other projects put on their pods, in the order in which they are read.
const KNOWN_LABELS: [&str; 5] =
    ["llm-d.ai/role", "disaggregatedset.x-k8s.io/role", "role-name", "phase", "role"];

/// Label values of endpoints that serve both phases.
const MIXED_VALUES: [&str; 5] = ["both", "mixed", "prefill-decode", "decode-prefill", "kv_both"];

/// What decided an endpoint's role, shown in `/debug/endpoints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleSource {
    /// A label, of the route's own keys or a known one.
    Label,
    /// One of the endpoint's tags.
    Tag,
    /// A tag inside the endpoint's name or address.
    Name,
    /// Nothing, so the endpoint counts as mixed.
    Unknown,
}

impl PhaseRules {
    /// The role of an endpoint, and what decided it: labels first, then tags, then a tag inside one of `names` (its
    /// name, its URL).
    #[must_use]
    pub fn role(
        &self,
        labels: &BTreeMap<String, String>,
        tags: &[String],
        names: &[&str],
    ) -> (Role, RoleSource) {
        let keys = self.labels.iter().map(String::as_str).chain(KNOWN_LABELS);
        for key in keys {
            if let Some(role) = labels.get(key).and_then(|value| self.role_of_value(value)) {
                return (role, RoleSource::Label);
            }
        }
        if let Some(role) = tags.iter().find_map(|tag| self.role_of_value(tag)) {
            return (role, RoleSource::Tag);
        }
        match names.iter().find_map(|name| self.role_of_name(name)) {
            Some(role) => (role, RoleSource::Name),
            None => (Role::Mixed, RoleSource::Unknown),
        }
    }

    /// The role that a whole label or tag value names, if any.
    fn role_of_value(&self, value: &str) -> Option<Role> {
        let is_one_of = |tags: &[String]| tags.iter().any(|tag| tag.eq_ignore_ascii_case(value));
        let prefill = is_one_of(&self.prefill_tags);
        let decoding = is_one_of(&self.decoding_tags);
        match (prefill, decoding) {
            (true, false) => Some(Role::Prefill),
            (false, true) => Some(Role::Decoding),
            (true, true) => Some(Role::Mixed),
            _ => MIXED_VALUES.iter().any(|v| v.eq_ignore_ascii_case(value)).then_some(Role::Mixed),
        }
    }

    /// The role that a tag inside a name tells, if any.
    fn role_of_name(&self, name: &str) -> Option<Role> {
        let name = name.to_ascii_lowercase();
        let holds = |tags: &[String]| {
            tags.iter().filter(|tag| !tag.is_empty()).any(|tag| {
                let tag = tag.to_ascii_lowercase();
                // One letter is part of almost any name.
                if tag.len() == 1 {
                    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == tag)
                } else {
                    name.contains(&tag)
                }
            })
        };
        match (holds(&self.prefill_tags), holds(&self.decoding_tags)) {
            (true, true) => Some(Role::Mixed),
            (true, false) => Some(Role::Prefill),
            (false, true) => Some(Role::Decoding),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> PhaseRules {
        PhaseRules {
            labels: Vec::new(),
            prefill_tags: vec!["prefill".into()],
            decoding_tags: vec!["decode".into(), "decoding".into()],
        }
    }

    fn role(labels: &[(&str, &str)], tags: &[&str], names: &[&str]) -> (Role, RoleSource) {
        let labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        rules().role(&labels, &tags, names)
    }

    #[test]
    fn known_label_families_are_read() {
        for key in KNOWN_LABELS {
            assert_eq!(role(&[(key, "prefill")], &[], &["x"]), (Role::Prefill, RoleSource::Label));
            assert_eq!(role(&[(key, "decode")], &[], &["x"]), (Role::Decoding, RoleSource::Label));
            assert_eq!(role(&[(key, "both")], &[], &["x"]), (Role::Mixed, RoleSource::Label));
        }
    }

    #[test]
    fn a_label_beats_a_tag_and_a_tag_beats_a_name() {
        let labels = [("llm-d.ai/role", "decode")];
        assert_eq!(role(&labels, &["prefill"], &["prefill-0"]).0, Role::Decoding);
        assert_eq!(role(&[], &["prefill"], &["decode-0"]), (Role::Prefill, RoleSource::Tag));
        assert_eq!(role(&[], &["eu-west"], &["decode-0"]), (Role::Decoding, RoleSource::Name));
    }

    #[test]
    fn an_unknown_label_value_leaves_the_choice_to_what_follows() {
        assert_eq!(role(&[("role", "worker")], &[], &["vllm-prefill-1"]).0, Role::Prefill);
        assert_eq!(
            role(&[("role", "worker")], &[], &["vllm-1"]),
            (Role::Mixed, RoleSource::Unknown)
        );
    }

    #[test]
    fn the_users_labels_and_tags_come_first() {
        let rules = PhaseRules {
            labels: vec!["example.com/role".into()],
            prefill_tags: vec!["p".into()],
            decoding_tags: vec!["d".into()],
        };
        let labels: BTreeMap<String, String> = [("example.com/role", "d"), ("llm-d.ai/role", "p")]
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into();
        assert_eq!(rules.role(&labels, &[], &[]).0, Role::Decoding);
        assert_eq!(
            rules.role(&BTreeMap::new(), &[], &["pod-7"]).0,
            Role::Mixed,
            "p is no word here"
        );
        assert_eq!(rules.role(&BTreeMap::new(), &[], &["llama-p-7"]).0, Role::Prefill);
    }

    #[test]
    fn a_name_with_both_tags_is_mixed() {
        assert_eq!(role(&[], &[], &["prefill-decode-0"]).0, Role::Mixed);
        assert_eq!(role(&[], &[], &["gpu-7", "http://decode-1:8000"]).0, Role::Decoding);
    }
}
