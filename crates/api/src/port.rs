//! The port on which the server in a pod listens: a number, or the name of a container port.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

use crate::schema::cel;

/// A port: a number from 1 to 65535, or the name of a container port such as `http`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Port {
    /// The port number.
    Number(u16),
    /// The name of a port in the pod's containers.
    Name(String),
}

/// 8000, the default of vLLM.
impl Default for Port {
    fn default() -> Self {
        Self::Number(8000)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Port {
    /// Whether the port is usable: a number other than 0, or a name that Kubernetes accepts.
    #[must_use]
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Number(number) => *number != 0,
            Self::Name(name) => is_port_name(name),
        }
    }
}

/// Whether `name` is an IANA service name, as Kubernetes requires: 1 to 15 of `a-z0-9-`, at least one letter, and `-`
/// neither at an end nor doubled.
fn is_port_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=15).contains(&name.len())
        && name.bytes().all(plain)
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Port;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port from 1 to 65535, or the name of a container port")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Port, E> {
                let wrong = |_| E::invalid_value(Unexpected::Signed(number), &self);
                u16::try_from(number).map(Port::Number).map_err(wrong)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Port, E> {
                let wrong = |_| E::invalid_value(Unexpected::Unsigned(number), &self);
                u16::try_from(number).map(Port::Number).map_err(wrong)
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Port, E> {
                Ok(Port::Name(name.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "x-kubernetes-validations": cel!(
                "type(self) == int ? self >= 1 && self <= 65535 \
                 : string(self).matches('^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$') \
                 && string(self).matches('[a-z]') && !string(self).contains('--')"
                    => "not a port: write a number from 1 to 65535, or the name of a container \
                        port, such as http"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_name_are_read_and_written_as_they_are() {
        for (text, port) in [("8000", Port::Number(8000)), (r#""http""#, Port::Name("http".into()))]
        {
            assert_eq!(serde_json::from_str::<Port>(text).unwrap(), port);
            assert_eq!(serde_json::to_string(&port).unwrap(), text);
        }
        let error = serde_json::from_str::<Port>("70000").unwrap_err().to_string();
        assert!(error.contains("a port from 1 to 65535"), "{error}");
    }

    #[test]
    fn what_kubernetes_gives_no_port_is_refused() {
        for bad in ["", "-http", "http-", "a--b", "8000", "HTTP", "a-name-that-is-long"] {
            assert!(!Port::Name(bad.into()).is_valid(), "{bad}");
        }
        assert!(!Port::Number(0).is_valid());
        assert!(Port::Name("h2c-1".into()).is_valid() && Port::default().is_valid());
    }
}
