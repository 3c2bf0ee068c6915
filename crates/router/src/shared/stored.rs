//! Which endpoint holds which stored response (`/v1/responses`): only that one can continue it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memmem;

/// The number of responses that are remembered, the oldest forgotten first: some 1.5 MB. A forgotten response is
/// looked for on each endpoint of its route.
const CAPACITY: usize = 10_000;
/// The longest id in bytes that is remembered: vLLM's have 37.
const MAX_ID_BYTES: usize = 128;
/// The start of an id in a response's body, streamed or not.
const ID_PREFIX: &[u8] = b"\"id\":\"resp_";

/// A bounded map from response id to endpoint name.
#[derive(Default)]
pub(crate) struct StoredResponses(Mutex<Stored>);

#[derive(Default)]
struct Stored {
    endpoints: HashMap<Box<str>, Arc<str>>,
    order: VecDeque<Box<str>>,
}

impl StoredResponses {
    /// Remembers that `endpoint` holds the response that begins with `body`, if there is an id in it.
    pub(crate) fn learn(&self, body: &[u8], endpoint: &Arc<str>) {
        let Some(id) = response_id(body) else { return };
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.endpoints.insert(id.into(), Arc::clone(endpoint)).is_none() {
            stored.order.push_back(id.into());
        }
        if stored.order.len() > CAPACITY
            && let Some(oldest) = stored.order.pop_front()
        {
            stored.endpoints.remove(&oldest);
        }
    }

    /// The endpoint that holds a response, if this router has seen the response.
    pub(crate) fn endpoint(&self, id: &str) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).endpoints.get(id).cloned()
    }
}

/// The id in the first bytes of a response.
fn response_id(body: &[u8]) -> Option<&str> {
    let at = memmem::find(body, ID_PREFIX)? + ID_PREFIX.len() - b"resp_".len();
    let end = at + memchr::memchr(b'"', &body[at..])?;
    std::str::from_utf8(&body[at..end]).ok().filter(|id| id.len() <= MAX_ID_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_whole_and_in_streamed_answers() {
        let stored = StoredResponses::default();
        stored.learn(br#"{"id":"resp_1","object":"response"}"#, &"a".into());
        stored.learn(
            b"event: response.created\ndata: {\"response\":{\"id\":\"resp_2\"}}",
            &"b".into(),
        );
        stored.learn(br#"{"id":"chatcmpl-3"}"#, &"c".into());
        assert_eq!(stored.endpoint("resp_1").as_deref(), Some("a"));
        assert_eq!(stored.endpoint("resp_2").as_deref(), Some("b"));
        assert_eq!(stored.endpoint("chatcmpl-3"), None);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let stored = StoredResponses::default();
        for i in 0..=CAPACITY {
            stored.learn(format!("{{\"id\":\"resp_{i}\"}}").as_bytes(), &"a".into());
        }
        assert_eq!(stored.endpoint("resp_0"), None);
        assert!(stored.endpoint("resp_1").is_some());
    }
}
