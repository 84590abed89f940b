//! The storage node (ISN): objects on disks, named by their fingerprints, held by references.
//!
//! Takes and gives bytes; knows customers as numbers only. Authenticates nobody (that is [`crate::dosm`]) and has
//! no idea of names and folders (that is the VFS). From the outside: [`Isn`], [`Incoming`], [`StoredObject`].

mod care;
mod committer;
mod disk;
#[cfg(test)]
mod disk_tests;
mod fault;
mod files;
mod format;
mod health;
mod incoming;
mod index;
mod inquiry;
mod layout;
mod locks;
mod names;
mod node;
mod object;
mod placement;
mod pool;
mod quarantine;
mod receive;
mod references;
mod scan;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod upkeep;
mod verify;

pub use disk::DiskStatus;
pub use fault::OpenError;
pub use incoming::{Incoming, Origin, Received};
pub use inquiry::{Copy, Opened};
pub use layout::{fingerprint_of, optional};
pub use locks::Locks;
pub use node::{Isn, Mounted, Settings};
pub use object::StoredObject;
pub use pool::{Interrupted, Pool};
