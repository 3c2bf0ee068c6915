//! One request to one endpoint, on a connection that may have gone stale.

use http::Request;
use http::response::Parts;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::upstream::connection::Connection;
use crate::upstream::error::{Unsent, UpstreamError};
use crate::upstream::exchange::Exchange;
use crate::upstream::leg::Leg;

/// Sends a request on the `idle` connection, or else on one from `open`, and waits for the head of its answer.
///
/// An idle connection that its peer closed in the meantime is replaced once by a new one: nobody has seen the request.
/// `make` builds the request, anew for each connection.
///
/// # Errors
/// No connection could be opened, or it broke before the head came.
pub(crate) async fn request<S, Open>(
    idle: Option<Connection<S>>,
    open: impl Fn() -> Open,
    make: impl Fn() -> Request<Leg>,
) -> Result<(Parts, Exchange<S>), UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    Open: Future<Output = Result<Connection<S>, UpstreamError>>,
{
    let mut connection = match idle {
        Some(connection) => connection,
        None => open().await?,
    };
    let mut answer = connection.send(make()).await;
    if matches!(answer, Err(Unsent::Retry(_))) {
        connection = open().await?;
        answer = connection.send(make()).await;
    }
    let (head, body) = answer?.into_parts();
    Ok((head, Exchange::new(connection, body)))
}

#[cfg(test)]
mod tests;
