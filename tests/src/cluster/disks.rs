//! A storage node's disks as somebody sees them who stands before the machine: files, which he counts, moves, damages
//! and removes; and file systems, which he fills.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use protocol::digest::{Content, Fingerprint};

use crate::data;
use crate::tmpfs::Tmpfs;

/// What one is told at a time when one fills a disk.
const FILLER_BYTES: usize = 64 << 10;

/// One disk: a file system with the node's directory in it.
pub struct Disk {
    /// The mount point.
    root: PathBuf,
    /// Not in memory: a directory like any other, and as large as what it lies on.
    mount: Option<Tmpfs>,
}

impl Disk {
    /// A disk of `bytes` in memory, or a directory.
    pub fn new(root: PathBuf, bytes: Option<u64>) -> Self {
        let mount = bytes.map(|bytes| Tmpfs::mount(&root, &format!("size={bytes}")));
        let disk = Self { root, mount };
        fs::create_dir_all(disk.objects()).unwrap();
        disk
    }

    /// The node's directory on it.
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// The file of an object, whether or not it is there.
    pub fn object_file(&self, fingerprint: Fingerprint) -> PathBuf {
        let name = fingerprint.to_string();
        self.objects().join("obj").join(&name[..2]).join(&name[2..4]).join(format!("{name}.MD5"))
    }

    /// Whether the object lies here, as far as names tell.
    pub fn has(&self, fingerprint: Fingerprint) -> bool {
        self.object_file(fingerprint).exists()
    }

    /// Whether the object lies here and has the bytes of its name.
    pub fn has_whole(&self, fingerprint: Fingerprint) -> bool {
        fs::read(self.object_file(fingerprint))
            .is_ok_and(|bytes| data::md5_hex(&bytes) == fingerprint.to_string())
    }

    /// The files of all objects but the empty one, which every disk has.
    pub fn object_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        gather(&self.objects().join("obj"), &mut files);
        let empty = Content::EMPTY.fingerprint.to_string();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "MD5"));
        files.retain(|path| path.file_stem().is_none_or(|name| name != empty.as_str()));
        files
    }

    /// Files that are neither whole objects nor gone.
    pub fn temporary_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        gather(&self.objects().join("tmp"), &mut files);
        files
    }

    /// Flips a bit of an object in place.
    pub fn flip_bit(&self, fingerprint: Fingerprint, byte: u64) {
        let path = self.object_file(fingerprint);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut flipped = [0];
        file.read_exact_at(&mut flipped, byte).unwrap();
        flipped[0] ^= 0x10;
        file.write_all_at(&flipped, byte).unwrap();
        file.sync_all().unwrap();
    }

    /// Brings an object from here to another disk, its bytes and its name and nothing else, as `cp` and `rm` would.
    pub fn move_object(&self, fingerprint: Fingerprint, to: &Self) {
        let (from, to) = (self.object_file(fingerprint), to.object_file(fingerprint));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let bytes = fs::read(&from).unwrap();
        fs::write(&to, bytes).unwrap();
        self.remove_object(fingerprint);
    }

    /// Removes an object's file, and its block digests.
    pub fn remove_object(&self, fingerprint: Fingerprint) {
        let path = self.object_file(fingerprint);
        fs::remove_file(&path).unwrap();
        // Small objects have none.
        let _ = fs::remove_file(path.with_extension("B3"));
    }

    /// Writes until nothing more goes onto the disk, which is one in memory.
    pub fn fill(&self) {
        assert!(self.mount.is_some(), "{} has no end of its own", self.root.display());
        let mut filler = File::create(self.filler()).unwrap();
        let (mut piece, noise) = (FILLER_BYTES, data::bytes(0, FILLER_BYTES));
        while piece > 0 {
            match filler.write_all(&noise[..piece]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => piece /= 2,
                Err(error) => panic!("{}: {error}", self.root.display()),
            }
        }
    }

    /// Makes room again.
    pub fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.root.join("filler")
    }

    /// Takes the node's directory away under the running node.
    pub fn lose(&self) {
        let lost = self.root.join("lost");
        // At once, whatever is written meanwhile.
        fs::rename(self.objects(), &lost).unwrap();
        fs::remove_dir_all(lost).unwrap();
    }

    /// Puts an empty one in its place.
    pub fn replace(&self) {
        fs::create_dir(self.objects()).unwrap();
    }
}

/// The files below a folder. What goes away meanwhile is not among them.
fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    for entry in entries.map_while(io::Result::ok) {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => gather(&entry.path(), files),
            Ok(_) => files.push(entry.path()),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Fingerprint = Fingerprint([0x5e; 16]);

    #[test]
    fn objects_are_moved_damaged_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let disks = ["0", "1"].map(|name| Disk::new(folder.path().join(name), None));
        let bytes = data::bytes(1, 5_000);
        let name = Fingerprint::parse(&data::md5_hex(&bytes)).unwrap();
        let path = disks[0].object_file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &bytes).unwrap();
        fs::write(path.with_extension("B3"), b"digests").unwrap();
        let empty = disks[0].object_file(Content::EMPTY.fingerprint);
        fs::create_dir_all(empty.parent().unwrap()).unwrap();
        fs::write(empty, b"").unwrap();
        assert_eq!(disks[0].object_files(), [path]);
        assert!(disks[0].has_whole(name) && !disks[1].has(name) && !disks[0].has(NAME));
        disks[0].move_object(name, &disks[1]);
        assert!(disks[0].object_files().is_empty() && disks[1].has_whole(name));
        disks[1].flip_bit(name, 4_999);
        assert!(disks[1].has(name) && !disks[1].has_whole(name));
    }

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path().join("disk"), Some(4 << 20));
        let file = disk.objects().join("file");
        disk.fill();
        assert_eq!(fs::write(&file, b"more").unwrap_err().kind(), ErrorKind::StorageFull);
        disk.empty();
        fs::write(&file, b"more").unwrap();
        disk.lose();
        assert!(!disk.objects().exists() && disk.object_files().is_empty());
        disk.replace();
        assert!(disk.temporary_files().is_empty());
    }
}
