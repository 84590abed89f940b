//! The storage node (ISN): objects on disks, named by their fingerprints, held by references.
//!
//! Takes and gives bytes; knows customers as numbers only. Authenticates nobody (that is [`crate::dosm`]) and has
//! no idea of names and folders (that is the VFS). From the outside: [`Isn`], [`Incoming`], [`StoredObject`].

mod committer;
mod disk;
mod fault;
mod format;
mod incoming;
mod index;
mod layout;
mod node;
mod object;
mod placement;
mod pool;
mod references;
mod scan;
#[cfg(test)]
mod tests;
mod upkeep;

pub use fault::OpenError;
pub use incoming::{Announced, Incoming};
pub use index::Reference;
pub use layout::{fingerprint_of, optional};
pub use node::{FetchError, Isn, Settings, StoreError, Unavailable};
pub use object::StoredObject;
pub use pool::{Interrupted, Pool};
pub use scan::Scanned;
