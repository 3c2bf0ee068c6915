//! A running server, from outside: real sockets on free ports, an engine without delay.

mod common;
mod faults;
mod handoff;
mod surface;
mod wire;
