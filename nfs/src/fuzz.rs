//! The way of a record from its bytes to the bytes of its reply, without sockets: the door for fuzzing.
//!
//! Nothing here decides anything; it only opens what the crate keeps to itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::sync::watch;

pub use crate::dispatch::Programs;
use crate::dispatch::{Origin, Service};
use crate::duty::Duty;
use crate::filesystem::{Filesystem, Segment};
use crate::nlm;
use crate::nlm::service::Locks;
use crate::record::Record;
use crate::rpcbind::register;
use crate::server::{Addresses, registrations};

/// Where all calls come from.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A whole server but for its sockets.
pub struct Door<F>(Service<F>);

impl<F: Filesystem> Door<F> {
    /// Serves `filesystem`, and locks where there are settings for them; tells clients of rpcbind what a server at
    /// `addresses` would.
    ///
    /// # Errors
    /// The ledger's.
    pub fn new(
        filesystem: F,
        mounts_max: usize,
        locks: Option<&nlm::Settings>,
        addresses: &Addresses,
    ) -> io::Result<Self> {
        let registrations = registrations(addresses, locks.is_some());
        let locks = locks.map(Locks::open).transpose()?.map(Arc::new);
        let locks = locks.map(|locks| watch::channel(Some(locks)).1);
        let mounts = Arc::new(crate::mount::Table::new(mounts_max));
        let (tally, duty) = (Arc::default(), Duty::default());
        let service = Service::new(Arc::new(filesystem), mounts, tally, duty, locks, registrations);
        Ok(Self(service))
    }

    /// The reply to a record, with its mark; `None` if the record is no call. Also what the connection asks first: how
    /// much memory the reply may take beyond a small one.
    pub async fn answer(&self, programs: Programs, record: &Record) -> (usize, Option<Vec<u8>>) {
        let bytes_max = self.0.reply_bytes_max(record);
        let origin = Origin { peer: PEER, local: Some(LOCAL) };
        // Memory that was used before, as connections have it: nothing of it may show.
        let memory = vec![0xa5; 64];
        let reply = self.0.answer(programs, origin, record, memory).await.map(|reply| {
            let (mut bytes, data, padding) = reply.into_parts();
            for segment in data {
                match segment {
                    Segment::Bytes(part) => bytes.extend_from_slice(&part),
                    Segment::File { file, offset, len } => {
                        let start = bytes.len();
                        bytes.resize(start + len as usize, 0);
                        // A file that ends early shows as zeros, which whoever compares sees.
                        let _ = file.read_exact_at(&mut bytes[start..], offset);
                    }
                }
            }
            bytes.resize(bytes.len() + padding, 0);
            bytes
        });
        (bytes_max, reply)
    }
}

/// What a reply of another rpcbind to call `xid` says: `None` if it is no such reply.
pub fn rpcbind_reply(datagram: &[u8], xid: u32) -> Option<bool> {
    register::decode_reply(datagram, xid)
}
