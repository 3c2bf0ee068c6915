use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::io::DuplexStream;

use super::*;
use crate::upstream::fake::{self, Peer};

/// What an endpoint does with one connection.
#[derive(Clone, Copy)]
enum Act {
    /// Answers the request.
    Answer,
    /// Reads the request and closes the connection without a word.
    CloseAfterRequest,
    /// Closes the connection before it has read anything.
    CloseAtOnce,
    /// Sends half a head, and closes the connection.
    CloseInsideHead,
}

async fn act(mut peer: Peer, act: Act) -> Option<Peer> {
    match act {
        Act::CloseAtOnce => return None,
        Act::CloseAfterRequest => drop(peer.asked().await),
        Act::CloseInsideHead => {
            peer.asked().await;
            peer.say("HTTP/1.1 200").await;
        }
        Act::Answer => {
            peer.asked().await;
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            return Some(peer);
        }
    }
    None
}

/// The outcome of one request, and how many connections were opened and requests made for it.
struct Outcome {
    answer: Result<(Parts, Exchange<DuplexStream>), UpstreamError>,
    opened: usize,
    made: usize,
}

/// Requests on `idle`, or on new connections that these acts are played on.
async fn play(idle: Option<(Connection<DuplexStream>, Peer, Act)>, acts: &[Act]) -> Outcome {
    let (opened, made) = (Cell::new(0), Cell::new(0));
    let mut playing = Vec::new();
    let idle = idle.map(|(connection, peer, first)| {
        playing.push(tokio::spawn(act(peer, first)));
        connection
    });
    let playing = RefCell::new(playing);
    let acts = RefCell::new(acts.iter().copied().collect::<VecDeque<_>>());
    let open = async || {
        opened.set(opened.get() + 1);
        let next = acts.borrow_mut().pop_front();
        let Some(next) = next else {
            return Err(UpstreamError::Connect(std::io::ErrorKind::ConnectionRefused.into()));
        };
        let (connection, peer) = fake::connection().await;
        playing.borrow_mut().push(tokio::spawn(act(peer, next)));
        Ok(connection)
    };
    let make = || {
        made.set(made.get() + 1);
        fake::get()
    };
    let answer = request(idle, open, make).await;
    for played in playing.into_inner() {
        drop(played.await.expect("the endpoint played its act"));
    }
    Outcome { answer, opened: opened.get(), made: made.get() }
}

async fn used(act: Act) -> Option<(Connection<DuplexStream>, Peer, Act)> {
    let (connection, peer) = fake::used().await;
    Some((connection, peer, act))
}

#[tokio::test]
async fn without_an_idle_connection_one_is_opened() {
    let outcome = play(None, &[Act::Answer]).await;
    let (head, _) = outcome.answer.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((head.status.as_u16(), outcome.opened, outcome.made), (200, 1, 1));
}

#[tokio::test]
async fn an_idle_connection_is_used_and_none_is_opened() {
    let outcome = play(used(Act::Answer).await, &[]).await;
    assert!(outcome.answer.is_ok());
    assert_eq!((outcome.opened, outcome.made), (0, 1));
}

#[tokio::test]
async fn an_idle_connection_that_closes_before_the_answer_is_replaced_once() {
    for closes in [Act::CloseAtOnce, Act::CloseAfterRequest, Act::CloseInsideHead] {
        let outcome = play(used(closes).await, &[Act::Answer]).await;
        assert!(outcome.answer.is_ok());
        assert_eq!((outcome.opened, outcome.made), (1, 2));
        let outcome = play(used(closes).await, &[Act::CloseAfterRequest, Act::Answer]).await;
        assert!(matches!(outcome.answer, Err(UpstreamError::Broken(_))), "not a third time");
        assert_eq!((outcome.opened, outcome.made), (1, 2));
    }
}

#[tokio::test]
async fn a_new_connection_that_closes_after_the_request_is_an_error() {
    for closes in [Act::CloseAfterRequest, Act::CloseInsideHead] {
        let outcome = play(None, &[closes, Act::Answer]).await;
        assert!(matches!(outcome.answer, Err(UpstreamError::Broken(_))));
        assert_eq!((outcome.opened, outcome.made), (1, 1), "the endpoint may have begun to work");
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_an_error() {
    for idle in [None, used(Act::CloseAtOnce).await] {
        let outcome = play(idle, &[]).await;
        assert!(matches!(outcome.answer, Err(UpstreamError::Connect(_))));
        assert_eq!(outcome.opened, 1);
    }
}
