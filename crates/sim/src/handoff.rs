//! The `kv_transfer_params` of NIXL pull, in requests and in the answers of prefill servers.

use serde_json::{Value, json};

use crate::engine::request::RequestId;

/// The address and the name under which a decoding server fetches the KV of one prefill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) engine_id: String,
    pub(crate) request_id: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The number of tokens that the prefill server found in its prefix cache.
    pub(crate) cached: u32,
}

/// What the `kv_transfer_params` of a request ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// No transfer.
    Local,
    /// `do_remote_decode`: keep the KV for a decoding server.
    Produce,
    /// `do_remote_prefill`: fetch the KV from a prefill server.
    Pull(Remote),
    /// `do_remote_prefill` without a source. This crashes a real engine.
    Lethal,
}

impl Intent {
    pub(crate) fn of(params: Option<&Value>) -> Self {
        let Some(params) = params else { return Self::Local };
        let asks = |name: &str| params.get(name).and_then(Value::as_bool).unwrap_or(false);
        if asks("do_remote_prefill") {
            return Remote::of(params).map_or(Self::Lethal, Self::Pull);
        }
        if asks("do_remote_decode") { Self::Produce } else { Self::Local }
    }
}

impl Remote {
    fn of(params: &Value) -> Option<Self> {
        let text = |name: &str| Some(params.get(name)?.as_str()?.to_owned());
        params.get("remote_block_ids")?.as_array()?;
        let cached = params.get("remote_prefill_cached_tokens").and_then(Value::as_u64);
        Some(Self {
            engine_id: text("remote_engine_id")?,
            request_id: text("remote_request_id")?,
            host: text("remote_host")?,
            port: params.get("remote_port")?.as_u64()?.try_into().ok()?,
            cached: cached.and_then(|cached| cached.try_into().ok()).unwrap_or(0),
        })
    }
}

/// The name under which a prefill is pulled: the id of the answer, and the id of the engine's request as a suffix.
pub(crate) fn remote_name(answer_id: &str, id: RequestId) -> String {
    format!("{answer_id}-{id:08x}")
}

/// The id of the engine's request in a name made by [`remote_name`].
pub(crate) fn remote_id(name: &str) -> Option<RequestId> {
    let (_, suffix) = name.rsplit_once('-')?;
    RequestId::from_str_radix(suffix, 16).ok()
}

/// The KV that a prefill server keeps, as its answer describes it.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    pub(crate) engine_id: &'a str,
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) blocks: &'a [u32],
    pub(crate) tokens: usize,
    pub(crate) cached: u32,
}

impl Offer<'_> {
    pub(crate) fn params(&self) -> Value {
        json!({
            "do_remote_prefill": true,
            "do_remote_decode": false,
            "remote_block_ids": [self.blocks],
            "remote_engine_id": self.engine_id,
            "remote_request_id": self.name,
            "remote_host": self.host,
            "remote_port": self.port,
            "tp_size": 1,
            "dcp_size": 1,
            "pp_size": 1,
            "remote_num_tokens": self.tokens,
            "remote_blocks_expiry_time": null,
            "transfer_mode": "pull",
            "remote_prefill_cached_tokens": self.cached,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Value {
        let blocks = [1, 2];
        Offer {
            engine_id: "e",
            name: remote_name("chatcmpl-x", 31),
            host: "127.0.0.1".to_owned(),
            port: 5600,
            blocks: &blocks,
            tokens: 20,
            cached: 16,
        }
        .params()
    }

    #[test]
    fn an_offer_is_understood_by_who_pulls() {
        let Intent::Pull(remote) = Intent::of(Some(&offer())) else { panic!("not a pull") };
        assert_eq!((remote.port, remote.cached), (5600, 16));
        assert_eq!(remote_id(&remote.request_id), Some(31));
    }

    #[test]
    fn a_pull_that_lacks_a_member_is_lethal() {
        for name in [
            "remote_block_ids",
            "remote_engine_id",
            "remote_request_id",
            "remote_host",
            "remote_port",
        ] {
            let mut params = offer();
            params[name] = Value::Null;
            assert_eq!(Intent::of(Some(&params)), Intent::Lethal, "{name}");
        }
    }

    #[test]
    fn what_asks_for_nothing_is_local() {
        assert_eq!(Intent::of(None), Intent::Local);
        assert_eq!(Intent::of(Some(&json!({"do_remote_decode": false}))), Intent::Local);
        assert_eq!(Intent::of(Some(&json!({"do_remote_decode": true}))), Intent::Produce);
    }
}
