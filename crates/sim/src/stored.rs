//! Stored responses and their conversations, with the oldest dropped first.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use serde_json::Value;

use crate::lock::lock;

/// The number of responses that are kept.
const CAPACITY: usize = 1024;

/// The responses that this server made, each with the conversation up to it. The oldest are dropped first.
#[derive(Debug, Default)]
pub(crate) struct Stored(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    responses: HashMap<String, (Value, Vec<Value>)>,
    order: VecDeque<String>,
}

impl Stored {
    /// Stores a response, and drops the oldest one if there are too many.
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

    /// The response with this id, and the conversation up to it.
    pub(crate) fn get(&self, id: &str) -> Option<(Value, Vec<Value>)> {
        lock(&self.0).responses.get(id).cloned()
    }
}
