//! What watches a pair from outside, as the program `pair-probe` on a host of its own, with real-time priority: an
//! overloaded machine shall not be taken for an outage.
//!
//! - [`fresh`] opens a connection every 4 ms, makes one call over it, and closes it.
//! - [`steady`] keeps one connection, and reconnects by the rules of Linux's client.
//! - [`writer`] writes, reads back, renames and removes, and notices what is wrong or lost.
//! - [`owners`] asks the LAN every 5 ms who has the address, and counts who answers.
//!
//! Each counts from mark to mark ([`report`]); [`gap`] is the longest time without an answer.

pub mod fresh;
pub mod gap;
pub mod owners;
pub mod report;
pub mod steady;
pub mod writer;

use std::io;
use std::net::SocketAddr;

use nfs3_types::nfs3::nfs_fh3;

use crate::data;
use crate::mount::Mount;
use crate::rpc::Credential;

/// The file that is asked for.
const FILE: &[u8] = b"pair-probe";
/// Its length.
const FILE_BYTES: usize = 64 << 10;

/// The file that [`fresh`] and [`steady`] ask for, and what is in it.
#[derive(Clone)]
pub struct Subject {
    /// The server's address.
    pub server: SocketAddr,
    /// The file.
    pub file: nfs_fh3,
    /// Its contents.
    pub bytes: std::sync::Arc<Vec<u8>>,
}

impl Subject {
    /// Makes the file, unless it is there.
    ///
    /// # Errors
    /// If the server does not let itself be mounted.
    pub fn prepare(server: SocketAddr) -> io::Result<Self> {
        let mut mount = Mount::new(server, "/export", Credential::root())?;
        let (root, bytes) = (mount.root(), data::bytes(1, FILE_BYTES));
        let file = match mount.lookup(&root, FILE) {
            Ok(file) => file,
            Err(_) => {
                mount.put(&root, FILE, &bytes).map_err(|status| io::Error::other(format!("{status:?}")))?
            }
        };
        Ok(Self { server, file, bytes: bytes.into() })
    }
}
