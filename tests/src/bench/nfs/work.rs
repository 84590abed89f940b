//! The rows: what is done, in which unit it is counted, and what the port shall reach.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::{Opaque, Pack, Void};

use super::pipe::{Pipe, Script};
use crate::bench::load::Done;
use crate::bench::{ENTRIES, entry, spread};
use crate::data;
use crate::mount::{Mount, at, mode};
use crate::rpc::{Connection, Credential};

/// How long a work runs, but for the writing of a file, which has a size.
const RUN: Duration = Duration::from_secs(2);
/// Size of the file that is read, and of the one that is written.
pub const FILE_BYTES: u64 = 256 << 20;
/// `maxcount` and `dircount` of READDIRPLUS.
const LISTING_BYTES: u32 = 64 << 10;
/// The smallest file worth a name.
const SMALL_BYTES: u32 = 4 << 10;
const MIB: u32 = 1 << 20;
/// Call records made before a work that draws its arguments at random.
const DRAWN: u32 = 4_096;

/// One row of the table. Numbers are calls in flight, or clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// NULL: the way there and back.
    Null(u32),
    /// GETATTR of one file.
    Getattr(u32),
    /// LOOKUP of names of the large directory.
    Lookup(u32),
    /// READs of 4 KiB at random places.
    ReadSmall(u32),
    /// Whole listings of the large directory, one call after the other.
    ReadDirPlus,
    /// READs of so many bytes, one behind the other, again from the front at the end of the file.
    Read {
        /// Bytes of a READ.
        bytes: u32,
        /// Calls in flight.
        window: u32,
    },
    /// A whole file by UNSTABLE WRITEs of 1 MiB, and a COMMIT.
    Write(u32),
    /// CREATE, WRITE of 4 KiB, REMOVE, one after the other.
    Files {
        /// Clients at once, each with its connection.
        clients: u32,
        /// Whether the WRITE is FILE_SYNC, as Linux sends it at `close`; else UNSTABLE.
        is_stable: bool,
    },
}

/// In what a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Calls: rate in calls a second, cost in µs a call.
    Calls,
    /// Reply bytes of READDIRPLUS: rate and cost of 64 KiB of them.
    Listings,
    /// Bytes of a file: rate in MiB/s, cost in s/GiB.
    Bytes,
}

/// What the port shall reach in a row: each part only where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Goal {
    /// Cost at most, in the row's unit.
    pub cost_max: Option<f64>,
    /// Cost at most, as a multiple of nfs-ganesha's.
    pub cost_ratio_max: Option<f64>,
    /// Rate at least, as a multiple of nfs-ganesha's.
    pub rate_ratio_min: Option<f64>,
    /// Rate at least, as a part of the bare server's.
    pub bare_ratio_min: Option<f64>,
}

impl Work {
    /// All rows in order.
    pub const ALL: [Self; 19] = [
        Self::Null(1),
        Self::Null(64),
        Self::Getattr(1),
        Self::Getattr(64),
        Self::Lookup(1),
        Self::Lookup(64),
        Self::ReadSmall(1),
        Self::ReadSmall(64),
        Self::ReadDirPlus,
        Self::Read { bytes: 64 << 10, window: 1 },
        Self::Read { bytes: 64 << 10, window: 16 },
        Self::Read { bytes: MIB, window: 1 },
        Self::Read { bytes: MIB, window: 8 },
        Self::Write(1),
        Self::Write(8),
        Self::Files { clients: 1, is_stable: false },
        Self::Files { clients: 16, is_stable: false },
        Self::Files { clients: 1, is_stable: true },
        Self::Files { clients: 16, is_stable: true },
    ];

    /// As it stands in the table.
    pub fn title(self) -> String {
        match self {
            Self::Null(window) => format!("NULL, {window} in flight"),
            Self::Getattr(window) => format!("GETATTR, {window} in flight"),
            Self::Lookup(window) => format!("LOOKUP, {window} in flight"),
            Self::ReadSmall(window) => format!("random READ 4 KiB, {window} in flight"),
            Self::ReadDirPlus => "READDIRPLUS of 10,000 entries, 64 KiB of replies".into(),
            Self::Read { bytes, window } => match bytes / MIB {
                0 => format!("READ {} KiB, {window} in flight", bytes >> 10),
                mib => format!("READ {mib} MiB, {window} in flight"),
            },
            Self::Write(window) => format!("WRITE 1 MiB UNSTABLE + COMMIT, {window} in flight"),
            Self::Files { clients, is_stable } => {
                let how = if is_stable { "FILE_SYNC" } else { "UNSTABLE" };
                let plural = if clients == 1 { "" } else { "s" };
                format!("create + 4 KiB WRITE {how} + remove, {clients} client{plural}")
            }
        }
    }

    /// In what it counts.
    pub fn unit(self) -> Unit {
        match self {
            Self::Read { .. } | Self::Write(_) => Unit::Bytes,
            Self::ReadDirPlus => Unit::Listings,
            _ => Unit::Calls,
        }
    }

    /// What the port shall reach. With one call in flight a rate is a round trip's time: it shall not be longer.
    pub fn goal(self) -> Goal {
        let none = Goal::default();
        let round_trip = Goal { rate_ratio_min: Some(1.0), ..none };
        match self {
            Self::Null(64) => none,
            Self::Getattr(64) => Goal { cost_max: Some(5.0), rate_ratio_min: Some(2.0), ..none },
            Self::Lookup(64) => Goal { cost_max: Some(6.0), ..none },
            Self::ReadSmall(64) => Goal { cost_max: Some(7.0), rate_ratio_min: Some(2.0), ..none },
            Self::ReadDirPlus => Goal { cost_max: Some(60.0), ..none },
            Self::Read { bytes: MIB, .. } => {
                Goal { cost_max: Some(0.35), rate_ratio_min: Some(1.5), bare_ratio_min: Some(0.8), ..none }
            }
            Self::Read { .. } => Goal { cost_max: Some(0.45), rate_ratio_min: Some(2.0), ..none },
            Self::Write(_) => Goal { cost_ratio_max: Some(1.0), rate_ratio_min: Some(1.0), ..none },
            _ => round_trip,
        }
    }

    /// Whether the bare server can do it: everything that needs no file system.
    pub fn is_bare(self) -> bool {
        matches!(self, Self::Null(_) | Self::Read { .. } | Self::ReadSmall(_))
    }
}

/// What the works are done on: made once on each server.
pub struct Target {
    server: SocketAddr,
    root: nfs_fh3,
    /// Read, never written again.
    file: nfs_fh3,
    /// Written again and again.
    scratch: nfs_fh3,
    directory: nfs_fh3,
    /// How often `scratch` was written: its contents are those of this seed, so that none are the same.
    written: AtomicU64,
}

impl Target {
    /// Makes the files and the directory on a server.
    pub fn prepare(server: SocketAddr, mount_server: SocketAddr, export: &str) -> io::Result<Self> {
        let mut mount = Mount::through(mount_server, server, export, Credential::root())?;
        let root = mount.root();
        let fail = |status: nfsstat3| io::Error::other(format!("preparing {export}: {status:?}"));
        let file = mount.put(&root, b"file", &data::bytes(1, FILE_BYTES as usize)).map_err(fail)?;
        let scratch = mount.create_file(&root, b"scratch").map_err(fail)?;
        let directory = mount.mkdir(&root, b"directory").map_err(fail)?;
        let target = Self { server, root, file, scratch, directory, written: AtomicU64::new(0) };
        let mut pipe = Pipe::open(server)?;
        let creates = (0..ENTRIES).map(|number| {
            let how = createhow3::UNCHECKED(mode(0o644));
            let name = entry(number);
            let args = CREATE3args { where_: at(&target.directory, name.as_bytes()), how };
            record(pipe.connection(), NFS_PROGRAM::NFSPROC3_CREATE, &args)
        });
        let mut creates = Script::new(creates.collect());
        pipe.run(&mut creates, 64, 0, |sent| sent < ENTRIES as u32)?;
        Ok(target)
    }

    /// A target of the bare server, which looks at no handle.
    pub fn bare(server: SocketAddr) -> Self {
        let handle = nfs_fh3 { data: Opaque::owned(vec![0; 32]) };
        let [root, file, scratch, directory] = [0; 4].map(|_| handle.clone());
        Self { server, root, file, scratch, directory, written: AtomicU64::new(0) }
    }

    /// What was written last by [`Work::Write`]: MD5 in hex.
    pub fn written_md5(&self) -> Option<String> {
        let seed = self.written.load(Ordering::Relaxed);
        let part = || data::bytes(seed, MIB as usize);
        (seed > 0).then(|| data::md5_hex(&part().repeat((FILE_BYTES / u64::from(MIB)) as usize)))
    }

    /// Reads the file and lists the directory once, so that both are cached; checks what is read.
    pub fn warm(&self) -> io::Result<()> {
        let mut pipe = Pipe::open(self.server)?;
        let calls = (FILE_BYTES / u64::from(MIB)) as u32;
        let mut reads = Script::new(self.reads(pipe.connection(), MIB));
        pipe.run(&mut reads, 4, MIB as usize, |sent| sent < calls)?;
        let listing = self.listing_calls()?;
        let calls = listing.len() as u32;
        pipe.run(&mut Script::new(listing), 1, 0, |sent| sent < calls)?;
        Ok(())
    }

    /// Does a work.
    pub fn run(&self, work: Work) -> io::Result<Done> {
        let mut pipe = Pipe::open(self.server)?;
        let connection = pipe.connection();
        let (records, window, reply_bytes_min) = match work {
            Work::Null(window) => (vec![record(connection, NFS_PROGRAM::NFSPROC3_NULL, &Void)], window, 0),
            Work::Getattr(window) => {
                let args = GETATTR3args { object: self.file.clone() };
                (vec![record(connection, NFS_PROGRAM::NFSPROC3_GETATTR, &args)], window, 0)
            }
            Work::Lookup(window) => {
                let lookups = (0..DRAWN).map(|number| {
                    let name = entry(spread(number) as usize % ENTRIES);
                    let args = LOOKUP3args { what: at(&self.directory, name.as_bytes()) };
                    record(connection, NFS_PROGRAM::NFSPROC3_LOOKUP, &args)
                });
                (lookups.collect(), window, 0)
            }
            Work::ReadSmall(window) => {
                let blocks = FILE_BYTES / u64::from(SMALL_BYTES);
                let reads = (0..DRAWN).map(|number| {
                    let offset = spread(number) % blocks * u64::from(SMALL_BYTES);
                    let args = READ3args { file: self.file.clone(), offset, count: SMALL_BYTES };
                    record(connection, NFS_PROGRAM::NFSPROC3_READ, &args)
                });
                (reads.collect(), window, SMALL_BYTES as usize)
            }
            Work::ReadDirPlus => (self.listing_calls()?, 1, 0),
            Work::Read { bytes, window } => (self.reads(connection, bytes), window, bytes as usize),
            Work::Write(window) => return self.write_file(pipe, window),
            Work::Files { clients, is_stable } => return self.make_files(clients, is_stable),
        };
        let mut script = Script::new(records);
        let start = Instant::now();
        let replies = pipe.run(&mut script, window, reply_bytes_min, |_| start.elapsed() < RUN)?;
        let amount = match work {
            Work::Read { bytes, .. } => f64::from(replies.count) * f64::from(bytes),
            Work::ReadDirPlus => replies.bytes as f64,
            _ => f64::from(replies.count),
        };
        Ok(Done { amount, seconds: start.elapsed().as_secs_f64() })
    }

    /// READs that cover the file from front to end.
    fn reads(&self, connection: &Connection, count: u32) -> Vec<Vec<u8>> {
        let offsets = (0..FILE_BYTES / u64::from(count)).map(|number| number * u64::from(count));
        let reads = offsets.map(|offset| {
            let args = READ3args { file: self.file.clone(), offset, count };
            record(connection, NFS_PROGRAM::NFSPROC3_READ, &args)
        });
        reads.collect()
    }

    /// The calls of one whole listing: made with the cookies of a first one, as the directory stays as it is.
    fn listing_calls(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut connection = Connection::open(self.server, &Credential::root(), Duration::from_secs(60))?;
        let (mut calls, mut entries) = (Vec::new(), 0);
        let (mut cookie, mut cookieverf) = (0, cookieverf3::default());
        loop {
            let args = READDIRPLUS3args {
                dir: self.directory.clone(),
                cookie,
                cookieverf,
                dircount: LISTING_BYTES,
                maxcount: LISTING_BYTES,
            };
            let procedure = NFS_PROGRAM::NFSPROC3_READDIRPLUS;
            calls.push(record(&connection, procedure, &args));
            let part = match connection.call::<READDIRPLUS3res<'static>>(1, procedure, &args)? {
                Nfs3Result::Ok(part) => part,
                Nfs3Result::Err((status, _)) => {
                    return Err(io::Error::other(format!("READDIRPLUS: {status:?}")));
                }
            };
            cookieverf = part.cookieverf;
            let listed = part.reply.entries.into_inner();
            entries += listed.len();
            match listed.last() {
                Some(last) if !part.reply.eof => cookie = last.cookie,
                _ if entries < ENTRIES => return Err(io::Error::other(format!("{entries} entries listed"))),
                _ => return Ok(calls),
            }
        }
    }

    fn write_file(&self, mut pipe: Pipe, window: u32) -> io::Result<Done> {
        let seed = self.written.fetch_add(1, Ordering::Relaxed) + 1;
        let part = data::bytes(seed, MIB as usize);
        let args = WRITE3args {
            file: self.scratch.clone(),
            offset: 0,
            count: MIB,
            stable: stable_how::UNSTABLE,
            data: Opaque::borrowed(&part),
        };
        let write = record(pipe.connection(), NFS_PROGRAM::NFSPROC3_WRITE, &args);
        // Behind the offset stand count, stability, length and data.
        let place = write.len() - MIB as usize - 12 - 8;
        let mut writes = Script::write(write, place, u64::from(MIB));
        let args = COMMIT3args { file: self.scratch.clone(), offset: 0, count: 0 };
        let mut commit = Script::new(vec![record(pipe.connection(), NFS_PROGRAM::NFSPROC3_COMMIT, &args)]);
        let start = Instant::now();
        let calls = (FILE_BYTES / u64::from(MIB)) as u32;
        pipe.run(&mut writes, window, 0, |sent| sent < calls)?;
        pipe.run(&mut commit, 1, 0, |sent| sent < 1)?;
        Ok(Done { amount: FILE_BYTES as f64, seconds: start.elapsed().as_secs_f64() })
    }

    fn make_files(&self, clients: u32, is_stable: bool) -> io::Result<Done> {
        let start = Instant::now();
        let amount = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..clients)
                .map(|client| scope.spawn(move || self.make_files_of_one(client, is_stable, start)))
                .collect();
            let ended = clients.into_iter().map(|client| client.join().expect("a client's thread ends"));
            ended.sum::<io::Result<f64>>()
        })?;
        Ok(Done { amount, seconds: start.elapsed().as_secs_f64() })
    }

    /// One client's calls, each sent when the one before is answered: how many.
    fn make_files_of_one(&self, client: u32, is_stable: bool, start: Instant) -> io::Result<f64> {
        let mut connection = Connection::open(self.server, &Credential::root(), Duration::from_secs(60))?;
        let part = data::bytes(3, SMALL_BYTES as usize);
        // A server that remembers answers must not take these for repetitions of an earlier run's.
        let mut xid: u32 = rand::random_range(0..u32::MAX);
        let mut next = || {
            xid = xid.wrapping_add(1);
            xid
        };
        let mut calls = 0.0;
        while start.elapsed() < RUN {
            let name = format!("temporary-{client}-{}", next());
            let how = createhow3::GUARDED(mode(0o644));
            let create = CREATE3args { where_: at(&self.root, name.as_bytes()), how };
            let made =
                connection.call::<CREATE3res>(next(), NFS_PROGRAM::NFSPROC3_CREATE, &create).map(done)??;
            let Nfs3Option::Some(file) = made.obj else {
                return Err(io::Error::other("CREATE gave no handle"));
            };
            let stable = if is_stable { stable_how::FILE_SYNC } else { stable_how::UNSTABLE };
            let data = Opaque::borrowed(&part);
            let write = WRITE3args { file, offset: 0, count: SMALL_BYTES, stable, data };
            connection.call::<WRITE3res>(next(), NFS_PROGRAM::NFSPROC3_WRITE, &write).map(done)??;
            let remove = REMOVE3args { object: at(&self.root, name.as_bytes()) };
            connection.call::<REMOVE3res>(next(), NFS_PROGRAM::NFSPROC3_REMOVE, &remove).map(done)??;
            calls += 3.0;
        }
        Ok(calls)
    }
}

fn done<T, E>(result: Nfs3Result<T, E>) -> io::Result<T> {
    match result {
        Nfs3Result::Ok(value) => Ok(value),
        Nfs3Result::Err((status, _)) => Err(io::Error::other(format!("{status:?}"))),
    }
}

fn record(connection: &Connection, procedure: NFS_PROGRAM, args: &impl Pack) -> Vec<u8> {
    connection.record(0, PROGRAM, VERSION, procedure as u32, args)
}
