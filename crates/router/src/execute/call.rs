//! What a client asked, ready to be sent to an endpoint.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use qoe_core::request::analyze::Api;

/// What a client asked, ready to be sent on.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The API of a generation request.
    pub(crate) generate: Option<Api>,
    /// Endpoints, as indices into the route's pool, that alone may serve it; tried in turn. Empty: by plan.
    pub(crate) pinned: Vec<usize>,
    /// Responses of this call are stored at the endpoint that makes them.
    pub(crate) stores: bool,
    /// The client wants to know the plan.
    pub(crate) explain: bool,
}
