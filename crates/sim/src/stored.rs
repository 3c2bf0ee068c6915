//! Stored responses, with the conversations that they end; the oldest are forgotten first.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use serde_json::Value;

use crate::lock::lock;

/// Responses that are remembered.
const CAPACITY: usize = 1024;

/// Responses made here, with the conversations they end; the oldest are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Stored(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    responses: HashMap<String, (Value, Vec<Value>)>,
    order: VecDeque<String>,
}

impl Stored {
    /// Keeps a response; the oldest one goes where there are too many.
    pub(crate) fn insert(&self, id: &str, response: Value, conversation: Vec<Value>) {
        let mut memory = lock(&self.0);
        if memory.order.len() == CAPACITY
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.responses.remove(&oldest);
        }
        memory.order.push_back(id.to_owned());
        memory.responses.insert(id.to_owned(), (response, conversation));
    }

    /// The response of this id, and the conversation that it ends.
    pub(crate) fn get(&self, id: &str) -> Option<(Value, Vec<Value>)> {
        lock(&self.0).responses.get(id).cloned()
    }
}
