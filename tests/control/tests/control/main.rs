//! The control plane, against a real API server. One binary, so that one server does for all.

mod certificates;
mod conflicts;
mod cut_off;
mod definition;
mod faults;
mod leading;
mod pods;
mod rights;
mod routing;
mod sequences;
mod status;
