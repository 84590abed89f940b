//! The `newc` archive, the format in which a kernel takes its first root file system
//! (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::path::Path;

const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const SYMBOLIC_LINK: u32 = 0o120_000;

/// An archive in the making. Folders come before what is in them; everything belongs to root.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A folder; its parents must be there.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, &[]);
    }

    /// A file with this mode.
    pub fn file(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.entry(path, REGULAR | mode, contents);
    }

    /// A file of the host, at the same path or another, executable.
    pub fn copy(&mut self, path: &str, from: &Path) {
        let contents = std::fs::read(from).unwrap_or_else(|error| {
            panic!("cannot read {} ({error}): ./test installs what the tests need", from.display())
        });
        self.file(path, 0o755, &contents);
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.entry(path, SYMBOLIC_LINK | 0o777, target.as_bytes());
    }

    /// The whole archive. Several may stand one behind the other: the kernel unpacks them in this order.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) {
        let name = path.trim_start_matches('/');
        self.entries += 1;
        let links = if mode & FOLDER == FOLDER { 2 } else { 1 };
        let size = u32::try_from(contents.len()).unwrap();
        let name_size = u32::try_from(name.len() + 1).unwrap();
        // ino, mode, uid, gid, nlink, mtime, filesize, device major and minor, special device's, name's size, checksum.
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
