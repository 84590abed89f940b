//! Where a case plays: a client, a folder of its own, and who acts. Every reply passes through [`audit`].

use std::time::{Duration, Instant};

use nfs3_types::nfs3::nfsstat3;

use super::audit;
use super::call::{Attributes, Call, Entry, Handle, How, List, Place, Reply, Set, Stable, Time, brief};
use super::client::{Client, Kind};
use super::target::Target;
use crate::poll;
use crate::rpc::Credential;

/// How long NFS3ERR_JUKEBOX may go on.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a client that asks for much takes of a listing.
const LIST_BYTES: u32 = 32 << 10;

/// See the module.
pub struct Scene<'a> {
    /// The server.
    pub target: &'a Target,
    /// Which client.
    pub kind: Kind,
    /// Name of the case's folder: another one for each case and client.
    pub name: String,
    /// The case's own folder in the export, mode 0777, of root.
    pub dir: Handle,
    /// Root of the export.
    pub root: Handle,
    client: Box<dyn Client>,
    who: Credential,
    is_alone: bool,
}

impl<'a> Scene<'a> {
    /// A new client at the server, and a folder of this name for it.
    pub fn new(target: &'a Target, kind: Kind, name: &str) -> Self {
        let mut scene = Self {
            target,
            kind,
            name: format!("{name}-{}", kind.name()),
            dir: Handle::new(),
            root: Handle::new(),
            client: target.client(kind),
            who: Credential::root(),
            // Others make their folders in the root as well.
            is_alone: false,
        };
        scene.root = scene.mount("/export");
        let made = scene.call(Call::Mkdir(at(&scene.root, &scene.name), Set::mode(0o777)));
        scene.is_alone = true;
        scene.dir = made.handle.unwrap_or_else(|| panic!("no folder for the case: {:?}", made.status));
        scene
    }

    /// The case's own folder.
    pub fn dir(&self) -> Handle {
        self.dir.clone()
    }

    /// Who acts from now on.
    pub fn act_as(&mut self, who: Credential) {
        self.who = who;
    }

    /// User and group of this number act from now on.
    pub fn act_as_user(&mut self, uid: u32) {
        self.who = Credential::user(uid);
    }

    /// Root acts again.
    pub fn act_as_root(&mut self) {
        self.who = Credential::root();
    }

    /// From now on others change the same objects: attributes are no longer compared with GETATTR around a call.
    pub fn is_not_alone(&mut self) {
        self.is_alone = false;
    }

    /// A call, its reply audited; NFS3ERR_JUKEBOX is waited out, as clients do.
    pub fn call(&mut self, call: Call) -> Reply {
        let start = Instant::now();
        loop {
            let reply = self.call_once(&call);
            if reply.status != nfsstat3::NFS3ERR_JUKEBOX {
                return reply;
            }
            assert!(start.elapsed() < PATIENCE, "still told to try later: {}", brief(&call));
            poll::pause(Duration::from_millis(20));
        }
    }

    /// A call, its reply audited.
    fn call_once(&mut self, call: &Call) -> Reply {
        let targets: Vec<Handle> = match self.is_alone {
            true => audit::changed(call, &Reply::default())
                .into_iter()
                .map(|(object, _)| object.clone())
                .collect(),
            false => Vec::new(),
        };
        let before: Vec<Option<Attributes>> = targets.iter().map(|object| self.glance(object)).collect();
        let reply = self.raw(&self.who.clone(), call);
        audit::check_shape(call, &reply).unwrap_or_else(|error| panic!("{error}"));
        let told = audit::changed(call, &reply);
        for ((object, before), (_, wcc)) in targets.iter().zip(&before).zip(told) {
            let after = self.glance(object);
            audit::check_wcc(&reply, wcc, before.as_ref(), after.as_ref())
                .unwrap_or_else(|error| panic!("{error}\n {}", brief(call)));
        }
        reply
    }

    fn glance(&mut self, object: &Handle) -> Option<Attributes> {
        self.raw(&Credential::root(), &Call::Getattr(object.clone())).attributes
    }

    fn raw(&mut self, who: &Credential, call: &Call) -> Reply {
        self.client.call(who, call).unwrap_or_else(|error| panic!("{}: {error}", brief(call)))
    }

    /// The same client over a new connection.
    pub fn reconnect(&mut self) {
        self.client = self.target.client(self.kind);
    }

    /// The same client at another server.
    pub fn move_to(&mut self, target: &'a Target) {
        self.target = target;
        self.reconnect();
    }

    /// The root of an export.
    pub fn mount(&mut self, path: &str) -> Handle {
        let reply = self.call(Call::Mnt(path.as_bytes().to_vec()));
        reply.handle.unwrap_or_else(|| panic!("MNT {path}: {:?}", reply.status))
    }
}

/// A name in a folder.
pub fn at(dir: &Handle, name: impl AsRef<[u8]>) -> Place {
    Place { dir: dir.clone(), name: name.as_ref().to_vec() }
}

/// Procedures, one method each.
#[allow(missing_docs, reason = "the names are those of RFC 1813")]
impl Scene<'_> {
    pub fn getattr(&mut self, object: &Handle) -> Reply {
        self.call(Call::Getattr(object.clone()))
    }

    pub fn setattr(&mut self, object: &Handle, set: Set) -> Reply {
        self.call(Call::Setattr(object.clone(), set, None))
    }

    pub fn setattr_guarded(&mut self, object: &Handle, set: Set, guard: Time) -> Reply {
        self.call(Call::Setattr(object.clone(), set, Some(guard)))
    }

    pub fn lookup(&mut self, dir: &Handle, name: impl AsRef<[u8]>) -> Reply {
        self.call(Call::Lookup(at(dir, name)))
    }

    pub fn access(&mut self, object: &Handle, wanted: u32) -> Reply {
        self.call(Call::Access(object.clone(), wanted))
    }

    pub fn readlink(&mut self, link: &Handle) -> Reply {
        self.call(Call::Readlink(link.clone()))
    }

    pub fn read(&mut self, file: &Handle, offset: u64, count: u32) -> Reply {
        self.call(Call::Read(file.clone(), offset, count))
    }

    pub fn write(&mut self, file: &Handle, offset: u64, data: impl AsRef<[u8]>) -> Reply {
        self.write_as(file, offset, data, Stable::FileSync)
    }

    pub fn write_as(&mut self, file: &Handle, offset: u64, data: impl AsRef<[u8]>, stable: Stable) -> Reply {
        let data = data.as_ref().to_vec();
        self.call(Call::Write(file.clone(), offset, data.len() as u32, stable, data))
    }

    pub fn commit(&mut self, file: &Handle, offset: u64, count: u32) -> Reply {
        self.call(Call::Commit(file.clone(), offset, count))
    }

    pub fn create(&mut self, dir: &Handle, name: impl AsRef<[u8]>, how: How) -> Reply {
        self.call(Call::Create(at(dir, name), how))
    }

    pub fn mkdir(&mut self, dir: &Handle, name: impl AsRef<[u8]>) -> Reply {
        self.call(Call::Mkdir(at(dir, name), Set::mode(0o755)))
    }

    pub fn symlink(&mut self, dir: &Handle, name: impl AsRef<[u8]>, text: impl AsRef<[u8]>) -> Reply {
        self.call(Call::Symlink(at(dir, name), Set::default(), text.as_ref().to_vec()))
    }

    pub fn mknod(&mut self, dir: &Handle, name: impl AsRef<[u8]>, kind: u32) -> Reply {
        self.call(Call::Mknod(at(dir, name), kind))
    }

    pub fn remove(&mut self, dir: &Handle, name: impl AsRef<[u8]>) -> Reply {
        self.call(Call::Remove(at(dir, name)))
    }

    pub fn rmdir(&mut self, dir: &Handle, name: impl AsRef<[u8]>) -> Reply {
        self.call(Call::Rmdir(at(dir, name)))
    }

    pub fn rename(
        &mut self,
        from: &Handle,
        name: impl AsRef<[u8]>,
        to: &Handle,
        new: impl AsRef<[u8]>,
    ) -> Reply {
        self.call(Call::Rename(at(from, name), at(to, new)))
    }

    pub fn link(&mut self, file: &Handle, dir: &Handle, name: impl AsRef<[u8]>) -> Reply {
        self.call(Call::Link(file.clone(), at(dir, name)))
    }

    pub fn readdir(&mut self, dir: &Handle, cookie: u64, verifier: [u8; 8], count: u32) -> Reply {
        self.call(Call::Readdir(List { dir: dir.clone(), cookie, verifier, dircount: count, count }))
    }

    pub fn readdirplus(&mut self, dir: &Handle, from: (u64, [u8; 8]), dircount: u32, count: u32) -> Reply {
        let (cookie, verifier) = from;
        self.call(Call::Readdirplus(List { dir: dir.clone(), cookie, verifier, dircount, count }))
    }
}

/// Objects to begin with, and what became of them. All panic where the server does not do it.
impl Scene<'_> {
    /// A file of mode 0644 in the case's folder.
    pub fn file(&mut self, name: impl AsRef<[u8]>) -> Handle {
        let dir = self.dir();
        self.file_in(&dir, name)
    }

    /// A file of mode 0644.
    pub fn file_in(&mut self, dir: &Handle, name: impl AsRef<[u8]>) -> Handle {
        let reply = self.create(dir, name, How::Guarded(Set::mode(0o644)));
        reply.handle.unwrap_or_else(|| panic!("CREATE: {:?}", reply.status))
    }

    /// A file with these bytes in the case's folder.
    pub fn file_with(&mut self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Handle {
        let file = self.file(name);
        expect_ok(&self.write(&file, 0, data));
        file
    }

    /// A folder of mode 0755 in the case's folder.
    pub fn folder(&mut self, name: impl AsRef<[u8]>) -> Handle {
        let dir = self.dir();
        self.folder_in(&dir, name)
    }

    /// A folder of mode 0755.
    pub fn folder_in(&mut self, dir: &Handle, name: impl AsRef<[u8]>) -> Handle {
        let reply = self.mkdir(dir, name);
        reply.handle.unwrap_or_else(|| panic!("MKDIR: {:?}", reply.status))
    }

    /// A symbolic link in the case's folder.
    pub fn soft_link(&mut self, name: impl AsRef<[u8]>, text: impl AsRef<[u8]>) -> Handle {
        let dir = self.dir();
        let reply = self.symlink(&dir, name, text);
        reply.handle.unwrap_or_else(|| panic!("SYMLINK: {:?}", reply.status))
    }

    /// The attributes of an object that is there.
    pub fn attributes(&mut self, object: &Handle) -> Attributes {
        self.glance(object).expect("an object that is there")
    }

    /// The names in a folder, without `.` and `..`, sorted.
    pub fn names(&mut self, dir: &Handle) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> =
            self.list(dir, LIST_BYTES).into_iter().map(|entry| entry.name).collect();
        names.retain(|name| name != b"." && name != b"..");
        names.sort();
        names
    }

    /// All entries of a folder by READDIR, so many bytes at a time.
    pub fn list(&mut self, dir: &Handle, count: u32) -> Vec<Entry> {
        let (mut all, mut cookie, mut verifier) = (Vec::new(), 0, [0; 8]);
        loop {
            let part = self.readdir(dir, cookie, verifier, count);
            expect_ok(&part);
            let is_end = part.numbers == [1];
            assert!(is_end || !part.entries.is_empty(), "READDIR makes no headway");
            cookie = part.entries.last().map_or(cookie, |entry| entry.cookie);
            verifier = part.verifier.expect("a cookie verifier");
            all.extend(part.entries);
            if is_end {
                return all;
            }
        }
    }

    /// The first bytes of a file.
    pub fn contents(&mut self, file: &Handle) -> Vec<u8> {
        let reply = self.read(file, 0, 1 << 20);
        expect_ok(&reply);
        reply.data
    }
}

/// Panics unless the call went well.
#[track_caller]
pub fn expect_ok(reply: &Reply) {
    assert_eq!(reply.status, nfsstat3::NFS3_OK);
}
