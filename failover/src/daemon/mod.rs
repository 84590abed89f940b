//! The daemon `port-failover`: the machine, and everything around it.
//!
//! | module | what |
//! |---|---|
//! | `judge`, `hands` | takes events to the machine and its actions to the world, which is a trait (no I/O) |
//! | `center_leases`, `chronicle`, `complaints`, `lan`, `report` | what the judge remembers and shows (pure) |
//! | `turns`, `kernel`, `paths`, `memory` | the judge's thread, and its hands in the kernel |
//! | `start`, `ground` | puts all this together, and takes it apart |
//! | `mailbox` | how the other threads reach it |
//! | `center`, `port`, `clients` | those that may have to wait: the storage center, the port's process, listing sockets |
//! | [`status`], `operations`, `exposition` | what an operator asks, and his server of metrics |
//!
//! One thread judges. It waits for nobody: questions to the center, the port's process, disks and the operator are other
//! threads' matter, and their news come into its mailbox.

mod center;
mod center_leases;
mod chronicle;
mod clients;
mod complaints;
mod exposition;
mod ground;
mod hands;
mod judge;
mod kernel;
mod lan;
mod mailbox;
mod memory;
mod operations;
mod paths;
mod port;
mod report;
mod start;
pub mod status;
mod turns;

pub use self::start::{StartError, check, run};
