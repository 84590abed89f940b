//! The cluster as one of its processes sees it, and what the processes do for each other over DOSP.
//!
//! Asking: [`objects`] (`upload`, `search`, `read`) for object managers, [`references`] for the VFS, [`directory`] for
//! object managers again → [`view`] (pure: `members`, `locations`, `placement`, `order`) → [`link`] → `session`.
//! Answering: [`daemon`] → `node_operations`, `directory`. Telling everybody: [`beacon`]. Copies that are wanting are made
//! by [`repair`].
//!
//! Between storage centers that mirror each other: [`mirror`].
//!
//! Nobody here knows for sure where an object is (SYS-2). Whatever is known may be wrong, and is found out by asking.

pub mod beacon;
pub mod centers;
pub mod daemon;
pub mod directory;
pub mod elsewhere;
mod failure;
pub mod link;
pub mod locations;
pub mod members;
pub mod mirror;
pub mod node;
pub mod node_operations;
pub mod objects;
mod order;
mod placement;
mod read;
pub mod references;
pub mod repair;
mod search;
pub mod session;
mod spread;
pub mod status;
#[cfg(test)]
mod tests;
pub mod transport;
mod upload;
pub mod view;

pub use order::Order;
