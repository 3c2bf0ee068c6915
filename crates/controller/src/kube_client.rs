//! The client of the API server, and what its errors mean to an operator.

use std::time::Duration;

use anyhow::Context;
use kube::{Client, Config};

/// To connect, TLS included.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Between two pieces of an answer: twice what a watch, the slowest, may be silent for.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// A client by the pod's service account, or by KUBECONFIG or `~/.kube/config`.
///
/// # Errors
/// Neither is there, or it cannot be used.
pub async fn connect() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context(
        "no cluster is configured: there is neither a service account nor a kubeconfig (KUBECONFIG)",
    )?;
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.read_timeout = Some(READ_WITHIN);
    Client::try_from(config).context("the configuration of the cluster cannot be used")
}

/// What failed at the API server, and what to do about it.
pub(crate) fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{}{}", status.message, hint(status.code)),
        other => {
            let causes =
                std::iter::successors(Some(other as &dyn std::error::Error), |e| e.source());
            causes.last().map_or_else(String::new, ToString::to_string)
        }
    }
}

/// Whether the API server is there, but does not let this controller read, or has nothing of the kind.
pub(crate) const fn is_denied(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}

const fn hint(code: u16) -> &'static str {
    match code {
        401 => ": is the token of this cluster?",
        403 => ": give the controller this permission (see its ClusterRole)",
        404 => {
            ": is the CustomResourceDefinition installed? `qoe-controller crd | kubectl apply -f -`"
        }
        410 => ": too old; everything is listed anew",
        _ => "",
    }
}
