//! Compares a disk's names with its index (ISN-2): the names are the truth, the index is a cache of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use protocol::digest::{Content, Fingerprint, ObjectHasher};

use super::disk::Disk;
use super::fault::DiskError;
use super::layout::{Layout, described, fingerprint_of, optional};
use crate::reconcile::Scanned;

/// Rows read from the index at a time.
const PAGE: usize = 1_000;

/// Makes the index say what the names say. Objects found anew may be unlinked from `unlink_from` on unless a
/// reference is restored to them before.
pub fn scan(disk: &Disk, unlink_from: u64) -> Result<Scanned, DiskError> {
    let mut scanned = Scanned::default();
    for first in folders(&disk.layout().objects())? {
        for second in folders(&first)? {
            for entry in fs::read_dir(second)? {
                let name = entry?.file_name();
                let Some(fingerprint) = name.to_str().and_then(fingerprint_of) else { continue };
                scanned.objects += 1;
                if disk.index().object(fingerprint)?.is_some() {
                    continue;
                }
                if let Some(content) = identify(disk.layout(), fingerprint)? {
                    disk.adopt(content, unlink_from)?;
                    scanned.found += 1;
                }
            }
        }
    }
    scanned.lost = drop_lost(disk)?;
    Ok(scanned)
}

fn drop_lost(disk: &Disk) -> Result<u64, DiskError> {
    let (mut after, mut lost) = (None, 0);
    loop {
        let page = disk.index().objects(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(lost) };
        after = Some(last.fingerprint);
        for content in page {
            if disk.find(content.fingerprint)?.is_none() {
                tracing::error!(disk = %disk.root().display(), object = %content.fingerprint, "object lost");
                disk.forget(content.fingerprint)?;
                lost += 1;
            }
        }
    }
}

fn folders(path: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// What the object file of this name contains: by its attribute, or else by reading it. `None` if there is no file
/// or its bytes do not have that fingerprint.
pub fn identify(layout: &Layout, fingerprint: Fingerprint) -> io::Result<Option<Content>> {
    let path = layout.object(fingerprint);
    let Some(attribute) = optional(described(&path, fingerprint))? else { return Ok(None) };
    if let Some(content) = attribute
        && (content.blocks() <= 1 || layout.block_digests(fingerprint).exists())
    {
        return Ok(Some(content));
    }
    let mut file = File::open(&path)?;
    let mut hasher = ObjectHasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let (content, blocks) = hasher.finish();
    if content.fingerprint != fingerprint {
        return Ok(None);
    }
    if content.blocks() > 1 {
        fs::write(layout.block_digests(fingerprint), blocks.as_bytes())?;
    }
    Ok(Some(content))
}
