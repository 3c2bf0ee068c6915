//! A real API server and its etcd on free loopback ports, which end when the value is dropped.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::process::{Process, Start, last_words};

/// The time within which the API server must become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
const TOKEN: &str = "bench";

pub(super) struct Cluster {
    client: Client,
    folder: TempDir,
    _processes: [Process; 2],
}

impl Cluster {
    pub(super) async fn start(assets: Option<&Path>) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let [etcd_port, api_port] = [free_port()?, free_port()?];
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let etcd = Start {
            name: "etcd",
            command: vec![
                found("etcd", assets)?,
                format!("--data-dir={}", at("etcd")),
                "--unsafe-no-fsync".into(),
                "--log-level=error".into(),
                "--quota-backend-bytes=8589934592".into(),
                format!("--listen-client-urls={etcd_url}"),
                format!("--advertise-client-urls={etcd_url}"),
                "--listen-peer-urls=http://127.0.0.1:0".into(),
            ],
            core: None,
            logs: folder.path(),
        }
        .spawn()?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        fs::write(at("accounts.key"), key.serialize_pem())?;
        fs::write(at("accounts.pub"), key.public_key_pem())?;
        fs::write(at("tokens"), format!("{TOKEN},bench,1,\"system:masters\"\n"))?;
        let mut server = Start {
            name: "kube-apiserver",
            command: vec![
                found("kube-apiserver", assets)?,
                format!("--etcd-servers={etcd_url}"),
                "--bind-address=127.0.0.1".into(),
                format!("--secure-port={api_port}"),
                format!("--cert-dir={}", at("certificates")),
                format!("--token-auth-file={}", at("tokens")),
                "--authorization-mode=RBAC".into(),
                "--service-cluster-ip-range=198.19.0.0/16".into(),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
                format!("--service-account-key-file={}", at("accounts.pub")),
                format!("--service-account-signing-key-file={}", at("accounts.key")),
                "--disable-admission-plugins=ServiceAccount".into(),
            ],
            core: None,
            logs: folder.path(),
        }
        .spawn()?;
        let kubeconfig = kubeconfig(&format!("https://127.0.0.1:{api_port}"));
        fs::write(at("kubeconfig"), kubeconfig.to_string())?;
        let kubeconfig = serde_json::from_value(kubeconfig)?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let deadline = Instant::now() + READY_WITHIN;
        while client.apiserver_version().await.is_err() {
            if server.ended().is_some() || Instant::now() > deadline {
                let said = last_words(folder.path(), "kube-apiserver").unwrap_or_default();
                bail!("the API server did not become ready: {said}");
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(Self { client, folder, _processes: [etcd, server] })
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The folder of the logs.
    pub(super) fn logs(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig for programs that use the API server.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }
}

/// The kubeconfig for a loopback server with a self-signed certificate, which is not verified.
fn kubeconfig(server: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "bench", "user": {"token": TOKEN}}],
    })
}

/// The path of a Kubernetes program: in `assets` if given, else on the PATH.
fn found(name: &str, assets: Option<&Path>) -> anyhow::Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    assets
        .map(Path::to_owned)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .map(|path| path.display().to_string())
        .with_context(|| {
            format!("{name} is not on the PATH: install it with tests/kubernetes/install.sh")
        })
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
