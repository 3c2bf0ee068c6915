//! The command line of `qoe-sim`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::config::{Config, Role};
use crate::engine::Scheduling;
use crate::profile::Profile;

/// A vLLM-compatible server that computes nothing: its speed is that of a named profile.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "qoe-sim", version)]
pub struct Args {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// What the server does with KV caches.
    #[arg(long, value_enum, default_value = "none")]
    role: Role,
    /// Model name it answers to (repeatable).
    #[arg(long = "model", value_name = "NAME", default_value = "tiny")]
    models: Vec<String>,
    /// LoRA adapter it has loaded (repeatable).
    #[arg(long = "lora", value_name = "NAME")]
    loras: Vec<String>,
    /// Speed and size of the engine: a model, and the GPUs it runs on.
    #[arg(long, default_value = "llama-8b-h100", value_parser = profile())]
    profile: Profile,
    /// KV blocks of 16 tokens, if not the profile's.
    #[arg(long)]
    kv_blocks: Option<u32>,
    /// Requests that run at once, if not the profile's.
    #[arg(long)]
    max_num_seqs: Option<u32>,
    /// Requests that may wait; more get 503.
    #[arg(long)]
    max_queued: Option<u32>,
    /// Take waiting requests by `priority`, lower first.
    #[arg(long)]
    priority_scheduling: bool,
    /// Longest prompt and answer together, in tokens.
    #[arg(long, default_value_t = 131_072)]
    max_model_len: u32,
    /// Bearer token that /v1 asks for.
    #[arg(long)]
    api_key: Option<String>,
    /// How many times faster than real the engine runs.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    speed: f64,
    /// Bandwidth of KV transfers, in Gb/s.
    #[arg(long, default_value_t = 200.0, value_parser = positive)]
    kv_bandwidth_gbps: f64,
    /// Port where decoding servers fetch KV; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    side_channel_port: u16,
    /// Where decoding servers are told to fetch KV: an address of this server. Without it, the one it listens on.
    #[arg(long, value_name = "HOST")]
    side_channel_host: Option<String>,
    /// Seconds for which a finished prefill keeps its blocks.
    #[arg(long, default_value_t = 30.0, value_parser = positive)]
    kv_lease_seconds: f64,
}

fn profile() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(|profile| profile.name))
        .map(|name| Profile::named(&name).expect("a possible value is a profile's name"))
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        Err("expected a number above zero".to_owned())
    }
}

impl Args {
    /// The server that was asked for.
    #[must_use]
    pub fn into_config(self) -> Config {
        Config {
            listen: self.listen,
            role: self.role,
            models: self.models,
            loras: self.loras,
            profile: self.profile,
            kv_blocks: self.kv_blocks,
            max_sequences: self.max_num_seqs,
            max_queued: self.max_queued,
            scheduling: match self.priority_scheduling {
                true => Scheduling::Priority,
                false => Scheduling::Fcfs,
            },
            max_model_len: self.max_model_len,
            api_key: self.api_key,
            speed: self.speed,
            kv_gigabits_per_second: self.kv_bandwidth_gbps,
            side_channel_port: self.side_channel_port,
            side_channel_host: self.side_channel_host,
            kv_lease: Duration::from_secs_f64(self.kv_lease_seconds),
            ..Config::default()
        }
    }
}
