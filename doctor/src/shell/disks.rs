//! The room there is where the port keeps things.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};

use super::within;
use crate::plan::Folder;

/// More files in a folder are not counted: that would take too long.
const FILES_MAX: usize = 200_000;

/// What is known of a folder's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its room.
    Room(Room),
    /// It is not there, or is no folder, in words.
    Unusable(String),
    /// The disk gives no answer.
    Silent,
}

/// The room of the file system in which a folder lies. In bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Tells file systems apart.
    pub device: u64,
    /// It is that of the operating system.
    pub is_root: bool,
    /// Nothing can be written.
    pub is_read_only: bool,
    /// This user may not write there.
    pub is_denied: bool,
    /// All that a daemon may use.
    pub total: u64,
    /// What is free of it.
    pub free: u64,
    /// What lies in the folder; `None` if it was too much to be counted.
    pub own: Option<u64>,
}

/// Looks at all of them, each for `patience` at most.
pub(crate) async fn look(folders: &[Folder], patience: Duration) -> Vec<Found> {
    let looks: Vec<_> = folders
        .iter()
        .map(|folder| {
            let path = folder.path.clone();
            tokio::spawn(within(patience, move || found(&path)))
        })
        .collect();
    let mut all = Vec::new();
    for look in looks {
        all.push(look.await.ok().flatten().unwrap_or(Found::Silent));
    }
    all
}

fn found(path: &Path) -> Found {
    room(path).map_or_else(|error| Found::Unusable(error.to_string()), Found::Room)
}

fn room(path: &Path) -> io::Result<Room> {
    // The daemon makes it, if it is not there yet.
    let there = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
    let there = there.ok_or(io::ErrorKind::NotFound)?;
    let metadata = fs::metadata(there)?;
    if !metadata.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("{} is no folder", there.display()),
        ));
    }
    let stat = statvfs(there)?;
    // What is kept for root is of no use to a daemon that is not.
    let kept = stat.f_bfree.saturating_sub(stat.f_bavail);
    Ok(Room {
        device: metadata.dev(),
        is_root: fs::metadata("/")?.dev() == metadata.dev(),
        is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        is_denied: access(there, Access::WRITE_OK) == Err(rustix::io::Errno::ACCESS),
        total: stat.f_blocks.saturating_sub(kept).saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        own: if there == path { bytes_in(path)? } else { Some(0) },
    })
}

/// Bytes of disk that the files of a folder take, all the way down; `None` if they are too many.
fn bytes_in(folder: &Path) -> io::Result<Option<u64>> {
    let (mut bytes, mut files) = (0, 0);
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            files += 1;
            if files > FILES_MAX {
                return Ok(None);
            }
            // The daemon removes files meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += metadata.blocks() * 512;
            }
        }
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_counted_and_one_that_is_still_to_be_made_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("file"), vec![1; 100_000]).unwrap();
        let of = |path: &Path| match found(path) {
            Found::Room(room) => room,
            other => panic!("{other:?}"),
        };
        let room = of(dir.path());
        assert!(room.own.unwrap() >= 98_304 && room.total > room.free && !room.is_read_only, "{room:?}");
        let new = of(&dir.path().join("not/yet"));
        assert_eq!((new.own, new.device), (Some(0), room.device));
        let file = found(&deep.join("file/under"));
        assert!(matches!(&file, Found::Unusable(why) if why.contains("no folder")), "{file:?}");
    }
}
