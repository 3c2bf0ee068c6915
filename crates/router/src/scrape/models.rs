//! The list of models that an endpoint publishes at `/v1/models`.

use std::sync::Arc;

use qoe_core::endpoint::state::Served;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Listed<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Card {
    id: String,
    #[serde(default)]
    parent: Option<String>,
}

/// The models of a `/v1/models` page, without entries that cannot be read; `None` where it is no such page.
pub(crate) fn parse(body: &[u8]) -> Option<Vec<Served>> {
    let listed: Listed<'_> = serde_json::from_slice(body).ok()?;
    let served = |entry: &&RawValue| {
        let Card { id, parent } = serde_json::from_str(entry.get()).ok()?;
        Some(Served { id, parent, card: entry.get().into() })
    };
    Some(listed.data.iter().filter_map(served).collect())
}

/// Whether two lists have the same models and parents in the same order.
pub(crate) fn same(old: Option<&Arc<Vec<Served>>>, new: &[Served]) -> bool {
    old.is_some_and(|old| {
        old.len() == new.len()
            && old.iter().zip(new).all(|(a, b)| a.id == b.id && a.parent == b.parent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_with_their_parent_and_kept_whole() {
        let body = br#"{"object":"list","data":[{"id":"base","max_model_len":2048},{"id":"sql","parent":"base"},{"no":"id"}]}"#;
        let served = parse(body).expect("a list");
        assert_eq!(served.len(), 2);
        assert_eq!(&*served[0].card, r#"{"id":"base","max_model_len":2048}"#);
        assert_eq!(served[1].parent.as_deref(), Some("base"));
        assert_eq!(parse(b"<html>"), None);
    }

    #[test]
    fn a_list_is_the_same_by_its_names() {
        let served = parse(br#"{"data":[{"id":"a","created":1}]}"#).expect("a list");
        let later = parse(br#"{"data":[{"id":"a","created":2}]}"#).expect("a list");
        assert!(same(Some(&Arc::new(served.clone())), &later));
        assert!(!same(None, &served) && !same(Some(&Arc::new(served)), &[]));
    }
}
