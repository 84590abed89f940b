//! Following: the writer's log is pulled, or a copy of all where the log does not reach back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use protocol::dosp::operations::{
    CopyDirectory, CopyDirectoryIn, CopyDirectoryOut, PullDirectory, PullDirectoryIn,
};
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::Desk;
use super::role::Role;
use crate::cluster::link::AskError;
use crate::vfs::StoreError;

/// Longest time for an answer: longer than one waits for changes.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time for a piece of a copy.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);
/// Pause after a failure, and while a copy is being made.
const PAUSE: Duration = Duration::from_millis(500);

/// Why following stopped for a moment.
#[derive(Debug, Error)]
enum FollowError {
    #[error(transparent)]
    Asking(#[from] AskError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the copy could not be received: {0}")]
    File(#[from] io::Error),
    #[error("the copy is not what the writer made")]
    Spoiled,
}

/// Follows whoever writes, while that is another one.
pub async fn follow(desk: &Desk) {
    let mut role = desk.role();
    loop {
        let followed = |role: &Role| match role {
            Role::Follows(writer) => *writer,
            Role::Writes | Role::Waits => None,
        };
        let Ok(found) = role.wait_for(|role| followed(role).is_some()).await.map(|role| followed(&role))
        else {
            return;
        };
        let Some(writer) = found else { continue };
        if let Err(error) = step(desk, writer).await {
            tracing::debug!(%writer, %error, "the directory is followed later");
            desk.shared.doubt.notify_one();
            let _ = timeout(PAUSE, role.changed()).await;
        }
    }
}

async fn step(desk: &Desk, writer: SocketAddr) -> Result<(), FollowError> {
    let (mirror, links) = (desk.mirror(), desk.shared.view.links());
    let question = mirror.question().await?;
    let pulled = links.ask::<PullDirectory>(writer, &question, PATIENCE).await?;
    if let Some(unknown) = pulled.start_over {
        return start_over(desk, writer, question, unknown).await;
    }
    if pulled.entries.is_empty() && pulled.generations.is_empty() {
        return Ok(());
    }
    mirror.take(pulled).await?;
    if mirror.is_writer() {
        // Handed over: the last writer answers its last changes when it hears that they are here.
        let question = mirror.question().await?;
        let _ = links.ask::<PullDirectory>(writer, &question, PATIENCE).await;
    }
    Ok(())
}

async fn start_over(
    desk: &Desk,
    writer: SocketAddr,
    question: PullDirectoryIn,
    unknown: u64,
) -> Result<(), FollowError> {
    let mirror = desk.mirror();
    tracing::info!(%writer, "the directory is copied from the storage center that writes");
    let copy = receive(desk, writer, &question).await?;
    // What was there before the first copy is no mirror's.
    let is_new = question.generation.number == 0;
    let keep = unknown > 0 || is_new && mirror.has_customers().await?;
    let kept = mirror.restore(copy.clone(), keep).await?;
    if let Some(kept) = kept {
        let lost =
            if is_new || unknown == u64::MAX { "an unknown number".to_owned() } else { unknown.to_string() };
        tracing::error!(
            lost, kept = %kept.display(),
            "changes of this storage center were never seen by the one that took over, and are not in the directory any \
             more: look at the database that was kept"
        );
    }
    tracing::info!(%writer, "the directory is that of the storage center that writes");
    // It is in the database; a file that stays is overwritten by the next copy.
    let _ = fs::remove_file(copy);
    Ok(())
}

async fn receive(
    desk: &Desk,
    writer: SocketAddr,
    question: &PullDirectoryIn,
) -> Result<PathBuf, FollowError> {
    let path = desk.mirror().receiving();
    let mut file =
        OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(&path)?;
    let (mut copy, mut offset) = (0, 0);
    loop {
        let asked =
            CopyDirectoryIn { center: question.center.clone(), schema: question.schema, copy, offset };
        let piece = desk.shared.view.links().ask::<CopyDirectory>(writer, &asked, PIECE_PATIENCE).await?;
        copy = piece.copy;
        let CopyDirectoryOut { length, digest, bytes, .. } = piece;
        if length == 0 {
            sleep(PAUSE).await;
            continue;
        }
        if bytes.is_empty() && offset < length {
            return Err(FollowError::Spoiled);
        }
        offset += bytes.len() as u64;
        let writing = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file));
        file = writing.await.map_err(io::Error::other)??;
        if offset >= length {
            let checked = path.clone();
            let digesting = tokio::task::spawn_blocking(move || {
                Ok::<_, io::Error>(blake3::Hasher::new().update_reader(File::open(checked)?)?.finalize())
            });
            let is_whole = digesting.await.map_err(io::Error::other)?? == digest;
            return if is_whole { Ok(path) } else { Err(FollowError::Spoiled) };
        }
    }
}
