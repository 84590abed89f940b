//! put: hash, store, then the row; so that a row never stands for bytes that are not there.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use client::{Center, ClientError, Source};
use protocol::digest::{Content, ObjectHasher};
use protocol::id::{ObjectId, Timestamp};
use protocol::metadata::UnixMetadata;
use protocol::name::Name;
use protocol::vfs::{Existing, Kind, Operation, Upload, VfsErrorCode};

use crate::Outcome;
use crate::meter::Meter;
use crate::remote::{self, RemotePath};
use crate::show;

const READ_BYTES: usize = 1 << 20;

pub(crate) async fn put(center: &Center, local: &Path, path: &RemotePath, recursive: bool) -> Outcome {
    let metadata = fs::metadata(local).map_err(|error| told(local, error))?;
    if metadata.is_dir() && !recursive {
        return Err(told(local, "is a folder; give -r to store it with everything in it"));
    }
    let own_name = local.file_name().and_then(|name| Name::new(name.as_bytes()).ok());
    let (parent, name) = remote::place(center, path, own_name.as_ref()).await?;
    if !metadata.is_dir() {
        return put_file(center, local, parent, &name).await;
    }
    let mut folders = vec![(local.to_owned(), parent, name)];
    while let Some((local, parent, name)) = folders.pop() {
        let folder = remote::folder(center, parent, &name).await.map_err(|error| told(&local, error))?;
        if folder.kind() == Kind::File {
            return Err(told(&local, "there is a file of that name at the center; move it away"));
        }
        for (entry, name) in entries(&local)? {
            let kind = fs::symlink_metadata(&entry).map_err(|error| told(&entry, error))?.file_type();
            if kind.is_dir() {
                folders.push((entry, folder.id, name));
            } else if kind.is_symlink() {
                put_link(center, &entry, folder.id, &name).await?;
            } else if kind.is_file() {
                put_file(center, &entry, folder.id, &name).await?;
            } else {
                eprintln!("center: {}", told(&entry, "is neither file nor folder nor link; passed over"));
            }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, Name)>, String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| told(folder, error))? {
        let entry = entry.map_err(|error| told(folder, error))?;
        let name = Name::new(entry.file_name().as_bytes()).map_err(|error| told(&entry.path(), error))?;
        found.push((entry.path(), name));
    }
    found.sort();
    Ok(found)
}

async fn put_file(center: &Center, local: &Path, parent: ObjectId, name: &Name) -> Outcome {
    let (content, metadata) = hash(local).await?;
    let meter = Meter::new(&show::plain(name.as_bytes()), content.size);
    let upload = Upload { content, token: client::new_token() };
    let done = store_and_record(center, local, upload, parent, name, metadata, &meter).await;
    meter.finish();
    if done.is_err() && content.size > 0 {
        // Best effort: without a row, nobody misses the object, and the center collects it some day.
        let _ = center.delete(&content.fingerprint, upload.token).await;
    }
    done.map_err(|error| not_stored(local, &error))
}

/// Why a local file was not stored.
pub(crate) fn not_stored(local: &Path, error: &ClientError) -> String {
    match error {
        ClientError::Refused { code, .. } if code == "digest-mismatch" => {
            told(local, "was changed while it was being stored; try again")
        }
        _ => told(local, error),
    }
}

async fn store_and_record(
    center: &Center,
    local: &Path,
    upload: Upload,
    parent: ObjectId,
    name: &Name,
    metadata: Vec<u8>,
    meter: &Meter,
) -> Result<(), ClientError> {
    let source = metered(local, meter);
    center.store(upload.token, &upload.content, source.clone()).await?;
    match record(center, upload, parent, name, &metadata).await {
        // The reference went away meanwhile (a center restored from a backup): once more.
        Err(error) if error.vfs_code() == Some(VfsErrorCode::NoSuchObject) => {
            center.store(upload.token, &upload.content, source).await?;
            record(center, upload, parent, name, &metadata).await
        }
        recorded => recorded,
    }
}

/// The bytes of a local file, counted as they go.
pub(crate) fn metered(local: &Path, meter: &Meter) -> Source {
    let (counter, starter) = (meter.clone(), meter.clone());
    Source::file(local.to_owned())
        .inspected(move |bytes| counter.add(bytes))
        .on_open(move || starter.restart())
}

/// Makes the file's row, or gives the row that is there the new contents.
async fn record(
    center: &Center,
    upload: Upload,
    parent: ObjectId,
    name: &Name,
    metadata: &[u8],
) -> Result<(), ClientError> {
    let create = Operation::CreateFile {
        parent,
        name: name.clone(),
        metadata: metadata.to_vec(),
        upload: Some(upload),
        existing: Existing::Replace,
    };
    remote::ask(center, create).await.map(drop)
}

/// A symbolic link is a file without contents whose metadata says where it points (PORT-11).
async fn put_link(center: &Center, local: &Path, parent: ObjectId, name: &Name) -> Outcome {
    let target = fs::read_link(local).map_err(|error| told(local, error))?;
    let local_metadata = fs::symlink_metadata(local).map_err(|error| told(local, error))?;
    let mut metadata = unix(&local_metadata);
    metadata.symlink = Some(target.as_os_str().as_bytes().to_vec());
    let upload = Upload { content: Content::EMPTY, token: client::new_token() };
    record(center, upload, parent, name, &metadata.encode()).await.map_err(|error| told(local, error))
}

/// What a local file holds, and its attributes as they stand in a row.
pub(crate) async fn hash(local: &Path) -> Result<(Content, Vec<u8>), String> {
    let path = local.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash_now(&path)).await;
    hashed.map_err(|error| told(local, error))?.map_err(|error| told(local, error))
}

fn hash_now(path: &Path) -> std::io::Result<(Content, Vec<u8>)> {
    let mut file = File::open(path)?;
    let metadata = unix(&file.metadata()?).encode();
    let mut hasher = ObjectHasher::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher.finish().0, metadata)),
            read => hasher.update(&buffer[..read]),
        }
    }
}

fn unix(metadata: &fs::Metadata) -> UnixMetadata {
    let accessed = metadata.atime().saturating_mul(1_000_000_000).saturating_add(metadata.atime_nsec());
    UnixMetadata {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        accessed: Timestamp(accessed),
        symlink: None,
        born: None,
        marks: None,
        create_verifier: None,
    }
}

/// An error about a local file.
pub(crate) fn told(path: &Path, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", path.display())
}
