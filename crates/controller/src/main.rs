//! `qoe-controller`: the command line around [`qoe_controller`].

use std::process::ExitCode;

use clap::Parser;
use qoe_controller::args::{Cli, Command, Run};
use qoe_controller::{Controller, connect};
use qoe_runtime::{shutdown, telemetry};

fn main() -> ExitCode {
    let done = match &Cli::parse().command {
        Command::Crd => {
            print!("{}", qoe_controller::crd());
            Ok(())
        }
        Command::Run { run, log } => {
            telemetry::init(log).map_err(Into::into).and_then(|()| serve(run))
        }
    };
    if let Err(error) = done {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn serve(run: &Run) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let signal = shutdown::signal()?;
        let controller = Controller::start(run, connect().await?).await?;
        let (address, admin) = (controller.address(), controller.admin_address());
        let scheme = if run.tls_dir.is_some() { "https" } else { "http" };
        println!("qoe-controller listening on {scheme}://{address} (admin http://{admin})");
        tracing::info!(signal = ?signal.await, "draining");
        controller.shut_down().await;
        Ok(())
    })
}
