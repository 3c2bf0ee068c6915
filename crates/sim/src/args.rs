//! The command line of `qoe-sim`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::config::{Config, Role};
use crate::engine::Scheduling;
use crate::profile::Profile;

/// A vLLM-compatible server that computes nothing and answers at the speed of a named profile.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "qoe-sim", version)]
pub struct Args {
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Role of the server in KV transfers.
    #[arg(long, value_enum, default_value = "none")]
    role: Role,
    /// Model name that requests may use; repeatable.
    #[arg(long = "model", value_name = "NAME", default_value = "tiny")]
    models: Vec<String>,
    /// LoRA adapter that is loaded at the start; repeatable.
    #[arg(long = "lora", value_name = "NAME")]
    loras: Vec<String>,
    /// Profile of the engine: a model and the GPUs that it runs on.
    #[arg(long, default_value = "llama-8b-h100", value_parser = profile())]
    profile: Profile,
    /// KV cache size in blocks of 16 tokens; default: the profile's.
    #[arg(long)]
    kv_blocks: Option<u32>,
    /// Maximum number of requests that run at once; default: the profile's.
    #[arg(long)]
    max_num_seqs: Option<u32>,
    /// Maximum number of waiting requests; further ones get 503. Default: no limit.
    #[arg(long)]
    max_queued: Option<u32>,
    /// Take waiting requests by their field `priority`, lower values first.
    #[arg(long)]
    priority_scheduling: bool,
    /// Maximum length of prompt and answer together, in tokens.
    #[arg(long, default_value_t = 131_072)]
    max_model_len: u32,
    /// Bearer token that requests to /v1 must have; default: none is needed.
    #[arg(long)]
    api_key: Option<String>,
    /// Speed of the engine relative to its profile: 2 halves all times.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    speed: f64,
    /// Bandwidth of KV transfers, in Gb/s.
    #[arg(long, default_value_t = 200.0, value_parser = positive)]
    kv_bandwidth_gbps: f64,
    /// Port where decoding servers fetch KV; 0 takes a free port.
    #[arg(long, default_value_t = 0)]
    side_channel_port: u16,
    /// Host that decoding servers fetch KV from, if it differs from the listen address.
    #[arg(long, value_name = "HOST")]
    side_channel_host: Option<String>,
    /// Time that a finished prefill keeps its KV blocks for a decoding server, in seconds.
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
    /// Converts the flags to the configuration of a server.
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
