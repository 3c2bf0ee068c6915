//! Serves one call: carries out plans, then relays the answer.

use std::rc::Rc;

use http::{HeaderValue, Response};

use crate::answer::relay::Relay;
use crate::answer::reply::Reply;
use crate::answer::tap::Tap;
use crate::execute::attempts::Attempts;
use crate::execute::call::Call;
use crate::execute::setback::Answered;
use crate::headers;
use crate::ticket::Ticket;
use crate::worker::Worker;

/// Serves a call on its ticket's route.
pub(crate) async fn serve(worker: &Rc<Worker>, call: Call, mut ticket: Ticket) -> Response<Reply> {
    match Attempts::new(worker, &call, &mut ticket).run().await {
        Ok(answered) => reply(worker, &call, ticket, answered),
        Err(failure) => {
            ticket.failed(&failure);
            let mut response = failure.into_response();
            explain(&mut response, &call, &ticket);
            response
        }
    }
}

/// The client's answer, relayed from the endpoint's.
fn reply(
    worker: &Rc<Worker>,
    call: &Call,
    mut ticket: Ticket,
    answered: Answered,
) -> Response<Reply> {
    let Answered { mut head, exchange, first, endpoint } = answered;
    headers::strip_hop_by_hop(&mut head.headers);
    // Not the endpoint's: to an HTTP/1.0 answer a client could not tell a break from an end.
    head.version = http::Version::HTTP_11;
    ticket.answered(head.status);
    if call.stores {
        let first = first.as_deref().unwrap_or_default();
        worker.shared.stored.learn(first, &endpoint.name);
    }
    let tap = match call.generate {
        _ if headers::is_event_stream(&head.headers) => {
            head.headers.remove(http::header::CONTENT_LENGTH);
            Tap::events(call.generate.is_some())
        }
        Some(_) => Tap::whole(),
        None => Tap::Nothing,
    };
    let mut response = Response::from_parts(head, Reply::empty());
    explain(&mut response, call, &ticket);
    let relay = Relay::new(exchange, first, tap, ticket, endpoint, Rc::clone(&worker.pool));
    *response.body_mut() = Reply::Relay(Box::new(relay));
    response
}

pub(crate) fn explain(response: &mut Response<Reply>, call: &Call, ticket: &Ticket) {
    if !call.explain {
        return;
    }
    for (name, value) in ticket.explained() {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
}
