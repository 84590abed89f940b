//! A socket by which this machine's administrator asks the running process: `check` and `check repair`, one line
//! each; the answer is a report whose first word is `ok`, `differs` or `failed`.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::host;
use crate::isn::Isn;
use crate::reconcile::{Mode, reconcile};
use crate::vfs::MetaStore;

/// Longest line of a question.
const QUESTION_BYTES_MAX: u64 = 64;
/// Largest answer.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Rows and references are the same.
    pub agrees: bool,
    /// The report, or why there is none.
    pub text: String,
}

/// Compares now, and says how it went.
pub async fn check(vfs: &MetaStore, isn: &Isn, mode: Mode) -> Answer {
    match reconcile(vfs, isn, mode, host::now_seconds()).await {
        Ok(report) => Answer { agrees: report.agrees(mode), text: report.to_string() },
        Err(reason) => Answer { agrees: false, text: format!("the comparison failed: {reason}") },
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
pub async fn serve(listener: UnixListener, vfs: MetaStore, isn: Isn, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        if let Some(Err(error)) = stop.run_until_cancelled(converse(stream, &vfs, &isn)).await {
            tracing::debug!(%error, "a question at the control socket was not answered");
        }
    }
}

async fn converse(mut stream: UnixStream, vfs: &MetaStore, isn: &Isn) -> io::Result<()> {
    let mut question = String::new();
    BufReader::new(&mut stream).take(QUESTION_BYTES_MAX).read_line(&mut question).await?;
    let answer = match question.trim_end() {
        "check" => check(vfs, isn, Mode::Compare).await,
        "check repair" => check(vfs, isn, Mode::Repair).await,
        _ => Answer { agrees: false, text: "unknown question".to_string() },
    };
    let verdict = if answer.agrees { "ok" } else { "differs" };
    stream.write_all(format!("{verdict}\n{}\n", answer.text).as_bytes()).await?;
    stream.shutdown().await
}

/// Asks the running process; `None` if there is none.
pub async fn ask(path: &Path, mode: Mode) -> io::Result<Option<Answer>> {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let question = match mode {
        Mode::Compare => "check\n",
        Mode::Repair => "check repair\n",
    };
    stream.write_all(question.as_bytes()).await?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text).await?;
    let (verdict, report) = text.split_once('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Some(Answer { agrees: verdict == "ok", text: report.trim_end().to_string() }))
}
