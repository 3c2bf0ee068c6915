//! A real kube-apiserver on a real etcd, on loopback. One serves all tests; who kills it starts one of their own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::ByteString;
use kube::{Client, Config};
use qoe_tests::client::{ask, send};
use rand::RngExt;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::audit::Audit;
use crate::certificates::Authority;
use crate::kubernetes::Kubernetes;
use crate::process::Process;
use crate::programs::control_plane;
use crate::wait::until;

/// The tests' own user may do everything, and is left out of the audit log.
const ADMIN: &str = "admin";
/// Users that can be handed out; without a binding they may do nothing.
const USERS: usize = 1000;
/// Below the ports that the system hands out by itself, so that nobody is given one between two of our starts.
const PORTS: std::ops::Range<u16> = 10_000..30_000;
/// The requests that are written down.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n\
                            - {level: None, userGroups: [\"system:masters\"]}\n- {level: Metadata}\n";
/// It takes some four seconds on two free cores.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// As the controller's own client: to connect, and for an answer to begin.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const READ_WITHIN: Duration = Duration::from_secs(60);

/// Somebody who may do what is bound to them.
#[derive(Clone, Debug)]
pub struct User {
    /// Their name, as bindings have it.
    pub name: String,
    token: String,
}

/// A running API server. The shared one is gone with the process, others when they are dropped.
#[derive(Debug)]
pub struct ApiServer {
    server: Mutex<Option<Process>>,
    _etcd: Process,
    folder: PathBuf,
    address: SocketAddr,
    etcd_address: SocketAddr,
    authority: Vec<u8>,
    arguments: Vec<String>,
    users: AtomicUsize,
    spaces: AtomicUsize,
}

impl ApiServer {
    /// The one that all tests share. The first call starts it.
    pub async fn shared() -> Arc<Self> {
        static SHARED: OnceCell<Result<Arc<ApiServer>, String>> = OnceCell::const_new();
        let started = SHARED.get_or_init(async || Self::try_start(&[]).await).await;
        started.clone().unwrap_or_else(|why| panic!("{why}"))
    }

    /// One more, with more arguments; it serves, and has our definition.
    ///
    /// # Panics
    /// It does not come up.
    pub async fn start(more: &[&str]) -> Arc<Self> {
        Self::try_start(more).await.unwrap_or_else(|why| panic!("{why}"))
    }

    async fn try_start(more: &[&str]) -> Result<Arc<Self>, String> {
        let (etcd, _) = (control_plane("etcd"), control_plane("kube-apiserver"));
        let folder = TempDir::new().expect("a temporary folder").keep();
        let authority = Authority::new();
        write_files(&folder, &authority);
        let [etcd_port, port] = [free_port(), free_port()];
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let etcd_arguments = etcd_arguments(&folder, local(etcd_port));
        let etcd = Process::start(&etcd, &etcd_arguments, &folder.join("etcd.log"), Some(&folder));
        let mut arguments = arguments(&folder, etcd_port, port);
        arguments.extend(more.iter().map(ToString::to_string));
        let api = Self {
            server: Mutex::default(),
            _etcd: etcd.expect("a shell"),
            folder,
            address: local(port),
            etcd_address: local(etcd_port),
            authority: authority.der(),
            arguments,
            users: AtomicUsize::new(0),
            spaces: AtomicUsize::new(0),
        };
        api.try_start_again().await?;
        api.define().await;
        Ok(Arc::new(api))
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it; etcd stays.
    pub fn kill(&self) {
        drop(self.server.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Panics
    /// It does not come up.
    pub async fn start_again(&self) {
        self.try_start_again().await.unwrap_or_else(|why| panic!("{why}"));
    }

    async fn try_start_again(&self) -> Result<(), String> {
        let program = control_plane("kube-apiserver");
        let log = self.folder.join("kube-apiserver.log");
        let server = Process::start(&program, &self.arguments, &log, None).expect("a shell");
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        let Kubernetes(client) = self.admin();
        let ready = async {
            loop {
                let request = http::Request::get("/readyz").body(Vec::new()).expect("a path");
                if client.request_text(request).await.is_ok_and(|answer| answer == "ok") {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(READY_WITHIN, ready).await.map_err(|_| {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(5).collect();
            let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
            format!("kube-apiserver is not ready after {READY_WITHIN:?}; it said last:\n{last}")
        })
    }

    /// Installs the definition of routes.
    async fn define(&self) {
        let admin = self.admin();
        let path =
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/qoeroutes.qoe-router.io";
        admin.apply(path, &qoe_controller::crd()).await.expect("a definition that is accepted");
        let served = async || admin.get("/apis/qoe-router.io/v1alpha1/qoeroutes").await.is_ok();
        until("routes are served", served).await;
    }

    /// A client that may do everything, for the runtime it is made in.
    #[must_use]
    pub fn admin(&self) -> Kubernetes {
        let admin = User { name: ADMIN.to_owned(), token: ADMIN.to_owned() };
        Kubernetes(self.client(&admin, self.address))
    }

    /// A user who has no rights yet.
    ///
    /// # Panics
    /// There are no more.
    #[must_use]
    pub fn user(&self) -> User {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        assert!(number < USERS, "no users are left");
        User { name: format!("user-{number}"), token: token_of(number) }
    }

    /// A user's client, as the controller makes its own; `address` is the server, or a wire to it.
    ///
    /// # Panics
    /// The client cannot be made.
    #[must_use]
    pub fn client(&self, user: &User, address: SocketAddr) -> Client {
        let mut config = Config::new(format!("https://{address}").parse().expect("an address"));
        config.root_cert = Some(vec![self.authority.clone()]);
        config.auth_info = serde_json::from_value(json!({"token": user.token})).expect("a token");
        config.connect_timeout = Some(CONNECT_WITHIN);
        config.read_timeout = Some(READ_WITHIN);
        Client::try_from(config).expect("a client")
    }

    /// A name for a namespace that nobody else has.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.spaces.fetch_add(1, Ordering::Relaxed))
    }

    /// What was asked of it.
    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit(self.folder.join("audit.log"))
    }

    /// Writes an object where no rule of the API server sees it.
    ///
    /// # Panics
    /// etcd does not take it.
    pub async fn smuggle(&self, collection: &str, object: &Value) {
        let meta = &object["metadata"];
        let text = |value: &Value| value.as_str().expect("a name").to_owned();
        let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
        let key = format!("/registry/{collection}/{namespace}/{name}");
        let base64 = |text: String| ByteString(text.into_bytes());
        let body = json!({"key": base64(key), "value": base64(object.to_string())});
        self.etcd("/v3/kv/put", &body).await;
    }

    /// Forgets all of the history but the present state.
    ///
    /// # Panics
    /// etcd does not do it.
    pub async fn compact(&self) {
        // One more revision: what was compacted already cannot be again.
        let answer = self.etcd("/v3/kv/put", &json!({"key": "dGVzdHM=", "value": ""})).await;
        let revision = &answer["header"]["revision"];
        self.etcd("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await;
    }

    async fn etcd(&self, path: &str, body: &Value) -> Value {
        let answer = send(self.etcd_address, ask(http::Method::POST, path, body.to_string())).await;
        let (status, answer) = (answer.status, answer.json().await);
        assert_eq!(status, 200, "etcd does not do {path}: {answer}");
        answer
    }
}

fn token_of(user: usize) -> String {
    format!("token-{user}")
}

/// A port that is free now.
fn free_port() -> u16 {
    let mut tries = std::iter::repeat_with(|| rand::rng().random_range(PORTS));
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    tries.by_ref().take(1000).find(free).expect("a free port")
}

fn write_files(folder: &Path, authority: &Authority) {
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("a writable folder");
    };
    let users = (0..USERS).map(|user| format!("{},user-{user},{user}\n", token_of(user)));
    let admin = format!("{ADMIN},{ADMIN},{ADMIN},\"system:masters\"\n");
    write("tokens", std::iter::once(admin).chain(users).collect());
    write("audit.yaml", AUDIT_POLICY.to_owned());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    write("accounts.key", key.serialize_pem());
    write("accounts.pub", key.public_key_pem());
    authority.write(folder);
}

fn etcd_arguments(folder: &Path, address: SocketAddr) -> Vec<String> {
    [
        format!("--data-dir={}", folder.join("etcd").display()),
        // What is lost by a crash of the machine was of a test.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=error".to_owned(),
        format!("--listen-client-urls=http://{address}"),
        format!("--advertise-client-urls=http://{address}"),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
    ]
    .into()
}

fn arguments(folder: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    [
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", file("certs")),
        format!("--tls-cert-file={}", file("tls.crt")),
        format!("--tls-private-key-file={}", file("tls.key")),
        format!("--token-auth-file={}", file("tokens")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=198.19.0.0/16".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        // Pods need no service account: nobody runs them.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        format!("--audit-policy-file={}", file("audit.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
    ]
    .into()
}
