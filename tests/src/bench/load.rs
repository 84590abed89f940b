//! The work: each load runs for a bounded time against one server and counts what it did.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::{Opaque, Pack};

use super::{ENTRIES, entry, spread};
use crate::data;
use crate::mount::{Mount, at};
use crate::rpc::{Connection, Credential, unpack};

/// How long a load that counts operations runs.
const RUN: Duration = Duration::from_millis(1_500);
/// Size of the file that is read and written.
pub const FILE_BYTES: u64 = 128 << 20;
const IO_BYTES: u32 = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a load did.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Operations, or bytes where [`Load::in_bytes`].
    pub amount: f64,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// The whole file by UNSTABLE WRITEs of 1 MiB, 8 in flight, and a COMMIT.
    SequentialWrite,
    /// The whole file by READs of 1 MiB, 8 in flight.
    SequentialRead,
    /// READs of 4 KiB at random places, with so many in flight.
    RandomRead(u32),
    /// GETATTR of one file, with so many in flight.
    Getattr(u32),
    /// LOOKUP of names of the large directory, with so many in flight.
    Lookup(u32),
    /// Whole listings of the large directory.
    ReadDirPlus,
    /// CREATE and REMOVE of a file, one after the other.
    CreateRemove,
    /// The same from 16 connections at once.
    CreateRemoveParallel,
}

impl Load {
    /// All rows in order.
    pub const ALL: [Self; 11] = [
        Self::SequentialWrite,
        Self::SequentialRead,
        Self::RandomRead(1),
        Self::RandomRead(64),
        Self::Getattr(1),
        Self::Getattr(64),
        Self::Lookup(1),
        Self::Lookup(64),
        Self::ReadDirPlus,
        Self::CreateRemove,
        Self::CreateRemoveParallel,
    ];

    /// As it stands in the table.
    pub fn title(self) -> String {
        match self {
            Self::SequentialWrite => "sequential write, 1 MiB, 8 in flight, COMMIT".into(),
            Self::SequentialRead => "sequential read, 1 MiB, 8 in flight".into(),
            Self::RandomRead(window) => format!("random read, 4 KiB, {window} in flight"),
            Self::Getattr(window) => format!("GETATTR, {window} in flight"),
            Self::Lookup(window) => format!("LOOKUP, {window} in flight"),
            Self::ReadDirPlus => "READDIRPLUS, entries of 10,000".into(),
            Self::CreateRemove => "CREATE + REMOVE, 1 client".into(),
            Self::CreateRemoveParallel => "CREATE + REMOVE, 16 clients".into(),
        }
    }

    /// Whether amounts are bytes rather than operations.
    pub fn in_bytes(self) -> bool {
        matches!(self, Self::SequentialWrite | Self::SequentialRead)
    }
}

/// What the loads work on: made once on each server.
pub struct Target {
    server: SocketAddr,
    mount: SocketAddr,
    export: String,
    root: nfs_fh3,
    file: nfs_fh3,
    directory: nfs_fh3,
}

impl Target {
    /// Writes the file and the directory of a freshly started server.
    pub fn prepare(server: SocketAddr, mount_server: SocketAddr, export: &str) -> io::Result<Self> {
        let mut mount = Mount::through(mount_server, server, export, Credential::root())?;
        let root = mount.root();
        let fail = |status: nfsstat3| io::Error::other(format!("preparing {export}: {status:?}"));
        let file = mount.put(&root, b"file", &data::bytes(1, FILE_BYTES as usize)).map_err(fail)?;
        let directory = mount.mkdir(&root, b"directory").map_err(fail)?;
        for number in 0..ENTRIES {
            mount.create_file(&directory, entry(number).as_bytes()).map_err(fail)?;
        }
        Ok(Self { server, mount: mount_server, export: export.to_owned(), root, file, directory })
    }

    /// Reads everything once, so that it is cached.
    pub fn warm(&self) -> io::Result<()> {
        let mut mount = Mount::through(self.mount, self.server, &self.export, Credential::root())?;
        let fail = |status: nfsstat3| io::Error::other(format!("warming {}: {status:?}", self.export));
        mount.read(&self.file).map_err(fail)?;
        self.list_once(&mut mount).map_err(fail)?;
        Ok(())
    }

    /// One whole listing: how many entries. Peers may leave out handles and attributes, as RFC 1813 allows.
    fn list_once(&self, mount: &mut Mount) -> Result<usize, nfsstat3> {
        let (mut entries, mut cookie, mut cookieverf) = (0, 0, cookieverf3::default());
        loop {
            let (dir, dircount, maxcount) = (self.directory.clone(), 8 << 10, 64 << 10);
            let args = READDIRPLUS3args { dir, cookie, cookieverf, dircount, maxcount };
            let part = mount.call::<READDIRPLUS3resok<'static>, READDIRPLUS3resfail>(
                NFS_PROGRAM::NFSPROC3_READDIRPLUS,
                &args,
            )?;
            cookieverf = part.cookieverf;
            let listed = part.reply.entries.into_inner();
            entries += listed.len();
            match listed.last() {
                Some(last) if !part.reply.eof => cookie = last.cookie,
                _ => return Ok(entries),
            }
        }
    }

    /// Runs a load.
    pub fn run(&self, load: Load) -> io::Result<Done> {
        let start = Instant::now();
        let amount = match load {
            Load::SequentialWrite => self.write_file()?,
            Load::SequentialRead => self.read_file()?,
            Load::RandomRead(window) => {
                let blocks = FILE_BYTES / 4_096;
                self.repeat(window, NFS_PROGRAM::NFSPROC3_READ, |number| {
                    let offset = spread(number) % blocks * 4_096;
                    READ3args { file: self.file.clone(), offset, count: 4_096 }
                })?
            }
            Load::Getattr(window) => self.repeat(window, NFS_PROGRAM::NFSPROC3_GETATTR, |_| {
                GETATTR3args { object: self.file.clone() }
            })?,
            Load::Lookup(window) => self.repeat(window, NFS_PROGRAM::NFSPROC3_LOOKUP, |number| {
                let name = entry(spread(number) as usize % ENTRIES).into_bytes();
                LOOKUP3args { what: diropargs3 { dir: self.directory.clone(), name: name.into() } }
            })?,
            Load::ReadDirPlus => self.list()?,
            Load::CreateRemove => self.create_remove(0)?,
            Load::CreateRemoveParallel => std::thread::scope(|scope| {
                let clients: Vec<_> =
                    (1..=16).map(|client| scope.spawn(move || self.create_remove(client))).collect();
                clients
                    .into_iter()
                    .map(|client| client.join().expect("a client's thread ends"))
                    .sum::<io::Result<f64>>()
            })?,
        };
        Ok(Done { amount, seconds: start.elapsed().as_secs_f64() })
    }

    fn connect(&self) -> io::Result<Connection> {
        Connection::open(self.server, &Credential::root(), TIMEOUT)
    }

    /// Keeps `window` calls in flight until the time is over.
    fn repeat<A: Pack>(
        &self,
        window: u32,
        procedure: NFS_PROGRAM,
        args: impl Fn(u32) -> A,
    ) -> io::Result<f64> {
        let mut connection = self.connect()?;
        let start = Instant::now();
        let (mut sent, mut received) = (0, 0);
        while start.elapsed() < RUN || received < sent {
            if start.elapsed() < RUN {
                // One send system call for all that may go out, so that the client is not the bound.
                let mut batch = Vec::new();
                while sent - received < window {
                    let record = connection.record(sent, PROGRAM, VERSION, procedure as u32, &args(sent));
                    batch.extend_from_slice(&record);
                    sent += 1;
                }
                io::Write::write_all(connection.stream(), &batch)?;
            }
            for _ in 0..(sent - received).min(window.div_ceil(2)) {
                let (_, result) = connection.receive()?;
                if result[..4] != [0; 4] {
                    return Err(io::Error::other(format!("{procedure:?}: status {:?}", &result[..4])));
                }
                received += 1;
            }
        }
        Ok(f64::from(received))
    }

    fn read_file(&self) -> io::Result<f64> {
        let mut connection = self.connect()?;
        let calls = (FILE_BYTES / u64::from(IO_BYTES)) as u32;
        let (mut sent, mut bytes) = (0, 0.0);
        let mut left: Vec<(u64, u32)> =
            (0..calls).rev().map(|call| (u64::from(call) * u64::from(IO_BYTES), IO_BYTES)).collect();
        let mut asked = std::collections::HashMap::new();
        while !left.is_empty() || !asked.is_empty() {
            while asked.len() < 8 {
                let Some((offset, count)) = left.pop() else { break };
                let args = READ3args { file: self.file.clone(), offset, count };
                connection.send(sent, NFS_PROGRAM::NFSPROC3_READ, &args)?;
                asked.insert(sent, (offset, count));
                sent += 1;
            }
            let (xid, result) = connection.receive()?;
            let Some((offset, count)) = asked.remove(&xid) else { continue };
            let got = match unpack::<READ3res<'static>>(&result)? {
                Nfs3Result::Ok(read) => read.count,
                Nfs3Result::Err((status, _)) => return Err(io::Error::other(format!("READ: {status:?}"))),
            };
            bytes += f64::from(got);
            if got < count {
                // A server with a smaller rtmax gives less: ask for the rest.
                left.push((offset + u64::from(got), count - got));
            }
        }
        Ok(bytes)
    }

    fn write_file(&self) -> io::Result<f64> {
        let mut connection = self.connect()?;
        let part = data::bytes(2, IO_BYTES as usize);
        let mut left: Vec<(u64, u32)> = (0..FILE_BYTES / u64::from(IO_BYTES))
            .rev()
            .map(|call| (call * u64::from(IO_BYTES), IO_BYTES))
            .collect();
        let mut asked = std::collections::HashMap::new();
        let mut sent = 0;
        while !left.is_empty() || !asked.is_empty() {
            while asked.len() < 8 {
                let Some((offset, count)) = left.pop() else { break };
                let args = WRITE3args {
                    file: self.file.clone(),
                    offset,
                    count,
                    stable: stable_how::UNSTABLE,
                    data: Opaque::borrowed(&part[..count as usize]),
                };
                connection.send(sent, NFS_PROGRAM::NFSPROC3_WRITE, &args)?;
                asked.insert(sent, (offset, count));
                sent += 1;
            }
            let (xid, result) = connection.receive()?;
            let Some((offset, count)) = asked.remove(&xid) else { continue };
            match unpack::<WRITE3res>(&result)? {
                Nfs3Result::Ok(written) if written.count < count => {
                    left.push((offset + u64::from(written.count), count - written.count));
                }
                Nfs3Result::Ok(_) => {}
                Nfs3Result::Err((status, _)) => return Err(io::Error::other(format!("WRITE: {status:?}"))),
            }
        }
        let commit = COMMIT3args { file: self.file.clone(), offset: 0, count: 0 };
        match connection.call::<COMMIT3res>(sent, NFS_PROGRAM::NFSPROC3_COMMIT, &commit)? {
            Nfs3Result::Ok(_) => Ok(FILE_BYTES as f64),
            Nfs3Result::Err((status, _)) => Err(io::Error::other(format!("COMMIT: {status:?}"))),
        }
    }

    fn list(&self) -> io::Result<f64> {
        let mut mount = Mount::through(self.mount, self.server, &self.export, Credential::root())?;
        let start = Instant::now();
        let mut entries = 0;
        while start.elapsed() < RUN {
            let listed = self
                .list_once(&mut mount)
                .map_err(|status| io::Error::other(format!("READDIRPLUS: {status:?}")))?;
            if listed < ENTRIES {
                return Err(io::Error::other(format!("READDIRPLUS gave {listed} entries")));
            }
            entries += listed;
        }
        Ok(entries as f64)
    }

    fn create_remove(&self, client: u32) -> io::Result<f64> {
        let mut connection = self.connect()?;
        let start = Instant::now();
        let mut xid: u32 = rand::random_range(0..u32::MAX);
        let mut pairs = 0.0;
        while start.elapsed() < RUN {
            let name = format!("temporary-{client}-{xid}");
            let how = createhow3::GUARDED(crate::mount::mode(0o644));
            let create = CREATE3args { where_: at(&self.root, name.as_bytes()), how };
            let remove = REMOVE3args { object: at(&self.root, name.as_bytes()) };
            let made = connection.call::<CREATE3res>(xid, NFS_PROGRAM::NFSPROC3_CREATE, &create)?;
            let gone =
                connection.call::<REMOVE3res>(xid.wrapping_add(1), NFS_PROGRAM::NFSPROC3_REMOVE, &remove)?;
            if !matches!((&made, &gone), (Nfs3Result::Ok(_), Nfs3Result::Ok(_))) {
                return Err(io::Error::other("CREATE or REMOVE failed"));
            }
            xid = xid.wrapping_add(2);
            pairs += 1.0;
        }
        Ok(pairs)
    }
}
