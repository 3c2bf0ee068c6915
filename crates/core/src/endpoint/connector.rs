//! How a KV cache moves from a prefill to a decoding endpoint, as far as the router takes part in it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::json::error::JsonError;
use crate::json::members::members;

/// The connector of a pair of endpoints. The set is closed: each has its own wire protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connector {
    /// vLLM's `NixlConnector`: the decoding server pulls the cache, with the address from the prefill answer.
    #[default]
    NixlPull,
    /// No KV cache is moved, so no request is handed off.
    None,
}

/// The members that a NIXL prefill answer must have for the decoding server to find the blocks. Without any one of them
/// a vLLM 0.32 decoding server hangs or exits, so an incomplete answer is never forwarded.
const NIXL_PULL_MEMBERS: [&str; 5] =
    ["remote_block_ids", "remote_engine_id", "remote_request_id", "remote_host", "remote_port"];

/// Why a prefill answer's parameters cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Incomplete {
    /// This connector carries no parameters.
    #[error("the connector moves no KV cache")]
    NoParams,
    /// The parameters are not a JSON object.
    #[error("`kv_transfer_params` is not an object")]
    NotAnObject,
    /// A member is absent or null.
    #[error("`kv_transfer_params` lacks `{0}`")]
    Lacks(&'static str),
}

impl Connector {
    /// The `kv_transfer_params` of the prefill leg, as JSON; `None` where no handoff is possible.
    #[must_use]
    pub const fn prefill_params(self) -> Option<&'static [u8]> {
        match self {
            Self::NixlPull => Some(
                br#"{"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,"remote_block_ids":null,"remote_host":null,"remote_port":null}"#,
            ),
            Self::None => None,
        }
    }

    /// Checks that the parameters of a prefill answer are safe to forward to a decoding endpoint.
    ///
    /// # Errors
    /// [`Incomplete`] says what is missing; the decoding endpoint then prefills by itself.
    pub fn check(self, params: &[u8]) -> Result<(), Incomplete> {
        if self == Self::None {
            return Err(Incomplete::NoParams);
        }
        let seen = present(params).map_err(|_| Incomplete::NotAnObject)?;
        match seen.iter().position(|seen| !seen) {
            Some(i) => Err(Incomplete::Lacks(NIXL_PULL_MEMBERS[i])),
            None => Ok(()),
        }
    }
}

/// Which of the [`NIXL_PULL_MEMBERS`] are there with a value.
fn present(params: &[u8]) -> Result<[bool; NIXL_PULL_MEMBERS.len()], JsonError> {
    let mut seen = [false; NIXL_PULL_MEMBERS.len()];
    for member in &members(params)? {
        if let Some(i) = NIXL_PULL_MEMBERS.iter().position(|name| member.key_is(params, name)) {
            seen[i] = !matches!(&params[member.value.clone()], b"null" | b"\"\"" | b"[]");
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"do_remote_prefill":true,"do_remote_decode":false,"remote_block_ids":[[1,2,3]],"remote_engine_id":"b39c","remote_request_id":"chatcmpl-x","remote_host":"127.0.0.1","remote_port":5600,"tp_size":1,"transfer_mode":"pull"}"#;

    #[test]
    fn a_complete_answer_passes() {
        assert_eq!(Connector::NixlPull.check(ANSWER.as_bytes()), Ok(()));
    }

    #[test]
    fn each_missing_or_null_member_is_named() {
        for name in NIXL_PULL_MEMBERS {
            let renamed = ANSWER.replace(&format!("\"{name}\""), "\"other\"");
            assert_eq!(Connector::NixlPull.check(renamed.as_bytes()), Err(Incomplete::Lacks(name)));
        }
        let null = ANSWER.replace("5600", "null");
        assert_eq!(
            Connector::NixlPull.check(null.as_bytes()),
            Err(Incomplete::Lacks("remote_port"))
        );
    }

    #[test]
    fn what_is_no_object_and_what_moves_nothing_is_refused() {
        assert_eq!(Connector::NixlPull.check(b"[]"), Err(Incomplete::NotAnObject));
        assert_eq!(Connector::None.check(ANSWER.as_bytes()), Err(Incomplete::NoParams));
    }
}
