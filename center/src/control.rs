//! A socket by which this machine's administrator asks the running process: one line; the answer is a report whose first
//! line is `ok`, `differs` or `failed`. A comparison may take hours: other questions are answered meanwhile, and another
//! comparison is refused. Of what changes something, one is done after the other.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::host;
use crate::reconcile::{Holders, Mode, reconcile};
use crate::vfs::MetaStore;

/// Longest line of a question.
const QUESTION_BYTES_MAX: u64 = 64;
/// Largest answer: the status of a cluster of a thousand processes fits.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Conversations at once; whoever comes then waits.
const CONVERSATIONS_MAX: usize = 8;
/// How long a question may take to come, and its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a connection could not be accepted.
const AGAIN: Duration = Duration::from_millis(100);

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

/// Answers questions until `stop`.
pub async fn serve(listener: UnixListener, answering: Answering, stop: CancellationToken) {
    let desk = Arc::new(Desk { answering, comparison: Mutex::default(), change: Mutex::default() });
    let mut conversations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = conversations.join_next() => continue,
            accepted = listener.accept(), if conversations.len() < CONVERSATIONS_MAX => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                conversations.spawn(async move {
                    if let Err(error) = desk.converse(stream).await {
                        tracing::debug!(%error, "a question at the control socket was not answered");
                    }
                });
            }
            Err(error) => {
                tracing::warn!("control socket: {error}");
                sleep(AGAIN).await;
            }
        }
    }
}

/// Who answers, and what does not happen twice at once.
struct Desk {
    answering: Answering,
    comparison: Mutex<()>,
    change: Mutex<()>,
}

impl Desk {
    async fn converse(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut line = String::new();
        timeout(PATIENCE, BufReader::new(&mut stream).take(QUESTION_BYTES_MAX).read_line(&mut line))
            .await??;
        let answer = match Question::parse(line.trim_end()) {
            Some(question) => self.answer(question).await,
            None => Answer::failed("unknown question"),
        };
        let verdict = if answer.is_good { "ok" } else { "differs" };
        let text = format!("{verdict}\n{}\n", answer.text);
        timeout(PATIENCE, stream.write_all(text.as_bytes())).await??;
        stream.shutdown().await
    }

    async fn answer(&self, question: Question) -> Answer {
        let _turn = match question {
            Question::Status | Question::Mirror => None,
            Question::Check { .. } => match self.comparison.try_lock() {
                Ok(turn) => Some(turn),
                Err(_) => return Answer::failed("a comparison is under way: wait until it has ended"),
            },
            Question::Drain { .. } | Question::TakeOver { .. } | Question::Forget { .. } => {
                Some(self.change.lock().await)
            }
        };
        (self.answering)(question).await
    }
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

    /// A comparison, and a caller who says nothing, keep nobody from being answered.
    #[tokio::test]
    async fn a_long_comparison_keeps_no_other_question_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let answering: Answering = Arc::new(|question| {
            Box::pin(async move {
                match question {
                    Question::Check { .. } => std::future::pending().await,
                    _ => Answer::done("answered"),
                }
            })
        });
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(bind(&path).unwrap(), answering, stop.clone()));
        let check = Question::Check { mode: Mode::Repair, orphan_grace: None };
        let _silent = UnixStream::connect(&path).await.unwrap();
        let mut comparison = Box::pin(ask(&path, check));
        assert!(timeout(Duration::from_millis(200), &mut comparison).await.is_err());
        let soon = |question| timeout(Duration::from_secs(2), ask(&path, question));
        for question in [Question::Status, Question::Drain { disk: None, on: true }] {
            assert_eq!(soon(question).await.unwrap().unwrap(), Some(Answer::done("answered")));
        }
        let refused = soon(check).await.unwrap().unwrap().unwrap();
        assert!(!refused.is_good && refused.text.contains("under way"), "{refused:?}");
        stop.cancel();
        serving.await.unwrap();
    }

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
