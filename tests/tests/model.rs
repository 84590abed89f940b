//! The port against a reference: 100,000 random operations, the same results. `MODEL_OPERATIONS` says how many of each of
//! four clients.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use e2e::data;
use e2e::model::{Body, Model, NodeId, ROOT};
use e2e::mount::{self, Mount};
use e2e::site::{Port, PortSettings, Site};
use nfs3_types::nfs3::*;
use rand::Rng;
use rand::rngs::StdRng;

/// Clients at work at the same time, each in a directory of its own and against a model of its own.
const CLIENTS: usize = 4;
/// Operations of each client; `MODEL_OPERATIONS` says otherwise.
const OPERATIONS: usize = 25_000;
/// Few names, so that most operations meet something.
const NAMES: [&[u8]; 8] =
    [b"a", b"b", b"c", b"data.bin", "größe".as_bytes(), "名前".as_bytes(), b"x y", b"%41&<\">"];
const FILE_BYTES_MAX: usize = 3 << 20;

struct Pair {
    seed: u64,
    step: usize,
    rng: StdRng,
    model: Model,
    mount: Mount,
    /// Handle of each object the model ever made.
    handles: Vec<nfs_fh3>,
}

impl Pair {
    fn new(seed: u64, port: &Port) -> Self {
        let mut mount = port.mount("/export");
        let root = mount.root();
        let own = mount.mkdir(&root, format!("client-{seed}").as_bytes()).unwrap();
        Self { seed, step: 0, rng: data::rng(seed), model: Model::default(), mount, handles: vec![own] }
    }

    fn run(mut self, operations: usize) {
        while self.step < operations {
            self.operate();
            self.step += 1;
        }
        let all: Vec<NodeId> = self.model.existing().collect();
        for id in all {
            self.compare(id);
        }
    }

    /// Any object ever made; mostly one that exists.
    fn any(&mut self) -> NodeId {
        if self.rng.random_ratio(1, 30) {
            return self.rng.random_range(0..self.model.ever_made());
        }
        let existing: Vec<NodeId> = self.model.existing().collect();
        existing[self.rng.random_range(0..existing.len())]
    }

    fn any_where(&mut self, wanted: fn(&Body) -> bool) -> NodeId {
        let fitting: Vec<NodeId> =
            self.model.existing().filter(|&id| self.model.body(id).is_ok_and(wanted)).collect();
        if fitting.is_empty() || self.rng.random_ratio(1, 25) {
            return self.any();
        }
        fitting[self.rng.random_range(0..fitting.len())]
    }

    fn dir(&mut self) -> NodeId {
        self.any_where(|body| matches!(body, Body::Directory(_)))
    }

    fn file(&mut self) -> NodeId {
        self.any_where(|body| matches!(body, Body::File(_)))
    }

    fn name(&mut self) -> &'static [u8] {
        NAMES[self.rng.random_range(0..NAMES.len())]
    }

    fn agree<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        model: Result<T, nfsstat3>,
        port: Result<T, nfsstat3>,
    ) {
        assert!(
            model == port,
            "seed {} step {}: {what}: model {model:?}, port {port:?}",
            self.seed,
            self.step
        );
    }

    /// Compares the outcome of an operation that makes an object, and remembers its handle.
    fn made(&mut self, what: &str, model: Result<NodeId, nfsstat3>, port: Result<nfs_fh3, nfsstat3>) {
        self.agree(what, model.map(drop), port.as_ref().map(drop).map_err(|status| *status));
        if let (Ok(id), Ok(handle)) = (model, port) {
            if id == self.handles.len() {
                self.handles.push(handle);
            } else {
                assert_eq!(
                    self.handles[id], handle,
                    "seed {} step {}: {what}: another object",
                    self.seed, self.step
                );
            }
        }
    }

    fn operate(&mut self) {
        match self.rng.random_range(0..100) {
            0..14 => self.create(),
            14..20 => self.mkdir(),
            20..23 => self.symlink(),
            23..31 => self.remove(),
            31..36 => self.rmdir(),
            36..44 => self.rename(),
            44..60 => self.write(),
            60..65 => self.truncate(),
            65..67 => self.set_mode(),
            67..79 => self.read(),
            79..87 => self.lookup(),
            87..93 => self.list(),
            93..95 => self.commit(),
            _ => {
                let id = self.any();
                self.compare(id);
            }
        }
    }

    fn create(&mut self) {
        let (dir, name) = (self.dir(), self.name());
        let mode = if self.rng.random() { 0o644 } else { 0o600 };
        let guarded: bool = self.rng.random();
        let (model, how) = if guarded {
            (self.model.make(dir, name, Body::File(Vec::new()), mode), createhow3::GUARDED(mount::mode(mode)))
        } else {
            (self.model.create_unchecked(dir, name, mode), createhow3::UNCHECKED(mount::mode(mode)))
        };
        let port = self.mount.create(&self.handles[dir].clone(), name, how);
        self.made("CREATE", model, port);
    }

    fn mkdir(&mut self) {
        let (dir, name) = (self.dir(), self.name());
        let model = self.model.make(dir, name, Body::Directory(Default::default()), 0o755);
        let port = self.mount.mkdir(&self.handles[dir].clone(), name);
        self.made("MKDIR", model, port);
    }

    fn symlink(&mut self) {
        let (dir, name, text) = (self.dir(), self.name(), self.name());
        let model = self.model.make(dir, name, Body::Symlink(text.to_vec()), 0o777);
        let port = self.mount.symlink(&self.handles[dir].clone(), name, text);
        self.made("SYMLINK", model, port);
    }

    fn remove(&mut self) {
        let (dir, name) = (self.dir(), self.name());
        let model = self.model.remove(dir, name);
        let port = self.mount.remove(&self.handles[dir].clone(), name);
        self.agree("REMOVE", model, port);
    }

    fn rmdir(&mut self) {
        let (dir, name) = (self.dir(), self.name());
        let model = self.model.rmdir(dir, name);
        let port = self.mount.rmdir(&self.handles[dir].clone(), name);
        self.agree("RMDIR", model, port);
    }

    fn rename(&mut self) {
        let (from_dir, from, to_dir, to) = (self.dir(), self.name(), self.dir(), self.name());
        let model = self.model.rename(from_dir, from, to_dir, to);
        let (from_handle, to_handle) = (self.handles[from_dir].clone(), self.handles[to_dir].clone());
        let port = self.mount.rename(&from_handle, from, &to_handle, to);
        self.agree("RENAME", model, port);
    }

    fn write(&mut self) {
        let file = self.file();
        let large = self.rng.random_ratio(1, 40);
        let len = self.rng.random_range(0..if large { 1 << 20 } else { 20_000 });
        let offset = self.rng.random_range(0..if large { FILE_BYTES_MAX - len } else { 40_000 });
        let bytes = data::bytes(self.rng.random(), len);
        let stable = match self.rng.random_range(0..10) {
            0 => stable_how::FILE_SYNC,
            1 => stable_how::DATA_SYNC,
            _ => stable_how::UNSTABLE,
        };
        let model = self.model.write(file, offset, &bytes);
        let port = self.mount.write_at(&self.handles[file].clone(), offset as u64, &bytes, stable);
        let port = port.map(|written| {
            assert_eq!(written.count as usize, len, "WRITE took less");
            assert!(written.committed as u32 >= stable as u32, "WRITE less durable than asked");
        });
        self.agree("WRITE", model, port);
    }

    fn truncate(&mut self) {
        let (file, size) = (self.file(), self.rng.random_range(0..60_000));
        let model = self.model.truncate(file, size);
        let port = self.mount.truncate(&self.handles[file].clone(), size as u64);
        self.agree("SETATTR size", model, port);
    }

    fn set_mode(&mut self) {
        let (id, mode) = (self.any(), self.rng.random_range(0..0o1000));
        let model = self.model.set_mode(id, mode);
        let port = self.mount.setattr(&self.handles[id].clone(), mount::mode(mode));
        self.agree("SETATTR mode", model, port);
    }

    fn read(&mut self) {
        let file = self.file();
        let far = self.rng.random_ratio(1, 8);
        let offset = self.rng.random_range(0..if far { FILE_BYTES_MAX } else { 50_000 });
        let count = self.rng.random_range(0..70_000);
        let model = match self.model.body(file) {
            Ok(Body::File(bytes)) => {
                let (start, end) = (offset.min(bytes.len()), (offset + count).min(bytes.len()));
                Ok((bytes[start..end].to_vec(), end == bytes.len()))
            }
            Ok(Body::Directory(_)) => Err(nfsstat3::NFS3ERR_ISDIR),
            Ok(Body::Symlink(_)) => Err(nfsstat3::NFS3ERR_INVAL),
            Err(status) => Err(status),
        };
        let port = self.mount.read_at(&self.handles[file].clone(), offset as u64, count as u32);
        assert!(
            model == port,
            "seed {} step {}: READ of {count} at {offset}: model {:?}, port {:?}, first difference {:?}",
            self.seed,
            self.step,
            model.as_ref().map(|(bytes, eof)| (bytes.len(), *eof)),
            port.as_ref().map(|(bytes, eof)| (bytes.len(), *eof)),
            model.iter().zip(&port).find_map(|(a, b)| a.0.iter().zip(&b.0).position(|(a, b)| a != b)),
        );
    }

    fn lookup(&mut self) {
        let (dir, name) = (self.dir(), self.name());
        let model = self.model.lookup(dir, name).map(|id| self.handles[id].clone());
        let port = self.mount.lookup(&self.handles[dir].clone(), name);
        self.agree("LOOKUP", model, port);
    }

    fn list(&mut self) {
        let dir = self.dir();
        let model = self.model.entries(dir).map(|entries| entries.keys().cloned().collect::<BTreeSet<_>>());
        let port = self.mount.readdir(&self.handles[dir].clone()).map(|entries| {
            let len = entries.len();
            let names: BTreeSet<_> = entries.into_iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), len, "a name twice");
            names.into_iter().filter(|name| name != b"." && name != b"..").collect::<BTreeSet<_>>()
        });
        self.agree("READDIR", model, port);
    }

    fn commit(&mut self) {
        let file = self.file();
        if matches!(self.model.body(file), Ok(Body::File(_))) {
            let port = self.mount.commit(&self.handles[file].clone()).map(drop);
            self.agree("COMMIT", Ok(()), port);
        }
    }

    /// Attributes and all contents.
    fn compare(&mut self, id: NodeId) {
        let handle = self.handles[id].clone();
        let port = self.mount.getattr(&handle);
        let found =
            port.as_ref().map(|attributes| (attributes.mode, attributes.nlink)).map_err(|status| *status);
        // The directory of this client was made with MKDIR's mode, which the model's root has too.
        let links = self.model.links(id);
        self.agree("GETATTR", self.model.mode(id).and_then(|mode| Ok((mode, links?))), found);
        let Ok(attributes) = port else { return };
        match self.model.body(id).unwrap().clone() {
            Body::File(bytes) => {
                assert_eq!((attributes.type_, attributes.size), (ftype3::NF3REG, bytes.len() as u64));
                assert!(self.mount.read(&handle).unwrap() == bytes, "seed {} step {}", self.seed, self.step);
            }
            Body::Symlink(text) => {
                assert_eq!(attributes.type_, ftype3::NF3LNK);
                assert_eq!(self.mount.readlink(&handle).unwrap(), text);
            }
            Body::Directory(_) => assert_eq!(attributes.type_, ftype3::NF3DIR),
        }
    }
}

/// PORT-3, PORT-7 to PORT-12, VFS-13 to VFS-16: files are uploaded, evicted and fetched again while this runs, since
/// the data cache holds only a part of them and files are quiet after a moment.
#[test]
fn a_hundred_thousand_random_operations_give_the_results_of_the_model() {
    let operations = data::figure("MODEL_OPERATIONS", OPERATIONS);
    let site = Site::start();
    let settings = PortSettings { cache_bytes: 8 << 20, ..PortSettings::default() };
    let port = site.port_with("port", &settings);
    assert_eq!(ROOT, 0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS as u64 {
            let pair = Pair::new(client + 1, &port);
            scope.spawn(move || pair.run(operations));
        }
    });
}
