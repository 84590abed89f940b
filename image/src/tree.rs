//! A root file system in memory. Paths begin without a slash; owners and modes are the tree's own, so that nobody needs
//! to be root to make one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How many symbolic links are followed in one path, as Linux does.
const LINKS_MAX: usize = 40;
/// Folders of a merged-usr system that are links into `usr/`.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A file with its contents.
    File(Vec<u8>),
    /// A symbolic link with its target.
    Link(String),
}

/// A node with owner and mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub node: Node,
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// The tree. A path's parents are always in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

/// A folder of the builder's cannot be taken in.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {error}", path.display())]
pub struct ReadError {
    /// What cannot be read.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl Tree {
    /// An empty tree with the links of a merged-usr system.
    pub fn merged_usr() -> Self {
        let mut tree = Self::default();
        for name in MERGED {
            tree.folder(&format!("usr/{name}"), 0o755);
            tree.link(name, &format!("usr/{name}"));
        }
        tree
    }

    /// Puts in an entry, in place of one that was there; missing parents are made.
    pub fn insert(&mut self, path: &str, entry: Entry) {
        let path = self.real_folder(path.trim_matches('/'));
        if path.is_empty() {
            return;
        }
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.entries.contains_key(parent)
        {
            self.folder(parent, 0o755);
        }
        self.entries.insert(path, entry);
    }

    /// A folder of root's. One that is there keeps its mode.
    pub fn folder(&mut self, path: &str, mode: u32) {
        if !matches!(self.get(path), Some(Entry { node: Node::Folder, .. })) {
            self.insert(path, Entry { node: Node::Folder, mode, uid: 0, gid: 0 });
        }
    }

    /// A file of root's.
    pub fn file(&mut self, path: &str, mode: u32, contents: Vec<u8>) {
        self.insert(path, Entry { node: Node::File(contents), mode, uid: 0, gid: 0 });
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.insert(path, Entry { node: Node::Link(target.to_owned()), mode: 0o777, uid: 0, gid: 0 });
    }

    /// What this very path names.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path.trim_matches('/'))
    }

    /// Everything, parents before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// The path at the end of all symbolic links, if something is there.
    pub fn resolve(&self, path: &str) -> Option<String> {
        let mut done: Vec<String> = Vec::new();
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(name),
            }
            if let Entry { node: Node::Link(target), .. } = self.entries.get(&done.join("/"))? {
                links += 1;
                if links > LINKS_MAX {
                    return None;
                }
                if target.starts_with('/') {
                    done.clear();
                } else {
                    done.pop();
                }
                rest.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        Some(done.join("/"))
    }

    /// The contents of a file, by whatever links.
    pub fn contents(&self, path: &str) -> Option<&[u8]> {
        match &self.entries.get(&self.resolve(path)?)?.node {
            Node::File(contents) => Some(contents),
            _ => None,
        }
    }

    /// Takes in a folder of the builder's: everything becomes root's, with modes 0755 and 0644 by whether it may be run,
    /// so that the tree does not depend on who checked the folder out. A file `.keep` only keeps a folder in the repository.
    ///
    /// # Errors
    /// Something in it cannot be read.
    pub fn overlay(&mut self, folder: &Path) -> Result<(), ReadError> {
        self.overlay_at(folder, "")
    }

    fn overlay_at(&mut self, folder: &Path, at: &str) -> Result<(), ReadError> {
        let unread = |path: &Path| {
            let path = path.to_owned();
            move |error| ReadError { path, error }
        };
        for entry in fs::read_dir(folder).map_err(unread(folder))? {
            let path = entry.map_err(unread(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let inside = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
            let found = fs::symlink_metadata(&path).map_err(unread(&path))?;
            if found.is_dir() {
                self.folder(&inside, 0o755);
                self.overlay_at(&path, &inside)?;
            } else if found.is_symlink() {
                let target = fs::read_link(&path).map_err(unread(&path))?;
                self.link(&inside, &String::from_utf8_lossy(target.as_os_str().as_bytes()));
            } else if name != ".keep" {
                let mode = if found.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
                self.file(&inside, mode, fs::read(&path).map_err(unread(&path))?);
            }
        }
        Ok(())
    }

    /// The path with its folder's symbolic links followed, so that `bin/sh` comes to lie at `usr/bin/sh`.
    fn real_folder(&self, path: &str) -> String {
        match path.rsplit_once('/') {
            Some((folder, name)) => match self.resolve(folder) {
                Some(folder) => format!("{folder}/{name}"),
                None => {
                    // Of a folder that is not there yet, the part that is.
                    let folder = self.real_folder(folder);
                    format!("{folder}/{name}")
                }
            },
            None => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_usr_whatever_their_name() {
        let mut tree = Tree::merged_usr();
        tree.file("/lib/x86_64-linux-gnu/libc.so.6", 0o755, b"c".to_vec());
        tree.link("sbin/init", "../bin/busybox");
        tree.file("bin/busybox", 0o755, b"box".to_vec());
        assert!(tree.get("usr/lib/x86_64-linux-gnu/libc.so.6").is_some());
        assert!(tree.get("lib/x86_64-linux-gnu/libc.so.6").is_none());
        assert_eq!(tree.contents("/lib/x86_64-linux-gnu/libc.so.6"), Some(&b"c"[..]));
        assert_eq!(tree.resolve("/sbin/init").as_deref(), Some("usr/bin/busybox"));
        assert_eq!(tree.contents("sbin/init"), Some(&b"box"[..]));
    }

    #[test]
    fn links_in_a_circle_lead_nowhere() {
        let mut tree = Tree::default();
        tree.link("a", "b");
        tree.link("b", "a");
        assert_eq!(tree.resolve("a"), None);
        assert_eq!(tree.contents("none"), None);
    }

    #[test]
    fn parents_come_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.file("a/b/c", 0o644, Vec::new());
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c"]);
    }

    #[test]
    fn an_overlay_does_not_depend_on_who_checked_it_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("etc")).unwrap();
        fs::write(path("etc/plain"), "1").unwrap();
        fs::write(path("etc/program"), "2").unwrap();
        fs::write(path("etc/.keep"), "").unwrap();
        fs::set_permissions(path("etc/plain"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(path("etc/program"), fs::Permissions::from_mode(0o775)).unwrap();
        let mut tree = Tree::default();
        tree.overlay(dir.path()).unwrap();
        let modes: Vec<_> = tree.iter().map(|(path, entry)| (path, entry.mode)).collect();
        assert_eq!(modes, [("etc", 0o755), ("etc/plain", 0o644), ("etc/program", 0o755)]);
        assert!(tree.overlay(&path("none")).unwrap_err().to_string().contains("none"));
    }
}
