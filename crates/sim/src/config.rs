//! What a simulated server is: its role, its models, its engine, its limits.

use std::net::SocketAddr;
use std::time::Duration;

use crate::engine::{EngineConfig, Scheduling};
use crate::profile::Profile;

/// What a server does with KV caches (vLLM's `kv_role`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// `kv_producer`: prefills for others.
    Prefill,
    /// `kv_consumer`: decodes what others prefilled.
    Decoding,
    /// `kv_both`. As in vLLM, a producer and a consumer can do both too; the role is a label.
    Both,
    /// No KV connector: `kv_transfer_params` are ignored.
    #[default]
    None,
}

/// A simulated server. The default is a plain server without any delay, on a free loopback port.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What it does with KV caches.
    pub role: Role,
    /// Model names it answers to; the first is the one it says in metrics.
    pub models: Vec<String>,
    /// LoRA adapters of the first model.
    pub loras: Vec<String>,
    /// Speed and size of the engine.
    pub profile: Profile,
    /// Blocks in the KV cache, if not what the profile says.
    pub kv_blocks: Option<u32>,
    /// Requests that run at once, if not what the profile says.
    pub max_sequences: Option<u32>,
    /// Requests that may wait; more get 503.
    pub max_queued: Option<u32>,
    /// The order of the queue.
    pub scheduling: Scheduling,
    /// Longest prompt and answer together, in tokens.
    pub max_model_len: u32,
    /// The bearer token that `/v1` asks for.
    pub api_key: Option<String>,
    /// How many times faster than real the engine runs.
    pub speed: f64,
    /// Bandwidth of KV transfers.
    pub kv_gigabits_per_second: f64,
    /// Where decoding servers fetch KV; 0 takes a free port.
    pub side_channel_port: u16,
    /// Where decoding servers are told to fetch KV, if not at the address it listens on.
    pub side_channel_host: Option<String>,
    /// How long a finished prefill keeps its blocks.
    pub kv_lease: Duration,
    /// How long a decoding server tries to reach a prefill server.
    pub pull_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            role: Role::None,
            models: vec!["tiny".to_owned()],
            loras: Vec::new(),
            profile: Profile::instant(),
            kv_blocks: None,
            max_sequences: None,
            max_queued: None,
            scheduling: Scheduling::Fcfs,
            max_model_len: 131_072,
            api_key: None,
            speed: 1.0,
            kv_gigabits_per_second: 200.0,
            side_channel_port: 0,
            side_channel_host: None,
            kv_lease: Duration::from_secs(30),
            pull_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// The engine's share. The lease is wall-clock time also where the engine runs faster.
    pub(crate) fn engine(&self) -> EngineConfig {
        let defaults = EngineConfig::of(&self.profile);
        EngineConfig {
            kv_blocks: self.kv_blocks.unwrap_or(defaults.kv_blocks),
            max_sequences: self.max_sequences.unwrap_or(defaults.max_sequences),
            max_queued: self.max_queued,
            lease: self.kv_lease.mul_f64(self.speed),
            scheduling: self.scheduling,
            ..defaults
        }
    }

    /// Whether a KV connector is configured.
    pub(crate) fn has_connector(&self) -> bool {
        self.role != Role::None
    }
}
