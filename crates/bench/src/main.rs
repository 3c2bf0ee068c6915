//! `qoe-bench`: see the library.

use clap::Parser as _;

/// One thread: the load must not take the core of what it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    qoe_bench::cli::Cli::parse().run().await
}
