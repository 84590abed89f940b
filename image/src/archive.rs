//! A tree as an archive: tar, which mksquashfs reads and Buildroot writes, and cpio (newc), in which a kernel takes its
//! first root file system.

use std::io::{self, Read, Write};

use cpio::newc;

use crate::tree::{Entry, Node, Tree};

/// The largest root file system that is taken, in bytes of its archive.
const TAR_BYTES_MAX: u64 = 1 << 30;

/// Zeros at the end of every tar archive.
const END_BYTES: usize = 1_024;

/// What is wrong with a root file system's archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no tar archive, or ends too early.
    #[error("not a whole, uncompressed tar archive: {0}")]
    Unread(#[from] io::Error),
    /// Larger than any image of this kind.
    #[error("the archive has more than {TAR_BYTES_MAX} bytes")]
    TooLarge,
}

/// Writes the tree as tar, with this time on everything.
///
/// # Errors
/// A path or a size is more than the format takes.
pub fn to_tar(tree: &Tree, time: u64) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, Entry { node, mode, uid, gid }) in tree.iter() {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid((*uid).into());
        header.set_gid((*gid).into());
        header.set_mtime(time);
        match node {
            Node::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                builder.append_data(&mut header, path, io::empty())?;
            }
            Node::File(contents) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(contents.len() as u64);
                builder.append_data(&mut header, path, contents.as_slice())?;
            }
            Node::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, path, target)?;
            }
        }
    }
    builder.into_inner()
}

/// Reads a root file system, such as Buildroot's `rootfs.tar`. Device nodes are left out: the kernel makes them.
///
/// # Errors
/// See [`ArchiveError`].
pub fn from_tar(reader: impl Read) -> Result<Tree, ArchiveError> {
    let mut bytes = Vec::new();
    reader.take(TAR_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TAR_BYTES_MAX {
        return Err(ArchiveError::TooLarge);
    }
    // An archive that was cut between two files looks like a smaller one but for its end.
    if !bytes.last_chunk::<END_BYTES>().is_some_and(|end| end.iter().all(|&byte| byte == 0)) {
        return Err(io::Error::other("it has no end").into());
    }
    let mut tree = Tree::default();
    {
        let mut archive = tar::Archive::new(bytes.as_slice());
        for found in archive.entries()? {
            let mut found = found?;
            let path = found.path()?.to_string_lossy().into_owned();
            let path = path.trim_start_matches("./").trim_matches('/').to_owned();
            let header = found.header();
            let number = |value: u64| u32::try_from(value).map_err(io::Error::other);
            let (mode, uid, gid) = (header.mode()? & 0o7777, number(header.uid()?)?, number(header.gid()?)?);
            let target = |found: &tar::Entry<'_, _>| -> io::Result<String> {
                let target = found.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?;
                Ok(target.to_string_lossy().into_owned())
            };
            let node = match header.entry_type() {
                tar::EntryType::Directory => Node::Folder,
                tar::EntryType::Symlink => Node::Link(target(&found)?),
                tar::EntryType::Link => {
                    let original = target(&found)?;
                    let contents = tree.contents(original.trim_start_matches("./"));
                    Node::File(contents.ok_or_else(|| io::Error::other("a link to nothing"))?.to_vec())
                }
                tar::EntryType::Regular => {
                    let mut contents = Vec::new();
                    found.read_to_end(&mut contents)?;
                    Node::File(contents)
                }
                _ => continue,
            };
            tree.insert(&path, Entry { node, mode, uid, gid });
        }
    }
    Ok(tree)
}

/// Writes the tree as cpio in the format `newc`, everything root's.
///
/// # Errors
/// A file has 4 GiB or more.
pub fn to_cpio(tree: &Tree) -> io::Result<Vec<u8>> {
    const FOLDER: u32 = 0o040_000;
    const REGULAR: u32 = 0o100_000;
    const SYMBOLIC_LINK: u32 = 0o120_000;
    let mut bytes = Vec::new();
    for (number, (path, entry)) in (1..).zip(tree.iter()) {
        let (kind, contents) = match &entry.node {
            Node::Folder => (FOLDER, &[][..]),
            Node::File(contents) => (REGULAR, contents.as_slice()),
            Node::Link(target) => (SYMBOLIC_LINK, target.as_bytes()),
        };
        let links = if kind == FOLDER { 2 } else { 1 };
        let size = u32::try_from(contents.len()).map_err(io::Error::other)?;
        let header = newc::Builder::new(path).ino(number).mode(kind | entry.mode).nlink(links).mtime(0);
        let mut writer = header.write(&mut bytes, size);
        writer.write_all(contents)?;
        writer.finish()?;
    }
    newc::trailer(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Tree {
        let mut tree = Tree::merged_usr();
        tree.file("bin/busybox", 0o4755, vec![7; 5_000]);
        tree.link("sbin/init", "../bin/busybox");
        let long = format!("etc/{}file", "long-name/".repeat(20));
        tree.insert(&long, Entry { node: Node::File(b"x".to_vec()), mode: 0o640, uid: 810, gid: 811 });
        tree
    }

    #[test]
    fn a_tree_survives_tar() {
        let tree = example();
        let tar = to_tar(&tree, 1_000_000_000).unwrap();
        let back = from_tar(tar.as_slice()).unwrap();
        for (one, two) in back.iter().zip(tree.iter()) {
            assert_eq!(one, two);
        }
        assert_eq!(back, tree);
        assert_eq!(to_tar(&tree, 1_000_000_000).unwrap(), tar);
        assert!(from_tar(&tar[..tar.len() / 2]).is_err(), "half an archive");
        assert!(from_tar(&b"\x1f\x8b compressed".repeat(100)[..]).is_err(), "a compressed archive");
    }

    #[test]
    fn a_tree_survives_cpio() {
        let tree = example();
        let cpio = to_cpio(&tree).unwrap();
        let mut rest = cpio.as_slice();
        let mut seen = 0;
        loop {
            let mut reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let entry = tree.get(reader.entry().name()).unwrap();
            assert_eq!(reader.entry().mode() & 0o7777, entry.mode);
            let mut contents = Vec::new();
            reader.read_to_end(&mut contents).unwrap();
            match &entry.node {
                Node::File(expected) => assert_eq!(&contents, expected),
                Node::Link(target) => assert_eq!(contents, target.as_bytes()),
                Node::Folder => assert!(contents.is_empty()),
            }
            seen += 1;
            rest = reader.finish().unwrap();
        }
        assert_eq!(seen, tree.iter().count());
    }
}
