//! get: verified bytes into a temporary file beside the place, then its name; never half a file under that name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use client::Center;
use futures::stream::StreamExt;
use protocol::digest::{Content, DigestMismatch, ObjectHasher};
use protocol::vfs::{Body, Kind, Row};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::Outcome;
use crate::meter::Meter;
use crate::remote::{self, RemotePath};
use crate::show;

/// Only the rights to read, write and execute: a stranger's file gets no set-user-id bit here.
const MODE_MASK: u32 = 0o777;

pub(crate) async fn get(center: &Center, path: &RemotePath, local: &Path, recursive: bool) -> Outcome {
    let row = remote::open(center, path).await?;
    if row.kind() == Kind::Folder && !recursive {
        return Err(path.told("is a folder; give -r to fetch it with everything in it"));
    }
    let place = match &row.name {
        Some(name) if local.is_dir() => local.join(OsStr::from_bytes(name.as_bytes())),
        _ => local.to_owned(),
    };
    let mut rows = vec![(row, place)];
    while let Some((row, place)) = rows.pop() {
        match &row.body {
            Body::File { content } => get_file(center, &row, content, &place).await?,
            Body::Folder { .. } => {
                make_folder(&place)?;
                let entries = remote::entries(center, row.id).await.map_err(|error| told(&place, error))?;
                // A stack: the first entry is to be the next.
                for entry in entries.into_iter().rev() {
                    let Some(name) = &entry.name else { continue };
                    let below = place.join(OsStr::from_bytes(name.as_bytes()));
                    rows.push((entry, below));
                }
            }
        }
    }
    Ok(())
}

/// A folder that is there is fine; a link to one is not: it might lead out of the tree that is being written.
fn make_folder(place: &Path) -> Outcome {
    match fs::create_dir(place) {
        Ok(()) => Ok(()),
        Err(_) if fs::symlink_metadata(place).is_ok_and(|there| there.is_dir()) => Ok(()),
        Err(error) => Err(told(place, error)),
    }
}

async fn get_file(center: &Center, row: &Row, content: &Content, place: &Path) -> Outcome {
    let unix = show::unix(row);
    let temporary = temporary_beside(place);
    let written = match &unix.symlink {
        Some(target) => symlink(OsStr::from_bytes(target), &temporary).map_err(|error| told(place, error)),
        None => write(center, row, content, &temporary, unix.mode & MODE_MASK).await,
    };
    let finished = written.and_then(|()| fs::rename(&temporary, place).map_err(|error| told(place, error)));
    if finished.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    finished
}

async fn write(center: &Center, row: &Row, content: &Content, temporary: &Path, mode: u32) -> Outcome {
    let told = |why: &dyn std::fmt::Display| told(temporary, why);
    let mut file = File::create_new(temporary).await.map_err(|error| told(&error))?;
    let meter = Meter::new(&show::name(row), content.size);
    let mut pieces = std::pin::pin!(center.fetch(content));
    let mut hasher = ObjectHasher::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| format!("{}: {error}", show::name(row)))?;
        // The blocks are verified; this also checks the name that they go by.
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(|error| told(&error))?;
        meter.add(piece.len());
    }
    meter.finish();
    if hasher.finish().0 != *content {
        return Err(format!("{}: {DigestMismatch}", show::name(row)));
    }
    file.set_permissions(fs::Permissions::from_mode(mode)).await.map_err(|error| told(&error))?;
    file.sync_all().await.map_err(|error| told(&error))
}

/// A hidden name in the same folder that nobody else uses, short enough for any file system.
fn temporary_beside(place: &Path) -> PathBuf {
    place.with_file_name(format!(".center-{}.part", client::new_token()))
}

fn told(path: &Path, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}
