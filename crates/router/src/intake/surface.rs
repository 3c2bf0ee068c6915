//! The paths that the router serves, and how it treats each. A path that is not named here is not reachable, unless
//! its route allows it.

use http::Method;
use qoe_core::request::analyze::Api;

/// How the router treats a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// Generation: analyzed, and served by plan.
    Generate(Api),
    /// Proxied to one endpoint as it is.
    One,
    /// `/v1/responses`: proxied to one endpoint, which stores the response.
    Responses,
    /// `/v1/responses/{id}…`: proxied to the endpoint that stores the response.
    StoredResponse,
    /// `/v1/models` and `/v1/models/{id}`: merged over all endpoints.
    Models,
    /// The health of the router itself.
    Health,
    /// Anything else: proxied where a route allows the path.
    Administrative,
}

/// Paths that are proxied to one endpoint as they are.
const ONE: [&str; 17] = [
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/tokenize",
    "/detokenize",
    "/v1/score",
    "/score",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/pooling",
    "/classify",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/audio/speech",
    "/v1/realtime",
    "/v1/chat/completions/render",
];

impl Surface {
    /// The treatment of `path`. Paths are compared without decoding, so an encoded path is another path.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/chat/completions" => Self::Generate(Api::ChatCompletions),
            "/v1/completions" => Self::Generate(Api::Completions),
            "/v1/responses" => Self::Responses,
            "/v1/models" => Self::Models,
            "/health" | "/ping" => Self::Health,
            path if ONE.contains(&path) => Self::One,
            path if below(path, "/v1/models/") => Self::Models,
            path if below(path, "/v1/responses/") => Self::StoredResponse,
            _ => Self::Administrative,
        }
    }

    /// The API of a path that generates.
    pub(crate) const fn generates(self) -> Option<Api> {
        match self {
            Self::Generate(api) => Some(api),
            _ => None,
        }
    }

    /// Whether `method` is allowed here. On proxied paths that is up to the endpoint.
    pub(crate) fn allows(self, method: &Method) -> bool {
        match self {
            Self::Generate(_) => method == Method::POST,
            Self::Models | Self::Health => method == Method::GET || method == Method::HEAD,
            _ => method != Method::CONNECT && method != Method::TRACE,
        }
    }
}

/// Whether `path` lies below `prefix` and is plain: no empty or dotted segments, no percent-encoding.
fn below(path: &str, prefix: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    path.strip_prefix(prefix).is_some_and(|rest| {
        rest.chars().all(plain) && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrative_paths_are_never_taken_for_others() {
        let paths = [
            "/sleep",
            "/wake_up",
            "/update_weights",
            "/v1/load_lora_adapter",
            "/reset_prefix_cache",
            "/collective_rpc",
            "/metrics",
            "/load",
            "//v1/models",
            "/v1/models/..%2fsleep",
            "/v1/responses/../../sleep",
            "/v1/responses//x",
            "/v1/chat/completions/",
            "/",
            "*",
            "/inference/v1/generate",
            "/v1/embeddings/../sleep",
            "/V1/models",
        ];
        for path in paths {
            assert_eq!(Surface::of(path), Surface::Administrative, "{path}");
        }
    }

    #[test]
    fn the_openai_surface_is_served() {
        assert_eq!(Surface::of("/v1/completions"), Surface::Generate(Api::Completions));
        assert_eq!(Surface::of("/v1/responses/resp_1/cancel"), Surface::StoredResponse);
        assert_eq!(Surface::of("/v1/models/meta-llama/Llama-3.1-8B"), Surface::Models);
        assert!(ONE.iter().all(|path| Surface::of(path) == Surface::One));
        assert!(!Surface::of("/v1/completions").allows(&Method::GET));
    }
}
