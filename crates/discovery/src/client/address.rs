//! Where the controllers are: their common name, its addresses, and connections to one of them.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::WINDOW;
use crate::tls::TlsFolder;

/// To connect, TLS included.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Controllers that are listened to; a name with more addresses is taken for a mistake.
pub(super) const MAX_CONTROLLERS: usize = 16;
/// The port where the address names none.
const DEFAULT_PORT: u16 = 9443;

/// The name that all controllers share, and how to connect to them.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) host: String,
    port: u16,
    tls: Option<TlsFolder>,
}

/// A controllers' address that cannot be used.
#[derive(Debug, Error)]
#[error("`{address}` is not an address of controllers: {why}: use https://NAME.NAMESPACE.svc:9443")]
pub struct BadAddress {
    address: String,
    why: &'static str,
}

impl Address {
    /// Reads `http://HOST:PORT` or, with a folder of certificates, `https://HOST:PORT`.
    pub(super) fn parse(address: &str, tls: Option<TlsFolder>) -> Result<Self, BadAddress> {
        let bad = |why| BadAddress { address: address.to_owned(), why };
        let uri: Uri = address.parse().map_err(|_| bad("it is not a URL"))?;
        match (uri.scheme_str(), &tls) {
            (Some("http"), None) | (Some("https"), Some(_)) => {}
            (Some("https"), None) => return Err(bad("https needs --controller-tls-dir")),
            (Some("http"), Some(_)) => {
                return Err(bad("with --controller-tls-dir its scheme must be https"));
            }
            _ => return Err(bad("its scheme must be http or https")),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("it must not have a path"));
        }
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(DEFAULT_PORT), tls })
    }

    pub(super) async fn resolve(&self) -> io::Result<HashSet<SocketAddr>> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        Ok(found.take(MAX_CONTROLLERS).collect())
    }

    /// Connects to one controller; an error says why that failed.
    pub(super) async fn connect(&self, controller: SocketAddr) -> Result<Channel, String> {
        let origin = Uri::builder()
            .scheme("http")
            .authority(format!("{}:{}", bracketed(&self.host), self.port))
            .path_and_query("/")
            .build()
            .map_err(|error| error.to_string())?;
        let connector = self.clone();
        let endpoint = Endpoint::from(origin)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        let connect = endpoint.connect_with_connector(tower::service_fn(move |_: Uri| {
            let connector = connector.clone();
            async move { connector.dial(controller).await.map(TokioIo::new) }
        }));
        match timeout(CONNECT_WITHIN, connect).await {
            Ok(connected) => connected.map_err(|error| root_cause(&error)),
            Err(_) => Err(format!("not within {CONNECT_WITHIN:?}")),
        }
    }

    async fn dial(&self, controller: SocketAddr) -> io::Result<Dialled> {
        let stream = TcpStream::connect(controller).await?;
        stream.set_nodelay(true)?;
        let Some(folder) = &self.tls else { return Ok(Box::new(stream)) };
        let folder = folder.clone();
        // It reads files, and the disk may be slow.
        let config = tokio::task::spawn_blocking(move || folder.client()).await?;
        let config = config.map_err(io::Error::other)?;
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }
}

/// A connection, with or without TLS.
type Dialled = Box<dyn Both>;
trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Both for T {}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// The innermost error: the outer ones say only that something failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}
