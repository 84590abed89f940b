//! The socket under the control protocol: binding it, serving it, asking through it.
//!
//! Bounded in all that somebody could make grow: the length of a line, the connections at once, and the time each may
//! take. Callers who may not ask are turned away, also in the moment before the socket has its mode.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::message::{Outcome, Reply, Request, VERSION};
use crate::watching::Watching;
use crate::{Lines, Operations, Response};

/// The socket's name in the state directory.
const NAME: &str = "control";
/// Longest request: a list of some forty thousand paths.
pub const REQUEST_BYTES_MAX: u64 = 4 << 20;
/// Longest answer: a thousand exports take a tenth of it.
const REPLY_BYTES_MAX: u64 = 4 << 20;
/// Requests at once; others wait to be accepted.
const CONNECTIONS_MAX: usize = 8;
/// Watches at once, beside the requests: one for the judge, one for who looks on.
const WATCHES_MAX: usize = 2;
/// Tasks at once, beside both. What costs more than a place is the task's own matter.
const TASKS_MAX: usize = 4;
/// How long a request may take to arrive, and an answer to be taken.
const TRANSFER_TIME: Duration = Duration::from_secs(5);
/// How long a caller waits for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Why the running daemon gave no answer. One line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error(
        "no {daemon} runs with the state directory {state_dir}: \
         start it, or name the configuration it was started with"
    )]
    NotRunning {
        /// Who was asked.
        daemon: &'static str,
        /// Where.
        state_dir: PathBuf,
    },
    /// Not the user to ask.
    #[error("cannot ask the {0}: {1}; run this as its own user or as root")]
    Denied(&'static str, io::Error),
    /// The socket broke, or the daemon is stuck.
    #[error("the {0} gave no answer: {1}; see its log")]
    Broken(&'static str, io::Error),
    /// It answered that it did not do it.
    #[error("{0}")]
    Refused(String),
}

impl AskError {
    /// What it means that the socket in `state_dir` did not serve.
    fn of(daemon: &'static str, state_dir: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                Self::NotRunning { daemon, state_dir: state_dir.to_owned() }
            }
            io::ErrorKind::PermissionDenied => Self::Denied(daemon, error),
            _ => Self::Broken(daemon, error),
        }
    }
}

/// Room for those who listen for long.
struct Places {
    watches: Semaphore,
    tasks: Semaphore,
}

/// The folder of the socket, open. A socket's address has room for about 100 bytes of path, and a state directory may be
/// deeper, so it is reached through the open folder.
struct Folder(fs::File);

impl Folder {
    fn open(state_dir: &Path) -> io::Result<Self> {
        fs::File::open(state_dir).map(Self)
    }

    fn socket(&self) -> PathBuf {
        format!("/proc/self/fd/{}/{NAME}", self.0.as_raw_fd()).into()
    }
}

/// Set-group-id: on a directory, that what is made in it is of its group.
const SET_GROUP_ID: u32 = 0o2000;

/// The group that may ask beside the daemon's own user: that of a state directory with the bit set-group-id. By any other
/// directory's group nothing was meant.
fn trusted_group(state_dir: &Path) -> io::Result<Option<u32>> {
    let metadata = fs::metadata(state_dir)?;
    Ok((metadata.permissions().mode() & SET_GROUP_ID != 0).then(|| metadata.gid()))
}

/// The socket of a daemon that listens, and who may ask it.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    group: Option<u32>,
}

impl ControlSocket {
    fn admits(&self, user: u32, group: u32) -> bool {
        user == 0 || user == rustix::process::geteuid().as_raw() || self.group == Some(group)
    }
}

/// Listens in a state directory that this process has locked: a socket found there is that of a port that is no more.
/// Where the directory has the bit set-group-id its group may ask, too: a judge that runs as a user of its own.
///
/// # Errors
/// Of the directory's disk.
pub fn bind(state_dir: &Path) -> io::Result<ControlSocket> {
    let path = state_dir.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(Folder::open(state_dir)?.socket())?;
    let group = trusted_group(state_dir)?;
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(ControlSocket { listener, group })
}

/// Answers until the task is dropped.
pub async fn serve(socket: ControlSocket, operations: Arc<Operations>) {
    serve_within(TRANSFER_TIME, socket, operations).await;
}

async fn serve_within(transfer_time: Duration, socket: ControlSocket, operations: Arc<Operations>) {
    let socket = Arc::new(socket);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let places = Arc::new(Places { watches: Semaphore::new(WATCHES_MAX), tasks: Semaphore::new(TASKS_MAX) });
    let mut conversations = JoinSet::new();
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        while conversations.try_join_next().is_some() {}
        match socket.listener.accept().await {
            Ok((stream, _)) => {
                let (operations, places) = (Arc::clone(&operations), Arc::clone(&places));
                let asked = Arc::clone(&socket);
                conversations.spawn(async move {
                    if let Err(error) =
                        converse(&asked, stream, &operations, &places, slot, transfer_time).await
                    {
                        tracing::debug!("a request at the control socket was not answered: {error}");
                    }
                });
            }
            Err(error) => {
                tracing::warn!("control socket: {error}");
                tokio::time::sleep(transfer_time).await;
            }
        }
    }
}

async fn converse(
    socket: &ControlSocket,
    mut stream: UnixStream,
    operations: &Operations,
    places: &Places,
    slot: OwnedSemaphorePermit,
    transfer_time: Duration,
) -> io::Result<()> {
    let caller = stream.peer_cred()?;
    if !socket.admits(caller.uid(), caller.gid()) {
        let denied = format!("user {} may not ask", caller.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, denied));
    }
    let mut line = Vec::new();
    let mut limited = BufReader::new(&mut stream).take(REQUEST_BYTES_MAX);
    timeout(transfer_time, limited.read_until(b'\n', &mut line)).await??;
    let response = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => operations.answer(request).await,
        Err(error) => Response::Reply(Reply::refused(format!(
            "not a request of one line and at most {REQUEST_BYTES_MAX} bytes, such as \
             {{\"version\":{VERSION},\"operation\":\"status\"}}: {error}"
        ))),
    };
    let (lines, room, full) = match response {
        Response::Reply(reply) => {
            write_line(&mut stream, &reply, transfer_time).await?;
            return stream.shutdown().await;
        }
        Response::Watch(lines) => (lines, &places.watches, format!("{WATCHES_MAX} watch")),
        Response::Task(lines) => (lines, &places.tasks, format!("{TASKS_MAX} tasks are done")),
    };
    if let Ok(_place) = room.try_acquire() {
        drop(slot);
        return tell(stream, lines, transfer_time).await;
    }
    let reply = Reply::refused(format!("{full} already: there is no room for another"));
    write_line(&mut stream, &reply, transfer_time).await?;
    stream.shutdown().await
}

/// Sends lines as they come, until the listener hangs up or does not take one in time.
async fn tell(mut stream: UnixStream, mut lines: Lines, transfer_time: Duration) -> io::Result<()> {
    let mut nothing = [0];
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            // He has nothing more to say: whatever comes is his end.
            _ = stream.read(&mut nothing) => return Ok(()),
        };
        match line {
            Some(line) => write_line(&mut stream, &line, transfer_time).await?,
            None => return stream.shutdown().await,
        }
    }
}

async fn write_line(
    stream: &mut UnixStream,
    line: &impl serde::Serialize,
    transfer_time: Duration,
) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    timeout(transfer_time, stream.write_all(&text)).await?
}

/// Asks the daemon whose state directory this is; errors call it `daemon`.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(
    daemon: &'static str,
    state_dir: &Path,
    request: &Request,
) -> Result<serde_json::Value, AskError> {
    let reply = timeout(ANSWER_TIME, exchange(state_dir, request)).await;
    match reply.unwrap_or_else(|late| Err(late.into())) {
        Ok(Reply { outcome: Outcome::Result(value), .. }) => Ok(value),
        Ok(Reply { outcome: Outcome::Error(why), .. }) => Err(AskError::Refused(why)),
        Err(error) => Err(AskError::of(daemon, state_dir, error)),
    }
}

/// Has the daemon whose state directory this is do a task, and hands each of its lines to `take` as it comes, until the
/// last. Dropped, it ends the task.
///
/// # Errors
/// See [`AskError`].
pub async fn have_done(
    daemon: &'static str,
    state_dir: &Path,
    request: &Request,
    mut take: impl FnMut(serde_json::Value),
) -> Result<(), AskError> {
    let failed = |error| AskError::of(daemon, state_dir, error);
    let mut watching = Watching::ask(state_dir, request).await.map_err(failed)?;
    while let Some(line) = watching.next().await.map_err(failed)? {
        match serde_json::from_value(line.clone()) {
            // No line of a task has a version.
            Ok(Reply { outcome: Outcome::Error(why), .. }) => return Err(AskError::Refused(why)),
            _ => take(line),
        }
    }
    Ok(())
}

pub(crate) async fn connect(state_dir: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Folder::open(state_dir)?.socket()).await
}

async fn exchange(state_dir: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = connect(state_dir).await?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(REPLY_BYTES_MAX).read_until(b'\n', &mut answer).await?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&answer)?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    struct Served {
        dir: tempfile::TempDir,
        task: tokio::task::JoinHandle<()>,
    }

    fn start() -> Served {
        start_within(TRANSFER_TIME)
    }

    fn start_within(transfer_time: Duration) -> Served {
        let dir = tempfile::tempdir().unwrap();
        let mut operations = Operations::default();
        operations.add("echo", |arguments: Value| async move { Ok(arguments) });
        operations.add("fail", |_| async { Err("it is broken: mend it".to_owned()) });
        let task = tokio::spawn(serve_within(transfer_time, bind(dir.path()).unwrap(), Arc::new(operations)));
        Served { dir, task }
    }

    async fn raw(dir: &Path, line: &[u8]) -> String {
        let mut stream = UnixStream::connect(dir.join(NAME)).await.unwrap();
        stream.write_all(line).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// PORT-18: a judge that runs as a user of its own may ask, where the administrator said so, and nobody else.
    #[tokio::test]
    async fn a_group_may_ask_where_the_directory_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let stranger = rustix::process::geteuid().as_raw() + 4242;
        let group = fs::metadata(dir.path()).unwrap().gid();
        let plain = bind(dir.path()).unwrap();
        assert!(
            !plain.admits(stranger, group) && plain.admits(stranger - 4242, group + 1) && plain.admits(0, 1)
        );
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2750)).unwrap();
        let shared = bind(dir.path()).unwrap();
        assert!(shared.admits(stranger, group) && !shared.admits(stranger, group + 1));
        let metadata = fs::metadata(dir.path().join(NAME)).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o7777, metadata.gid()), (0o660, group));
    }

    #[tokio::test]
    async fn operations_are_answered_or_refused_in_one_line() {
        let served = start();
        let dir = served.dir.path();
        let arguments = json!({"list": [1, "two\nlines"]});
        assert_eq!(
            ask("storage port", dir, &Request::new("echo", arguments.clone())).await.unwrap(),
            arguments
        );
        let refused = async |request| ask("storage port", dir, &request).await.unwrap_err().to_string();
        assert_eq!(refused(Request::new("fail", Value::Null)).await, "it is broken: mend it");
        let unknown = refused(Request::new("fly", Value::Null)).await;
        assert!(unknown.contains("`fly`") && unknown.contains("echo, fail"), "{unknown}");
        let newer = refused(Request { version: 2, ..Request::new("echo", Value::Null) }).await;
        assert!(newer.contains("version 1"), "{newer}");
        let mode = fs::metadata(dir.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        served.task.abort();
    }

    /// A task is begun with its arguments, tells its lines, and ends with its caller.
    #[tokio::test]
    async fn a_task_is_done_while_its_caller_listens() {
        let dir = tempfile::tempdir().unwrap();
        let gone = Arc::new(tokio::sync::Notify::new());
        let ended = Arc::clone(&gone);
        let mut operations = Operations::default();
        operations.add_task("count", move |to: Value| {
            let to = to.as_u64().ok_or("to where?")?;
            Ok(futures::stream::iter(0..to).map(|number| json!({ "number": number })).boxed())
        });
        operations.add_task("wait", move |_| {
            struct Ended(Arc<tokio::sync::Notify>);
            impl Drop for Ended {
                fn drop(&mut self) {
                    self.0.notify_one();
                }
            }
            let ended = Ended(Arc::clone(&ended));
            let first = futures::stream::iter([json!({ "begun": true })]);
            let never = futures::stream::pending().map(move |line| {
                let _ = &ended;
                line
            });
            Ok(first.chain(never).boxed())
        });
        let task = tokio::spawn(serve(bind(dir.path()).unwrap(), Arc::new(operations)));
        let mut lines = Vec::new();
        let request = Request::new("count", json!(3));
        have_done("port", dir.path(), &request, |line| lines.push(line)).await.unwrap();
        assert_eq!(lines, [json!({"number": 0}), json!({"number": 1}), json!({"number": 2})]);
        let refused = have_done("port", dir.path(), &Request::new("count", Value::Null), |_| ()).await;
        assert_eq!(refused.unwrap_err().to_string(), "to where?");

        let begun = tokio::sync::Notify::new();
        let request = Request::new("wait", Value::Null);
        tokio::select! {
            ended = have_done("port", dir.path(), &request, |_| begun.notify_one()) => panic!("{ended:?}"),
            () = begun.notified() => {}
        }
        timeout(Duration::from_secs(20), gone.notified()).await.expect("the task ends with its caller");
        task.abort();
    }

    #[tokio::test]
    async fn nonsense_is_refused_and_a_line_has_a_bound() {
        let served = start();
        for line in [&b"\n"[..], b"status\n", b"{\"version\":1}\n", b"\xff\xfe\n"] {
            let answer = raw(served.dir.path(), line).await;
            assert!(answer.contains("\"error\"") && answer.ends_with('\n'), "{answer}");
        }
        let mut stream = UnixStream::connect(served.dir.path().join(NAME)).await.unwrap();
        // More than a line may have, and never an end: answered without being read whole.
        let _ = stream.write_all(&vec![b'x'; REQUEST_BYTES_MAX as usize]).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("one line"), "{answer}");
        served.task.abort();
    }

    #[tokio::test]
    async fn silent_callers_are_ended_and_hold_up_nobody_for_long() {
        let served = start_within(Duration::from_millis(50));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(UnixStream::connect(served.dir.path().join(NAME)).await.unwrap());
        }
        let value = ask("storage port", served.dir.path(), &Request::new("echo", json!(7))).await.unwrap();
        assert_eq!(value, json!(7), "after the silent ones have had their time");
        served.task.abort();
    }

    #[tokio::test]
    async fn a_dead_daemons_socket_is_replaced_and_a_missing_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let request = Request::new("echo", Value::Null);
        let missing = ask("storage port", dir.path(), &request).await.unwrap_err();
        assert!(matches!(missing, AskError::NotRunning { .. }), "{missing}");
        drop(bind(dir.path()).unwrap());
        let dead = ask("storage port", dir.path(), &request).await.unwrap_err();
        assert!(matches!(dead, AskError::NotRunning { .. }), "{dead}");
        bind(dir.path()).unwrap();
    }

    #[tokio::test]
    async fn a_state_directory_may_be_deep() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        let mut operations = Operations::default();
        operations.add("echo", |arguments: Value| async move { Ok(arguments) });
        let task = tokio::spawn(serve(bind(&deep).unwrap(), Arc::new(operations)));
        assert_eq!(ask("storage port", &deep, &Request::new("echo", json!(1))).await.unwrap(), json!(1));
        task.abort();
    }
}
