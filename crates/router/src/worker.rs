//! What the requests of one worker thread share.
//!
//! Nothing in here is seen by another thread, so nothing needs a lock. It must not know what a request is.

pub(crate) mod drain;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rand::rngs::SmallRng;

use crate::shared::Shared;
use crate::upstream::pool::Pool;
use crate::worker::drain::Drain;

/// One worker's connections to endpoints, its randomness and its view of the drain, beside what all workers share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) rng: RefCell<SmallRng>,
    pub(crate) drain: Rc<Drain>,
}
