//! What the control-plane tests share: a real kube-apiserver and etcd, with controllers and routers in process.
//!
//! Owns: the API server's processes, its users and their rights, its audit log; pods without a kubelet; controllers
//! and routers in a namespace of each test; a wire between any two of them that can be cut or held; waiting.
//! Must not: know the inside of controllers or routers. What is asserted is what a user of the cluster, an operator of
//! the processes, or a client of the router can see.
//!
//! ```text
//! test ─▶ Space (a namespace) ─▶ ApiServer (kube-apiserver, etcd: one for all tests)
//!           │                        ▲
//!           ├─ Control (controller) ─┤ Wire: cut, held, refused
//!           └─ Entry (router) ─▶ Control, and simulators behind pods
//! ```

pub mod api_server;
pub mod audit;
pub mod certificates;
pub mod control;
pub mod entry;
pub mod kubernetes;
pub mod logs;
pub mod pages;
pub mod pods;
mod process;
mod programs;
pub mod rights;
pub mod space;
pub mod wait;
pub mod wire;
