//! An export of a [`Filesystem`](nfs::filesystem::Filesystem) as a file system of this machine (FUSE, fuse(4)), for
//! programs that know files alone, as Samba.
//!
//! | module | what |
//! |---|---|
//! | `convert` | attributes, times and errors in the kernel's words (pure) |
//! | `dos_attribute` | what CIFS clients say of an object, as Samba keeps it (pure) |
//! | `nodes` | the objects that the kernel knows by their numbers (pure) |
//! | `openings` | who opened the files that are open (pure) |
//! | `tree` | what the kernel can ask for |
//! | `front` | who asks, and the answers: the library's trait |
//!
//! Nothing is remembered about a file but its handle, and who has it open. The kernel may believe attributes and names for
//! [`BELIEVE`](convert::BELIEVE) and no bytes at all, so what NFS clients write is seen in less than a second. Whether
//! a user may do something is the file system's matter; he comes from this very machine (127.0.0.1), with the groups
//! of his process, the first 16.
//!
//! Who mounts is not the one who answers: mounting is for the mighty. [`serve`] takes the descriptor of `/dev/fuse`
//! with which somebody has mounted, and serves until it is unmounted.

mod convert;
mod dos_attribute;
mod front;
mod nodes;
mod openings;
mod tree;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fuser::{Config, Session, SessionACL};
use nfs::filesystem::Filesystem;
use tokio::runtime::Handle;

use crate::front::Front;
use crate::tree::Tree;

/// Answers on `device`, which is mounted already, from a thread of its own until it is unmounted. The work is done in
/// `runtime`. `seed` is another one at each start. Waits for the kernel's first word, so not for asynchronous code.
///
/// # Errors
/// The kernel's FUSE is too old, or the device is not mounted any more.
pub fn serve<F: Filesystem>(
    filesystem: Arc<F>,
    export: String,
    seed: [u8; 8],
    device: OwnedFd,
    runtime: Handle,
) -> io::Result<()> {
    let front = Front::new(Tree::new(filesystem, export), seed, runtime);
    let session = Session::from_fd(front, device, SessionACL::All, Config::default())?;
    // It ends by itself, when there is no mount any more.
    session.spawn().map(drop)
}
