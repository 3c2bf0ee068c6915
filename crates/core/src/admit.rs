//! When a request may begin: the queue of one route, and who is refused when there is no room.

pub mod ask;
pub mod queue;
pub mod room;
