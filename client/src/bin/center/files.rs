//! The commands for files and folders that move no bytes: ls, stat, mkdir, mv, rm, set.

use std::io::Write;

use client::Center;
use protocol::id::Timestamp;
use protocol::metadata::UnixMetadata;
use protocol::vfs::{Body, Kind, Operation, Row, Target, VfsErrorCode};

use crate::Outcome;
use crate::arguments::Change;
use crate::remote::{self, RemotePath};
use crate::show;

/// How often attributes are tried to be set while others change the row.
const TRIES_MAX: u32 = 5;

pub(crate) async fn list(center: &Center, path: &RemotePath, long: bool) -> Outcome {
    let row = remote::open(center, path).await?;
    let rows = match row.kind() {
        Kind::Folder => remote::entries(center, row.id).await.map_err(|error| path.told(error))?,
        Kind::File => vec![row],
    };
    let line = |row: &Row| match (long, row.kind()) {
        (true, _) => show::line(row),
        (false, Kind::Folder) => format!("{}/", show::name(row)),
        (false, Kind::File) => show::name(row).into_owned(),
    };
    print(rows.iter().map(line))
}

pub(crate) async fn stat(center: &Center, path: &RemotePath) -> Outcome {
    let row = remote::open(center, path).await?;
    let unix = show::unix(&row);
    let mut lines = vec![
        format!("name        {}", show::name(&row)),
        format!("kind        {}", if row.kind() == Kind::Folder { "folder" } else { "file" }),
        format!("id          {}", row.id),
        format!("version     {}", row.version),
    ];
    lines.extend(row.parent.map(|parent| format!("parent      {parent}")));
    match &row.body {
        Body::Folder { subfolders } => lines.push(format!("subfolders  {subfolders}")),
        Body::File { content } => {
            lines.push(format!("size        {}", content.size));
            lines.push(format!("md5         {}", content.fingerprint));
            lines.push(format!("blake3      {}", content.digest));
        }
    }
    lines.push(format!("created     {}", show::time(row.created)));
    lines.push(format!("modified    {}", show::time(row.modified)));
    lines.push(format!("changed     {}", show::time(row.changed)));
    lines.push(format!("mode        {:04o} uid {} gid {}", unix.mode, unix.uid, unix.gid));
    lines.extend(unix.symlink.map(|target| format!("link to     {}", show::plain(&target))));
    print(lines.into_iter())
}

pub(crate) async fn make_folder(center: &Center, path: &RemotePath, parents: bool) -> Outcome {
    let told = |error| path.told(error);
    if !parents {
        let (above, name) = path.parent_and_name()?;
        let parent = remote::resolve(center, &above).await.map_err(told)?.id;
        let create = Operation::CreateFolder { parent, name, metadata: Vec::new() };
        return remote::ask(center, create).await.map(drop).map_err(told);
    }
    let mut row = remote::resolve(center, &[]).await.map_err(told)?;
    for name in path.names()? {
        row = remote::folder(center, row.id, &name).await.map_err(told)?;
        if row.kind() == Kind::File {
            return Err(path.told(format!("`{}` is a file", show::name(&row))));
        }
    }
    Ok(())
}

pub(crate) async fn rename(center: &Center, from: &RemotePath, to: &RemotePath) -> Outcome {
    let (_, name) = from.parent_and_name()?;
    let id = remote::open(center, from).await?.id;
    let (parent, name) = remote::place(center, to, Some(&name)).await?;
    let operation = Operation::Move { target: Target::Id(id), kind: None, parent, name, replace: true };
    remote::ask(center, operation).await.map(drop).map_err(|error| to.told(error))
}

pub(crate) async fn remove(center: &Center, path: &RemotePath, recursive: bool) -> Outcome {
    path.parent_and_name()?;
    let row = remote::open(center, path).await?;
    let operation = Operation::Delete { target: Target::Id(row.id), kind: row.kind(), recursive };
    remote::ask(center, operation).await.map(drop).map_err(|error| path.told(error))
}

/// Changes attributes; again, if somebody else changed the row meanwhile.
pub(crate) async fn set(center: &Center, path: &RemotePath, change: &Change) -> Outcome {
    let mut tries = 0..TRIES_MAX;
    loop {
        let row = remote::open(center, path).await?;
        let mut unix = UnixMetadata::decode(&row.metadata, show::unix(&row).mode)
            .map_err(|error| path.told(format!("{error}; it is left as it is")))?;
        unix.mode = change.mode.unwrap_or(unix.mode);
        unix.uid = change.uid.unwrap_or(unix.uid);
        unix.gid = change.gid.unwrap_or(unix.gid);
        let operation = Operation::Update {
            id: row.id,
            if_version: Some(row.version),
            metadata: Some(unix.encode()),
            modified: change.modified.map(|seconds| Timestamp(seconds.saturating_mul(1_000_000_000))),
            changed: None,
            upload: None,
        };
        match remote::ask(center, operation).await {
            Err(error)
                if error.vfs_code() == Some(VfsErrorCode::VersionMismatch) && tries.next().is_some() => {}
            done => return done.map(drop).map_err(|error| path.told(error)),
        }
    }
}

/// Prints lines; a reader that has seen enough (`center ls | head`) is no error.
pub(crate) fn print(lines: impl Iterator<Item = String>) -> Outcome {
    print_while_read(lines).map(drop)
}

/// Prints lines; whether they are still read.
pub(crate) fn print_while_read(lines: impl Iterator<Item = String>) -> Result<bool, String> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
            written => written.map_err(|error| format!("cannot write the output: {error}"))?,
        }
    }
    Ok(true)
}
