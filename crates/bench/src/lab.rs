//! The lab: the router's decisions and the simulator's engines, driven event by event in virtual time.

pub mod arrival;
pub mod confidence;
pub mod draw;
pub mod outcome;
pub mod report;
pub mod results;
pub mod summary;
pub mod trace;
pub mod workload;
