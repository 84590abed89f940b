//! Locks through a real port: two clients' processes, read-only exports, removed files, and kill -9 between a lock and
//! its return (PORT-1). Linux's own client does the same in `linux_client.rs`.

#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::time::Duration;

use e2e::poll;
use e2e::rpc::{Connection, Credential};
use e2e::site::{Port, PortSettings, Site};
use nfs3_types::nfs3::nfs_fh3;
use nfs3_types::xdr_codec::{Opaque, Pack, Result as XdrResult, Unpack};

const TIMEOUT: Duration = Duration::from_secs(20);
const NLM: (u32, u32) = (100_021, 4);
const LOCK: u32 = 2;
const UNLOCK: u32 = 4;

/// `nlm4_stats`.
const GRANTED: u32 = 0;
const DENIED: u32 = 1;
const GRACE: u32 = 4;
const READ_ONLY: u32 = 6;
const STALE: u32 = 7;

/// A process of a client.
struct Process {
    name: &'static [u8],
    file: nfs_fh3,
}

/// Arguments of LOCK or UNLOCK.
struct Args<'a> {
    process: &'a Process,
    offset: u64,
    len: u64,
    /// Exclusive and reclaim; not there for UNLOCK.
    lock: Option<(bool, bool)>,
}

impl Pack for Args<'_> {
    fn packed_size(&self) -> usize {
        let mut bytes = Vec::new();
        self.pack(&mut bytes).unwrap_or(0)
    }

    fn pack(&self, out: &mut impl Write) -> XdrResult<usize> {
        let Process { name, file } = self.process;
        let mut len = Opaque::borrowed(b"cookie").pack(out)?;
        if let Some((exclusive, _)) = self.lock {
            let block = false;
            len += block.pack(out)? + exclusive.pack(out)?;
        }
        len += Opaque::borrowed(name).pack(out)? + file.pack(out)? + Opaque::borrowed(b"owner").pack(out)?;
        len += 7u32.pack(out)? + self.offset.pack(out)? + self.len.pack(out)?;
        if let Some((_, reclaim)) = self.lock {
            len += reclaim.pack(out)? + 1u32.pack(out)?;
        }
        Ok(len)
    }
}

/// Cookie and status.
struct Answer(u32);

impl Unpack for Answer {
    fn unpack(input: &mut impl Read) -> XdrResult<(Self, usize)> {
        let (cookie, before) = Opaque::unpack(input)?;
        assert_eq!(cookie.as_ref(), b"cookie");
        let (status, len) = u32::unpack(input)?;
        Ok((Self(status), before + len))
    }
}

impl Process {
    fn call(&self, port: &Port, procedure: u32, args: &Args<'_>) -> io::Result<u32> {
        let mut connection = Connection::open(port.mount_address(), &Credential::root(), TIMEOUT)?;
        connection.call_program::<Answer>(NLM.0, NLM.1, procedure, args).map(|answer| answer.0)
    }

    fn lock(&self, port: &Port, (offset, len): (u64, u64), exclusive: bool, reclaim: bool) -> u32 {
        let args = Args { process: self, offset, len, lock: Some((exclusive, reclaim)) };
        self.call(port, LOCK, &args).unwrap()
    }

    fn unlock(&self, port: &Port, (offset, len): (u64, u64)) -> u32 {
        self.call(port, UNLOCK, &Args { process: self, offset, len, lock: None }).unwrap()
    }
}

#[test]
fn locks_outlast_a_killed_port_because_clients_take_them_again() {
    let site = Site::start();
    let mut port = site.port_with("port", &PortSettings { grace_seconds: 3, ..PortSettings::default() });
    let mut mount = port.mount("/export");
    let file = mount.create_file(&mount.root(), b"file").unwrap();
    let one = Process { name: b"one", file: file.clone() };
    let two = Process { name: b"two", file: file.clone() };
    assert_eq!(one.lock(&port, (0, 10), true, false), GRANTED);
    assert_eq!(two.lock(&port, (9, 1), false, false), DENIED);

    for _ in 0..2 {
        port.daemon.kill_9();
        port.daemon.restart();
        assert_eq!(two.lock(&port, (9, 1), false, false), GRACE, "the old lock may come back");
        assert_ne!(two.lock(&port, (9, 1), false, true), GRANTED, "it had none");
        assert_eq!(one.lock(&port, (0, 10), true, true), GRANTED);
    }
    poll::until("new locks are given", TIMEOUT, || {
        (two.lock(&port, (50, 1), true, false) == GRANTED).then_some(())
    });
    assert_eq!(two.lock(&port, (9, 1), false, false), DENIED);
    assert_eq!(one.unlock(&port, (0, 0)), GRANTED);
    assert_eq!(two.lock(&port, (9, 1), false, false), GRANTED);

    mount.remove(&mount.root(), b"file").unwrap();
    assert_eq!(one.lock(&port, (0, 10), true, false), STALE);
    assert_eq!(two.unlock(&port, (0, 0)), GRANTED);
}

#[test]
fn a_read_only_tree_takes_shared_locks_alone() {
    let site = Site::start();
    let port = site.port("port");
    let mut mount = port.mount("/export");
    mount.create_file(&mount.root(), b"file").unwrap();
    let mut shadow = port.mount("/SRL");
    let file = shadow.lookup(&shadow.root(), b"file").unwrap();
    let process = Process { name: b"one", file };
    assert_eq!(process.lock(&port, (0, 0), true, false), READ_ONLY);
    assert_eq!(process.lock(&port, (0, 0), false, false), GRANTED);
}
