//! get: verified bytes into a temporary file beside the place, then its name; never half a file under that name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use client::{Center, ClientError, Found};
use futures::stream::{Stream, StreamExt};
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
    if let Some(target) = &unix.symlink {
        let temporary = temporary_beside(place);
        let made = symlink(OsStr::from_bytes(target), &temporary).map_err(|error| told(place, error));
        return put_in_place(made, &temporary, place);
    }
    let permissions = fs::Permissions::from_mode(unix.mode & MODE_MASK);
    save(center.fetch(content), &show::name(row), found(content), place, Some(permissions)).await
}

/// What must come of this content.
pub(crate) fn found(content: &Content) -> Found {
    Found { fingerprint: content.fingerprint, size: content.size }
}

/// Writes what comes into a file at `place`, where it appears when it is all there and has the MD5 it goes by.
pub(crate) async fn save(
    pieces: impl Stream<Item = Result<Bytes, ClientError>>,
    name: &str,
    found: Found,
    place: &Path,
    permissions: Option<fs::Permissions>,
) -> Outcome {
    let temporary = temporary_beside(place);
    let written = write(pieces, name, found, &temporary, permissions).await;
    put_in_place(written, &temporary, place)
}

fn put_in_place(made: Outcome, temporary: &Path, place: &Path) -> Outcome {
    let finished = made.and_then(|()| fs::rename(temporary, place).map_err(|error| told(place, error)));
    if finished.is_err() {
        let _ = fs::remove_file(temporary);
    }
    finished
}

async fn write(
    pieces: impl Stream<Item = Result<Bytes, ClientError>>,
    name: &str,
    found: Found,
    temporary: &Path,
    permissions: Option<fs::Permissions>,
) -> Outcome {
    let told = |why: &dyn std::fmt::Display| told(temporary, why);
    let mut file = File::create_new(temporary).await.map_err(|error| told(&error))?;
    let meter = Meter::new(name, found.size);
    let mut pieces = std::pin::pin!(pieces);
    let mut hasher = ObjectHasher::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| format!("{name}: {error}"))?;
        hasher.update(&piece);
        file.write_all(&piece).await.map_err(|error| told(&error))?;
        meter.add(piece.len());
    }
    meter.finish();
    if hasher.finish().0.fingerprint != found.fingerprint {
        return Err(format!("{name}: {DigestMismatch}"));
    }
    if let Some(permissions) = permissions {
        file.set_permissions(permissions).await.map_err(|error| told(&error))?;
    }
    file.sync_all().await.map_err(|error| told(&error))
}

/// A hidden name in the same folder that nobody else uses, short enough for any file system.
fn temporary_beside(place: &Path) -> PathBuf {
    place.with_file_name(format!(".center-{}.part", client::new_token()))
}

fn told(path: &Path, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}
