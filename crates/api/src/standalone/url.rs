//! The URL of an endpoint: `http://host:port`, and nothing more.

use std::fmt;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::str::FromStr;

/// The URL of an endpoint. The host is a DNS name in lower case, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointUrl {
    host: String,
    port: NonZeroU16,
}

impl EndpointUrl {
    /// The host. An IPv6 address has no brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port number.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.get()
    }

    /// `host:port`, as in the `host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

/// Why a URL is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The scheme is `https`.
    #[error("TLS to endpoints is not supported: write http://host:port")]
    Tls,
    /// The scheme is missing, or is neither `http` nor `https`.
    #[error("not an HTTP URL: write http://host:port")]
    Scheme,
    /// The URL has user information, a path, a query, or a fragment.
    #[error("only host and port are allowed: write http://host:port, without user, path or query")]
    Extra,
    /// The host is neither a DNS name nor an IP address.
    #[error("the host is not a name or an IP address: write http://host:port")]
    Host,
    /// The port is missing, 0, or not a number.
    #[error("a port from 1 to 65535 is needed: write http://host:port")]
    Port,
}

impl FromStr for EndpointUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(UrlError::Tls),
            _ => return Err(UrlError::Scheme),
        }
        if rest.contains(['/', '?', '#', '@']) {
            return Err(UrlError::Extra);
        }
        let (host, port) = split_port(rest);
        let host = read_host(host).ok_or(UrlError::Host)?;
        let port = port.filter(|p| p.bytes().all(|b| b.is_ascii_digit())).ok_or(UrlError::Port)?;
        Ok(Self { host, port: port.parse().map_err(|_| UrlError::Port)? })
    }
}

/// Splits at the last colon outside of brackets. The host keeps the brackets of an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[after_brackets..].rfind(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(after_brackets + colon);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    }
}

fn read_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        return Some(inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string());
    }
    let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let well_formed = (1..=253).contains(&host.len()) && host.bytes().all(is_host);
    well_formed.then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for (url, host, port, shown) in [
            ("http://127.0.0.1:8100", "127.0.0.1", 8100, "http://127.0.0.1:8100"),
            ("HTTP://Vllm-0.llm.svc:80", "vllm-0.llm.svc", 80, "http://vllm-0.llm.svc:80"),
            ("http://[::1]:65535", "::1", 65535, "http://[::1]:65535"),
        ] {
            let parsed: EndpointUrl = url.parse().unwrap();
            assert_eq!((parsed.host(), parsed.port()), (host, port), "{url}");
            assert_eq!(parsed.to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        for (url, error) in [
            ("https://a:1", UrlError::Tls),
            ("127.0.0.1:8000", UrlError::Scheme),
            ("grpc://a:1", UrlError::Scheme),
            ("", UrlError::Scheme),
            ("http://a:1/", UrlError::Extra),
            ("http://a:1/v1", UrlError::Extra),
            ("http://a:1?x", UrlError::Extra),
            ("http://u:p@a:1", UrlError::Extra),
            ("http://a", UrlError::Port),
            ("http://a:", UrlError::Port),
            ("http://a:0", UrlError::Port),
            ("http://a:+1", UrlError::Port),
            ("http://a:65536", UrlError::Port),
            ("http://[::1]", UrlError::Port),
            ("http://:1", UrlError::Host),
            ("http://a b:1", UrlError::Host),
            ("http://a\r\nx:1", UrlError::Host),
            ("http://::1:80", UrlError::Host),
            ("http://[::g]:80", UrlError::Host),
        ] {
            assert_eq!(url.parse::<EndpointUrl>(), Err(error), "{url}");
        }
    }
}
