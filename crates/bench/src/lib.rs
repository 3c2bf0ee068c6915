//! Load and measurement: the demo, the lab and its check in real time, and the benchmarks of the router and the control
//! plane.
//!
//! Owns the load generator (with its own low-cost HTTP client), the workloads, and the reports.
//! It uses the router only over HTTP and through its command line, and must not reach into it: the measured program is
//! the one that users run. Every printed figure was measured in that run.
//!
//! ```text
//! demo  → lineup (qoe-sim ×4, qoe-router) → drive (client, sse) → summary → report, plot
//! relay → systems (ours, peers) → load (client, sse) → results → report
//! lab → world (core's decisions, sim's engines, virtual time) → summary → report
//! replay → the same arrivals in the lab and, in real time, through qoe-router and a peer → bounds
//! control → API server, qoe-controller, qoe-router × n → pods that change → when every router has it
//! ```

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and milliseconds of one run are far below 2^52, and ranks are never negative"
)]

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

pub mod backend;
pub mod cli;
pub mod client;
#[cfg(feature = "control")]
pub mod control;
pub mod demo;
pub mod lab;
pub mod process;
pub mod relay;
pub mod replay;
pub mod request;
pub mod sse;
pub mod stats;
pub mod table;

/// The path of one of the project's programs: `given`, else beside this program.
fn program(name: &str, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name(name));
    let path = given.map_or_else(beside, |path| Ok(path.to_owned())).context("own path")?;
    ensure!(path.is_file(), "{} is missing: build it, or pass its path", path.display());
    Ok(path)
}
