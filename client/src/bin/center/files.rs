//! The commands that move no bytes: ls, stat, mkdir, mv, rm, srl.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use client::Center;
use protocol::srl::SrlVersion;
use protocol::vfs::{Body, Kind, Operation, Row, Target};

use crate::Outcome;
use crate::remote::{self, RemotePath};
use crate::show;

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

pub(crate) async fn srl(center: &Center, path: &RemotePath, expires_in: u64) -> Outcome {
    let row = remote::open(center, path).await?;
    let (Body::File { content }, Some(name)) = (&row.body, &row.name) else {
        return Err(path.told("a folder has no URL to fetch it by; name a file"));
    };
    let expires = if expires_in == 0 { 0 } else { now().saturating_add(expires_in) };
    let url = center.download_url(content, name.as_bytes(), expires, SrlVersion::Md5);
    print(std::iter::once(url))
}

#[allow(clippy::disallowed_methods, reason = "an SRL expires by the wall clock, and this is the shell")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Prints lines; a reader that has seen enough (`center ls | head`) is no error.
fn print(lines: impl Iterator<Item = String>) -> Outcome {
    let mut out = std::io::stdout().lock();
    for line in lines {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| format!("cannot write the output: {error}"))?,
        }
    }
    Ok(())
}
