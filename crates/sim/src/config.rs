//! The configuration of a simulated server: role, models, engine, limits.

use std::net::SocketAddr;
use std::time::Duration;

use crate::engine::{EngineConfig, Scheduling};
use crate::profile::Profile;

/// The role of a server in KV transfers (vLLM's `kv_role`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// `kv_producer`: prefills for decoding servers.
    Prefill,
    /// `kv_consumer`: decodes prompts that prefill servers computed.
    Decoding,
    /// `kv_both`: prefills and decodes. As in vLLM, the role is only a label: producers and consumers can do both too.
    Both,
    /// No KV connector; `kv_transfer_params` are ignored.
    #[default]
    None,
}

/// The configuration of a simulated server. The default is a server without KV connector and without any delay, on a
/// free loopback port.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on; port 0 takes a free port.
    pub listen: SocketAddr,
    /// The role of the server in KV transfers.
    pub role: Role,
    /// Model names that requests may use. The first one is the `model_name` of metrics.
    pub models: Vec<String>,
    /// LoRA adapters of the first model that are loaded at the start.
    pub loras: Vec<String>,
    /// The speed and size of the engine.
    pub profile: Profile,
    /// The number of blocks in the KV cache; `None`: the profile's.
    pub kv_blocks: Option<u32>,
    /// The maximum number of requests that run at once; `None`: the profile's.
    pub max_sequences: Option<u32>,
    /// The maximum number of waiting requests; further ones get 503. `None`: no limit.
    pub max_queued: Option<u32>,
    /// The order in which waiting requests start.
    pub scheduling: Scheduling,
    /// The maximum length of prompt and answer together, in tokens.
    pub max_model_len: u32,
    /// The bearer token that requests to `/v1` must have, if any.
    pub api_key: Option<String>,
    /// The speed of the engine relative to its profile: 2 halves all times.
    pub speed: f64,
    /// The bandwidth of the link that all KV transfers share, in Gb/s.
    pub kv_gigabits_per_second: f64,
    /// The port where decoding servers fetch KV; 0 takes a free port.
    pub side_channel_port: u16,
    /// The host that decoding servers fetch KV from; `None`: the listen address.
    pub side_channel_host: Option<String>,
    /// The wall-clock time that a finished prefill keeps its KV blocks for a decoding server.
    pub kv_lease: Duration,
    /// The wall-clock time within which a pull must reach a prefill server and get its answer.
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
    /// The limits of the engine.
    pub(crate) fn engine(&self) -> EngineConfig {
        let defaults = EngineConfig::of(&self.profile);
        EngineConfig {
            kv_blocks: self.kv_blocks.unwrap_or(defaults.kv_blocks),
            max_sequences: self.max_sequences.unwrap_or(defaults.max_sequences),
            max_queued: self.max_queued,
            // The lease bounds work outside of the engine, so it stays wall-clock time at any engine speed.
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
