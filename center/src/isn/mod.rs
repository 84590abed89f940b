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
mod inquiry;
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
pub use incoming::{Incoming, Received};
pub use inquiry::{Copy, DiskStatus, Opened};
pub use node::{Isn, Mounted, Settings};
pub use object::StoredObject;
