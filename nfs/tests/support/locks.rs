//! Clients that lock: raw calls over TCP and UDP, each client at its own 127.0.0.x, and a ledger in memory.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

use nfs::memory::MemoryFilesystem;
use nfs::nlm;
use nfs::nsm::ledger::{Ledger, Record};
use nfs::settings::{Bounds, Settings};

use super::{Args, As, Client, PATIENCE, Reply, Running, START, call_bytes, serve_on, settings};

pub const NLM: (u32, u32) = (100_021, 4);
pub const NSM: (u32, u32) = (100_024, 1);

/// `nlm4_stats`.
pub const GRANTED: u32 = 0;
pub const DENIED: u32 = 1;
pub const NO_LOCKS: u32 = 2;
pub const BLOCKED: u32 = 3;
pub const GRACE: u32 = 4;
pub const DEADLOCK: u32 = 5;
pub const READ_ONLY: u32 = 6;
pub const STALE: u32 = 7;
pub const TOO_BIG: u32 = 8;
pub const FAILED: u32 = 9;

/// Outlives servers, like a disk.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    kept: Mutex<Kept>,
    /// Held by a test while nothing shall be stored.
    pub disk: Mutex<()>,
    /// Stores begun and not ended, now and at most.
    at_once: Mutex<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Kept {
    record: Record,
    is_full: bool,
    is_damaged: bool,
    stores: usize,
}

impl MemoryLedger {
    pub fn record(&self) -> Record {
        self.kept.lock().unwrap().record.clone()
    }

    pub fn stores(&self) -> usize {
        self.kept.lock().unwrap().stores
    }

    pub fn stores_at_once(&self) -> usize {
        self.at_once.lock().unwrap().0
    }

    pub fn most_stores_at_once(&self) -> usize {
        self.at_once.lock().unwrap().1
    }

    /// What is kept is no record any more, until one is stored.
    pub fn damage(&self) {
        self.kept.lock().unwrap().is_damaged = true;
    }

    /// From now on nothing can be stored, or can again.
    pub fn set_full(&self, is_full: bool) {
        self.kept.lock().unwrap().is_full = is_full;
    }
}

impl Ledger for MemoryLedger {
    fn load(&self) -> io::Result<Record> {
        if self.kept.lock().unwrap().is_damaged {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(self.record())
    }

    fn store(&self, record: &Record) -> io::Result<()> {
        {
            let (now, most) = &mut *self.at_once.lock().unwrap();
            *now += 1;
            *most = (*most).max(*now);
        }
        let _disk = self.disk.lock().unwrap();
        self.at_once.lock().unwrap().0 -= 1;
        let mut kept = self.kept.lock().unwrap();
        if kept.is_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.is_damaged = false;
        kept.record = record.clone();
        kept.stores += 1;
        Ok(())
    }
}

pub fn lock_settings(ledger: &Arc<MemoryLedger>) -> nlm::Settings {
    nlm::Settings::new(Arc::clone(ledger) as Arc<dyn Ledger>)
}

/// A server with locks and an empty file system.
pub fn serve_locks(locks: nlm::Settings) -> Running {
    let settings = Settings { locks: Some(locks), ..settings(Bounds::default()) };
    serve_on(MemoryFilesystem::new(&["/export"], START), settings)
}

/// One process of a client.
pub struct Process {
    pub client: Client,
    pub name: String,
    pub svid: u32,
    pub file: Vec<u8>,
}

/// Which lock, and how: `(offset, length)`, with length 0 to the end.
#[derive(Clone, Copy)]
pub struct Lock {
    pub range: (u64, u64),
    pub exclusive: bool,
    pub block: bool,
    pub reclaim: bool,
    pub state: u32,
}

pub fn exclusive(offset: u64, len: u64) -> Lock {
    Lock { range: (offset, len), exclusive: true, block: false, reclaim: false, state: 1 }
}

pub fn shared(offset: u64, len: u64) -> Lock {
    Lock { exclusive: false, ..exclusive(offset, len) }
}

impl Lock {
    pub fn blocking(self) -> Self {
        Self { block: true, ..self }
    }
    pub fn reclaiming(self) -> Self {
        Self { reclaim: true, ..self }
    }
}

/// The client at 127.0.0.`host`.
pub fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, host)
}

impl Process {
    /// A process of the client at 127.0.0.`host`, which calls itself as Linux clients do.
    pub fn new(server: SocketAddr, host: u8, svid: u32, file: &[u8]) -> Self {
        let client = Client::connect_from(address(host), server);
        Self { client, name: format!("host{host}"), svid, file: file.to_vec() }
    }

    pub fn alock(&self, args: Args, (offset, len): (u64, u64)) -> Args {
        let oh = format!("{}@{}", self.svid, self.name);
        let args = args.opaque(self.name.as_bytes()).opaque(&self.file).opaque(oh.as_bytes());
        args.u32(self.svid).u64(offset).u64(len)
    }

    pub fn lock_args(&self, lock: Lock) -> Args {
        let args = Args::new().opaque(b"cookie").u32(lock.block.into()).u32(lock.exclusive.into());
        self.alock(args, lock.range).u32(lock.reclaim.into()).u32(lock.state)
    }

    pub fn unlock_args(&self, range: (u64, u64)) -> Args {
        self.alock(Args::new().opaque(b"cookie"), range)
    }

    pub fn test_args(&self, lock: Lock) -> Args {
        self.alock(Args::new().opaque(b"cookie").u32(lock.exclusive.into()), lock.range)
    }

    pub fn cancel_args(&self, lock: Lock) -> Args {
        let args = Args::new().opaque(b"cookie").u32(lock.block.into()).u32(lock.exclusive.into());
        self.alock(args, lock.range)
    }

    pub fn lock(&mut self, lock: Lock) -> u32 {
        let args = self.lock_args(lock);
        status(&self.client.call(NLM, 2, args))
    }

    pub fn unlock(&mut self, offset: u64, len: u64) -> u32 {
        let args = self.unlock_args((offset, len));
        status(&self.client.call(NLM, 4, args))
    }

    pub fn cancel(&mut self, lock: Lock) -> u32 {
        let args = self.cancel_args(lock);
        status(&self.client.call(NLM, 3, args))
    }

    /// Who is in the way: process number and range.
    pub fn test(&mut self, lock: Lock) -> Result<(), (u32, (u64, u64))> {
        let args = self.test_args(lock);
        let reply = self.client.call(NLM, 1, args);
        let mut results = reply.results();
        assert_eq!(results.opaque(1024), Ok(&b"cookie"[..]));
        match results.u32().unwrap() {
            GRANTED => {
                results.end().unwrap();
                Ok(())
            }
            DENIED => {
                let _exclusive = results.bool().unwrap();
                let svid = results.u32().unwrap();
                let oh = results.opaque(1024).unwrap();
                assert!(oh.starts_with(svid.to_string().as_bytes()));
                let range = (results.u64().unwrap(), results.u64().unwrap());
                results.end().unwrap();
                Err((svid, range))
            }
            other => panic!("status {other}"),
        }
    }

    /// SHARE, or UNSHARE.
    pub fn share(&mut self, procedure: u32, access: u32, deny: u32) -> u32 {
        let oh = format!("{}@{}", self.svid, self.name);
        let args = Args::new().opaque(b"cookie").opaque(self.name.as_bytes()).opaque(&self.file);
        let args = args.opaque(oh.as_bytes()).u32(deny).u32(access).u32(0);
        let reply = self.client.call(NLM, procedure, args);
        let mut results = reply.results();
        assert_eq!(results.opaque(1024), Ok(&b"cookie"[..]));
        let status = results.u32().unwrap();
        assert_eq!(results.u32(), Ok(0), "the sequence number");
        results.end().unwrap();
        status
    }
}

/// Status of an answer that is cookie and status.
pub fn status(reply: &Reply) -> u32 {
    let mut results = reply.results();
    assert_eq!(results.opaque(1024), Ok(&b"cookie"[..]), "the cookie comes back");
    let status = results.u32().unwrap();
    results.end().unwrap();
    status
}

/// One call over UDP from 127.0.0.`host`.
pub fn datagram(server: SocketAddr, host: u8, program: (u32, u32), procedure: u32, args: Args) -> Reply {
    let socket = UdpSocket::bind((address(host), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let call = call_bytes(77, program, procedure, &As::root(), &args.bytes());
    socket.send_to(&call, server).unwrap();
    let mut buffer = [0; 65536];
    let (len, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from, server);
    Reply(buffer[..len].to_vec())
}

/// The client at 127.0.0.`host` says that it has restarted.
pub fn notify(server: SocketAddr, host: u8, name: &str, state: u32) {
    let args = Args::new().opaque(name.as_bytes()).u32(state);
    datagram(server, host, NSM, 6, args).results().end().unwrap();
}
