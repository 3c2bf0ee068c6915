//! The client of the API server.

use std::time::Duration;

use anyhow::Context;
use kube::{Client, Config};

/// To connect, and for an answer to begin.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A watch says something, if only its end, within this; so does everything else.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// A client by the pod's service account, or by KUBECONFIG or `~/.kube/config`.
///
/// # Errors
/// Neither is there, or it cannot be used.
pub async fn connect() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context(
        "no cluster: neither a service account is mounted nor is there a kubeconfig (KUBECONFIG)",
    )?;
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.read_timeout = Some(READ_WITHIN);
    Client::try_from(config).context("the cluster's configuration cannot be used")
}
