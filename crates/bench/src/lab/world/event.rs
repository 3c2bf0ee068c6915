//! What happens in the lab, each at its moment.

/// A request, as the index of its arrival.
pub(super) type JobId = usize;
/// What a router sends to an endpoint for a request; also the name of its request in the engine.
pub(super) type LegId = usize;

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Arrive(JobId),
    /// A leg reaches its endpoint.
    Deliver(LegId),
    /// The step in flight ends, in the engine's n-th life; steps of earlier lives are ignored.
    StepEnds(usize, u32),
    /// An idle engine has something to do by itself.
    Wake(usize),
    /// A router hears that the prefill leg is over.
    Prefilled(LegId),
    /// A router hears that a leg has failed.
    Failed(LegId),
    Scrape(usize, usize),
    /// A router looks at its queue.
    Tick(usize),
    Dies(usize),
    Returns(usize),
    /// A second has passed.
    Second,
}
