//! A socket by which this machine's administrator asks the running process: one line; the answer is a report whose first
//! line is `ok`, `differs` or `failed`.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::host;
use crate::reconcile::{Holders, Mode, reconcile};
use crate::vfs::MetaStore;

/// Longest line of a question.
const QUESTION_BYTES_MAX: u64 = 64;
/// Largest answer: the status of a cluster of a thousand processes fits.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Compare rows and references.
    Check {
        /// Whether to mend what is found.
        mode: Mode,
        /// Seconds for which a reference without a row is kept; `None` as configured.
        orphan_grace: Option<u64>,
    },
    /// The cluster as this process sees it, as JSON.
    Status,
    /// Begin, or end, to move away what a disk or the node holds.
    Drain {
        /// Which disk; `None` for all.
        disk: Option<u32>,
        /// Begin, or else end.
        on: bool,
    },
    /// The mirrored directory as this process sees it, as JSON.
    Mirror,
    /// Make this storage center the one that changes the directory.
    TakeOver {
        /// Also without the one that does now.
        force: bool,
    },
    /// Take a node out of the cluster for good.
    Forget {
        /// Which.
        node: u32,
    },
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check { mode, orphan_grace } => {
                f.write_str(if *mode == Mode::Repair { "check repair" } else { "check" })?;
                orphan_grace.map_or(Ok(()), |seconds| write!(f, " {seconds}"))
            }
            Self::Status => write!(f, "status"),
            Self::Drain { disk, on } => {
                f.write_str(if *on { "drain" } else { "undrain" })?;
                disk.map_or(Ok(()), |disk| write!(f, " {disk}"))
            }
            Self::Mirror => write!(f, "mirror"),
            Self::TakeOver { force } => f.write_str(if *force { "takeover force" } else { "takeover" }),
            Self::Forget { node } => write!(f, "forget {node}"),
        }
    }
}

impl Question {
    fn parse(line: &str) -> Option<Self> {
        let drain = |on, disk: &str| Some(Self::Drain { disk: Some(disk.parse().ok()?), on });
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["check"] => Some(Self::Check { mode: Mode::Compare, orphan_grace: None }),
            ["check", "repair"] => Some(Self::Check { mode: Mode::Repair, orphan_grace: None }),
            ["check", "repair", seconds] => {
                Some(Self::Check { mode: Mode::Repair, orphan_grace: Some(seconds.parse().ok()?) })
            }
            ["status"] => Some(Self::Status),
            ["drain"] => Some(Self::Drain { disk: None, on: true }),
            ["undrain"] => Some(Self::Drain { disk: None, on: false }),
            ["drain", disk] => drain(true, disk),
            ["undrain", disk] => drain(false, disk),
            ["mirror"] => Some(Self::Mirror),
            ["takeover"] => Some(Self::TakeOver { force: false }),
            ["takeover", "force"] => Some(Self::TakeOver { force: true }),
            ["forget", node] => Some(Self::Forget { node: node.parse().ok()? }),
            _ => None,
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// It is as it should be, or was done.
    pub is_good: bool,
    /// The report, or why there is none.
    pub text: String,
}

impl Answer {
    /// Why it was not done.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { is_good: false, text: reason.into() }
    }

    /// Done.
    pub fn done(text: impl Into<String>) -> Self {
        Self { is_good: true, text: text.into() }
    }
}

/// Whoever answers.
pub type Answering = Arc<dyn Fn(Question) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Compares now, and says how it went.
pub async fn check<H: Holders>(vfs: &MetaStore, holders: &H, mode: Mode, orphan_grace: u64) -> Answer {
    match reconcile(vfs, holders, mode, orphan_grace, host::now_seconds()).await {
        Ok(report) => Answer { is_good: report.agrees(mode), text: report.to_string() },
        Err(reason) => Answer::failed(format!("the comparison failed: {reason}")),
    }
}

/// Listens at `path`, open to the process's own user alone.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    // A socket left by an earlier process; that no process lives there any more is known from the disks' locks.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers questions, one after the other, until `stop`.
pub async fn serve(listener: UnixListener, answering: Answering, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        if let Some(Err(error)) = stop.run_until_cancelled(converse(stream, &answering)).await {
            tracing::debug!(%error, "a question at the control socket was not answered");
        }
    }
}

async fn converse(mut stream: UnixStream, answering: &Answering) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(&mut stream).take(QUESTION_BYTES_MAX).read_line(&mut line).await?;
    let answer = match Question::parse(line.trim_end()) {
        Some(question) => answering(question).await,
        None => Answer::failed("unknown question"),
    };
    let verdict = if answer.is_good { "ok" } else { "differs" };
    stream.write_all(format!("{verdict}\n{}\n", answer.text).as_bytes()).await?;
    stream.shutdown().await
}

/// Asks the running process; `None` if there is none.
pub async fn ask(path: &Path, question: Question) -> io::Result<Option<Answer>> {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text).await?;
    let (verdict, report) = text.split_once('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Some(Answer { is_good: verdict == "ok", text: report.trim_end().to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_written() {
        for question in [
            Question::Check { mode: Mode::Compare, orphan_grace: None },
            Question::Check { mode: Mode::Repair, orphan_grace: None },
            Question::Check { mode: Mode::Repair, orphan_grace: Some(60) },
            Question::Status,
            Question::Drain { disk: None, on: true },
            Question::Drain { disk: Some(3), on: false },
            Question::Mirror,
            Question::TakeOver { force: false },
            Question::TakeOver { force: true },
            Question::Forget { node: 7 },
        ] {
            assert_eq!(Question::parse(&question.to_string()), Some(question));
        }
        for wrong in ["", "chek", "check repair x", "drain x", "forget", "status now"] {
            assert_eq!(Question::parse(wrong), None, "{wrong}");
        }
    }
}
