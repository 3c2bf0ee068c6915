//! What the requests of one worker thread share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use qoe_runtime::drain::DrainWatch;
use rand::rngs::SmallRng;

use crate::shared::Shared;
use crate::upstream::pool::Pool;

/// What one worker's requests share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Rc<Pool>,
    pub(crate) rng: RefCell<SmallRng>,
    pub(crate) drain: DrainWatch,
}
