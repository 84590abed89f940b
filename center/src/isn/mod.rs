//! The storage node (ISN): objects on disks, named by their fingerprints, held by references.
//!
//! Takes and gives bytes; knows customers as numbers only. Authenticates nobody (that is [`crate::dosm`]) and has
//! no idea of names and folders (that is the VFS). From the outside: [`Isn`], [`Incoming`], [`StoredObject`].

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
mod layout;
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

pub use disk::{DiskStatus, State};
pub use fault::OpenError;
pub use incoming::{Announced, Incoming};
pub use index::Reference;
pub use node::{FetchError, Isn, Settings, StoreError, Unavailable};
pub use object::StoredObject;
pub use scan::Scanned;
