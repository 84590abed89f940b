//! How this port is (FO-3, FO-5): who looks, and what it comes to.
//!
//! | module | what |
//! |---|---|
//! | [`sample`] | what is seen |
//! | [`judgement`], [`silence`] | what it comes to (pure) |
//! | [`watch`] | the threads that look at the machine and its disks |
//!
//! The NFS service, the LAN's references and the center are asked by the daemon, each in its own rhythm.

mod disk;
pub mod judgement;
mod machine;
pub mod sample;
pub mod silence;
mod smart;
pub mod watch;
