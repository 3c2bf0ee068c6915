//! What an SSE client makes of the bytes that it got, by the rules of EventSource (HTML, 9.2.6).

use serde_json::Value;

/// The data of each event: the values of its `data` lines, joined by line feeds. An empty line dispatches an event;
/// one that the stream ends inside of is never dispatched.
pub(super) fn data_of(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let mut events = Vec::new();
    let mut data: Vec<&str> = Vec::new();
    for line in text.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else { break };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() && !data.is_empty() {
            events.push(std::mem::take(&mut data).join("\n"));
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        }
    }
    events
}

/// The last event, which must be one of the router's errors; and that all events before it are whole.
#[track_caller]
pub(super) fn error_of(bytes: &[u8]) -> Value {
    let events = data_of(bytes);
    let read = |event: &String| -> Value {
        serde_json::from_str(event).unwrap_or_else(|_| panic!("no whole event: {event:?}"))
    };
    let events: Vec<Value> = events.iter().map(read).collect();
    let last = events.last().expect("an event").clone();
    assert_eq!(last["error"]["phase"], "decoding", "{last}");
    last
}
