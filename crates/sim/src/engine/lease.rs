//! Leases: blocks that a finished prefill keeps until a decoding server has read them.

use std::collections::BTreeMap;

use crate::engine::request::{Prompt, RequestId, Time};
use crate::kv::BlockId;

/// The KV of one finished prefill, kept until `expires_at`.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The prompt that the KV belongs to, without the token that the prefill wrote.
    pub prompt: Prompt,
    /// The blocks that hold the KV.
    pub blocks: Vec<BlockId>,
    /// The engine time when the blocks are freed.
    pub expires_at: Time,
}

/// All leases of an engine. There are few at a time, so the next one to end is found by a scan.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<RequestId, Lease>);

impl Leases {
    pub(super) fn insert(&mut self, id: RequestId, lease: Lease) {
        self.0.insert(id, lease);
    }

    pub(super) fn remove(&mut self, id: RequestId) -> Option<Lease> {
        self.0.remove(&id)
    }

    pub(super) fn renew(&mut self, id: RequestId, expires_at: Time) -> Option<&Lease> {
        let lease = self.0.get_mut(&id)?;
        // Readers on several threads may come in any order. A late one must not shorten the lease.
        lease.expires_at = lease.expires_at.max(expires_at);
        Some(lease)
    }

    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.0.values().map(|lease| lease.expires_at).min()
    }

    pub(super) fn pop_expired(&mut self, now: Time) -> Option<Lease> {
        let id = self.0.iter().find(|(_, lease)| lease.expires_at <= now).map(|(id, _)| *id)?;
        self.0.remove(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
