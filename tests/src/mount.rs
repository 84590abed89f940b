//! A hard NFSv3 mount, as a kernel keeps one: a call is sent again, to the letter, over a new connection until the
//! server answers it; NFS3ERR_JUKEBOX means the same call later under a new transaction id.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nfs3_types::mount::{dirpath, mountres3};
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack, Void};

use crate::poll;
use crate::rpc::{Connection, Credential, unpack};

/// How long one connection may be silent before the call is sent again over a new one.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest READ and WRITE of these tests.
const IO_BYTES: usize = 1 << 20;

/// An operation's status when it is not NFS3_OK.
pub type NfsResult<T> = Result<T, nfsstat3>;

/// One client's mount of one export.
pub struct Mount {
    server: SocketAddr,
    credential: Credential,
    connection: Option<Connection>,
    next_xid: u32,
    patience: Duration,
    /// Calls that were sent more than once.
    pub repeated: u64,
    root: nfs_fh3,
}

impl Mount {
    /// Mounts `export` of a server whose NFS port also serves MOUNT.
    pub fn new(server: SocketAddr, export: &str, credential: Credential) -> io::Result<Self> {
        Self::through(server, server, export, credential)
    }

    /// Mounts `export` of a server that serves MOUNT at another port.
    pub fn through(
        mount_server: SocketAddr,
        server: SocketAddr,
        export: &str,
        credential: Credential,
    ) -> io::Result<Self> {
        let mut connection = Connection::open(mount_server, &credential, REPLY_TIMEOUT)?;
        let path = dirpath(Opaque::owned(export.as_bytes().to_vec()));
        let record = connection.record(
            1,
            nfs3_types::mount::PROGRAM,
            nfs3_types::mount::VERSION,
            nfs3_types::mount::MOUNT_PROGRAM::MOUNTPROC3_MNT as u32,
            &path,
        );
        io::Write::write_all(connection.stream(), &record)?;
        let (_, result) = connection.receive()?;
        let root = match unpack::<mountres3>(&result)? {
            mountres3::Ok(mounted) => nfs_fh3 { data: Opaque::owned(mounted.fhandle.0.to_vec()) },
            mountres3::Err(status) => return Err(io::Error::other(format!("mount refused: {status:?}"))),
        };
        Ok(Self {
            server,
            credential,
            connection: None,
            next_xid: rand::random_range(1..u32::MAX / 2),
            patience: Duration::from_secs(60),
            repeated: 0,
            root,
        })
    }

    /// How long a call may stay unanswered before the test fails.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The export's root.
    pub fn root(&self) -> nfs_fh3 {
        self.root.clone()
    }

    /// Goes on with another server that has the same export: handles stay.
    pub fn move_to(&mut self, server: SocketAddr) {
        self.server = server;
        self.connection = None;
    }

    /// A call, repeated until it is answered with anything but NFS3ERR_JUKEBOX.
    pub fn call<T: Unpack + Pack, E: Unpack + Pack>(
        &mut self,
        procedure: NFS_PROGRAM,
        args: &impl Pack,
    ) -> NfsResult<T> {
        let start = Instant::now();
        loop {
            match self.attempt::<T, E>(procedure, args, start) {
                Err(nfsstat3::NFS3ERR_JUKEBOX) => {
                    assert!(start.elapsed() < self.patience, "{procedure:?} still told to try later");
                    poll::pause(Duration::from_millis(50));
                }
                result => return result,
            }
        }
    }

    /// A call without patience for NFS3ERR_JUKEBOX: the status as it comes.
    pub fn call_once<T: Unpack + Pack, E: Unpack + Pack>(
        &mut self,
        procedure: NFS_PROGRAM,
        args: &impl Pack,
    ) -> NfsResult<T> {
        self.attempt::<T, E>(procedure, args, Instant::now())
    }

    fn attempt<T: Unpack + Pack, E: Unpack + Pack>(
        &mut self,
        procedure: NFS_PROGRAM,
        args: &impl Pack,
        start: Instant,
    ) -> NfsResult<T> {
        let xid = self.next_xid;
        self.next_xid = self.next_xid.wrapping_add(1);
        match self.answered::<Nfs3Result<T, E>>(xid, procedure, args, start) {
            Nfs3Result::Ok(value) => Ok(value),
            Nfs3Result::Err((status, _)) => Err(status),
        }
    }

    fn answered<R: Unpack>(
        &mut self,
        xid: u32,
        procedure: NFS_PROGRAM,
        args: &impl Pack,
        start: Instant,
    ) -> R {
        let mut sent = false;
        loop {
            if self.connection.is_none() {
                self.connection = Connection::open(self.server, &self.credential, REPLY_TIMEOUT).ok();
            }
            if let Some(connection) = &mut self.connection {
                if sent {
                    self.repeated += 1;
                }
                sent = true;
                match connection.call(xid, procedure, args) {
                    Ok(result) => return result,
                    Err(_) => self.connection = None,
                }
            }
            assert!(start.elapsed() < self.patience, "{procedure:?} not answered within {:?}", self.patience);
            poll::pause(Duration::from_millis(10));
        }
    }

    /// GETATTR.
    pub fn getattr(&mut self, object: &nfs_fh3) -> NfsResult<fattr3> {
        let args = GETATTR3args { object: object.clone() };
        self.call::<GETATTR3resok, Void>(NFS_PROGRAM::NFSPROC3_GETATTR, &args).map(|ok| ok.obj_attributes)
    }

    /// SETATTR without a guard.
    pub fn setattr(&mut self, object: &nfs_fh3, new_attributes: sattr3) -> NfsResult<()> {
        let args = SETATTR3args { object: object.clone(), new_attributes, guard: Nfs3Option::None };
        self.call::<SETATTR3resok, SETATTR3resfail>(NFS_PROGRAM::NFSPROC3_SETATTR, &args).map(drop)
    }

    /// SETATTR of the size.
    pub fn truncate(&mut self, object: &nfs_fh3, size: u64) -> NfsResult<()> {
        self.setattr(object, sattr3 { size: Nfs3Option::Some(size), ..Default::default() })
    }

    /// LOOKUP.
    pub fn lookup(&mut self, dir: &nfs_fh3, name: &[u8]) -> NfsResult<nfs_fh3> {
        let args = LOOKUP3args { what: at(dir, name) };
        self.call::<LOOKUP3resok, LOOKUP3resfail>(NFS_PROGRAM::NFSPROC3_LOOKUP, &args).map(|ok| ok.object)
    }

    /// LOOKUP of each part of a path in turn, from the root.
    pub fn walk(&mut self, path: &str) -> NfsResult<nfs_fh3> {
        let root = self.root();
        path.split('/')
            .filter(|part| !part.is_empty())
            .try_fold(root, |dir, part| self.lookup(&dir, part.as_bytes()))
    }

    /// CREATE.
    pub fn create(&mut self, dir: &nfs_fh3, name: &[u8], how: createhow3) -> NfsResult<nfs_fh3> {
        let args = CREATE3args { where_: at(dir, name), how };
        self.call::<CREATE3resok, CREATE3resfail>(NFS_PROGRAM::NFSPROC3_CREATE, &args)
            .map(|ok| handle(ok.obj))
    }

    /// CREATE of a file with mode 0644 that takes an existing one.
    pub fn create_file(&mut self, dir: &nfs_fh3, name: &[u8]) -> NfsResult<nfs_fh3> {
        self.create(dir, name, createhow3::UNCHECKED(mode(0o644)))
    }

    /// MKDIR with mode 0755.
    pub fn mkdir(&mut self, dir: &nfs_fh3, name: &[u8]) -> NfsResult<nfs_fh3> {
        let args = MKDIR3args { where_: at(dir, name), attributes: mode(0o755) };
        self.call::<MKDIR3resok, MKDIR3resfail>(NFS_PROGRAM::NFSPROC3_MKDIR, &args).map(|ok| handle(ok.obj))
    }

    /// SYMLINK.
    pub fn symlink(&mut self, dir: &nfs_fh3, name: &[u8], text: &[u8]) -> NfsResult<nfs_fh3> {
        let symlink = symlinkdata3 { symlink_attributes: mode(0o777), symlink_data: text.to_vec().into() };
        let args = SYMLINK3args { where_: at(dir, name), symlink };
        self.call::<SYMLINK3resok, SYMLINK3resfail>(NFS_PROGRAM::NFSPROC3_SYMLINK, &args)
            .map(|ok| handle(ok.obj))
    }

    /// READLINK.
    pub fn readlink(&mut self, link: &nfs_fh3) -> NfsResult<Vec<u8>> {
        let args = READLINK3args { symlink: link.clone() };
        self.call::<READLINK3resok<'static>, READLINK3resfail>(NFS_PROGRAM::NFSPROC3_READLINK, &args)
            .map(|ok| ok.data.0.to_vec())
    }

    /// REMOVE.
    pub fn remove(&mut self, dir: &nfs_fh3, name: &[u8]) -> NfsResult<()> {
        let args = REMOVE3args { object: at(dir, name) };
        self.call::<REMOVE3resok, REMOVE3resfail>(NFS_PROGRAM::NFSPROC3_REMOVE, &args).map(drop)
    }

    /// RMDIR.
    pub fn rmdir(&mut self, dir: &nfs_fh3, name: &[u8]) -> NfsResult<()> {
        let args = RMDIR3args { object: at(dir, name) };
        self.call::<RMDIR3resok, RMDIR3resfail>(NFS_PROGRAM::NFSPROC3_RMDIR, &args).map(drop)
    }

    /// RENAME.
    pub fn rename(&mut self, from_dir: &nfs_fh3, from: &[u8], to_dir: &nfs_fh3, to: &[u8]) -> NfsResult<()> {
        let args = RENAME3args { from: at(from_dir, from), to: at(to_dir, to) };
        self.call::<RENAME3resok, RENAME3resfail>(NFS_PROGRAM::NFSPROC3_RENAME, &args).map(drop)
    }

    /// One READ: the bytes and whether they reach the end.
    pub fn read_at(&mut self, file: &nfs_fh3, offset: u64, count: u32) -> NfsResult<(Vec<u8>, bool)> {
        let args = READ3args { file: file.clone(), offset, count };
        self.call::<READ3resok<'static>, READ3resfail>(NFS_PROGRAM::NFSPROC3_READ, &args).map(|ok| {
            assert_eq!(ok.count as usize, ok.data.len(), "READ count differs from its data");
            (ok.data.to_vec(), ok.eof)
        })
    }

    /// The whole file.
    pub fn read(&mut self, file: &nfs_fh3) -> NfsResult<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let (part, eof) = self.read_at(file, bytes.len() as u64, IO_BYTES as u32)?;
            assert!(eof || !part.is_empty(), "READ gave nothing before the end of the file");
            bytes.extend_from_slice(&part);
            if eof {
                return Ok(bytes);
            }
        }
    }

    /// One WRITE: bytes taken, how durable, verifier.
    pub fn write_at(
        &mut self,
        file: &nfs_fh3,
        offset: u64,
        data: &[u8],
        stable: stable_how,
    ) -> NfsResult<WRITE3resok> {
        let count = u32::try_from(data.len()).unwrap();
        let args = WRITE3args { file: file.clone(), offset, count, stable, data: Opaque::borrowed(data) };
        self.call::<WRITE3resok, WRITE3resfail>(NFS_PROGRAM::NFSPROC3_WRITE, &args)
    }

    /// COMMIT of the whole file.
    pub fn commit(&mut self, file: &nfs_fh3) -> NfsResult<writeverf3> {
        let args = COMMIT3args { file: file.clone(), offset: 0, count: 0 };
        self.call::<COMMIT3resok, COMMIT3resfail>(NFS_PROGRAM::NFSPROC3_COMMIT, &args).map(|ok| ok.verf)
    }

    /// Writes from `offset` with UNSTABLE WRITEs and one COMMIT, again from the first byte whenever the write
    /// verifier changed meanwhile, as RFC 1813 §3.3.7 asks of a client.
    pub fn write_durably(&mut self, file: &nfs_fh3, offset: u64, data: &[u8]) -> NfsResult<()> {
        loop {
            let mut verifiers = Vec::new();
            let mut at = 0;
            while at < data.len() {
                let part = &data[at..data.len().min(at + IO_BYTES)];
                let written = self.write_at(file, offset + at as u64, part, stable_how::UNSTABLE)?;
                assert!(written.count > 0, "WRITE took nothing");
                at += written.count as usize;
                verifiers.push(written.verf);
            }
            let committed = self.commit(file)?;
            if verifiers.iter().all(|verifier| *verifier == committed) {
                return Ok(());
            }
        }
    }

    /// A new file with these contents, durable.
    pub fn put(&mut self, dir: &nfs_fh3, name: &[u8], data: &[u8]) -> NfsResult<nfs_fh3> {
        let file = self.create_file(dir, name)?;
        self.write_durably(&file, 0, data)?;
        Ok(file)
    }

    /// All names of a directory with their file ids, by READDIR, `.` and `..` included.
    pub fn readdir(&mut self, dir: &nfs_fh3) -> NfsResult<Vec<(Vec<u8>, u64)>> {
        let mut names = Vec::new();
        let (mut cookie, mut cookieverf) = (0, cookieverf3::default());
        loop {
            let args = READDIR3args { dir: dir.clone(), cookie, cookieverf, count: 32 << 10 };
            let part =
                self.call::<READDIR3resok<'static>, READDIR3resfail>(NFS_PROGRAM::NFSPROC3_READDIR, &args)?;
            cookieverf = part.cookieverf;
            let entries = part.reply.entries.into_inner();
            assert!(part.reply.eof || !entries.is_empty(), "READDIR makes no headway");
            for entry in entries {
                cookie = entry.cookie;
                names.push((entry.name.as_ref().to_vec(), entry.fileid));
            }
            if part.reply.eof {
                return Ok(names);
            }
        }
    }

    /// All entries of a directory by READDIRPLUS: name, attributes, handle.
    pub fn readdirplus(&mut self, dir: &nfs_fh3) -> NfsResult<Vec<(Vec<u8>, fattr3, nfs_fh3)>> {
        let mut all = Vec::new();
        let (mut cookie, mut cookieverf) = (0, cookieverf3::default());
        loop {
            let args = READDIRPLUS3args {
                dir: dir.clone(),
                cookie,
                cookieverf,
                dircount: 8 << 10,
                maxcount: 64 << 10,
            };
            let part = self.call::<READDIRPLUS3resok<'static>, READDIRPLUS3resfail>(
                NFS_PROGRAM::NFSPROC3_READDIRPLUS,
                &args,
            )?;
            cookieverf = part.cookieverf;
            let entries = part.reply.entries.into_inner();
            assert!(part.reply.eof || !entries.is_empty(), "READDIRPLUS makes no headway");
            for entry in entries {
                cookie = entry.cookie;
                let Nfs3Option::Some(attributes) = entry.name_attributes else {
                    panic!("READDIRPLUS left out attributes")
                };
                all.push((entry.name.as_ref().to_vec(), attributes, handle(entry.name_handle)));
            }
            if part.reply.eof {
                return Ok(all);
            }
        }
    }
}

/// Directory and name, as the wire pairs them.
pub fn at<'a>(dir: &nfs_fh3, name: &'a [u8]) -> diropargs3<'a> {
    diropargs3 { dir: dir.clone(), name: name.into() }
}

/// Attributes that set the mode alone.
pub fn mode(mode: u32) -> sattr3 {
    sattr3 { mode: Nfs3Option::Some(mode), ..Default::default() }
}

fn handle(optional: post_op_fh3) -> nfs_fh3 {
    match optional {
        Nfs3Option::Some(handle) => handle,
        Nfs3Option::None => panic!("the server left out the handle"),
    }
}
