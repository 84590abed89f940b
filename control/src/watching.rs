//! The other end of a watch or a task: reading the lines that a daemon writes for as long as somebody listens.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::message::Request;
use crate::socket::connect;

/// Longest line.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// How long the daemon may take to take the request.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// A connection on which a daemon says what has changed.
#[derive(Debug)]
pub struct Watching {
    stream: BufReader<UnixStream>,
    process: Option<u32>,
}

impl Watching {
    /// Asks the daemon whose state directory this is for the lines of `operation`.
    ///
    /// # Errors
    /// Nobody listens there, or not to this user: try again.
    pub async fn start(state_dir: &Path, operation: &str) -> io::Result<Self> {
        Self::ask(state_dir, &Request::new(operation, Value::Null)).await
    }

    /// The same with a whole request.
    pub(crate) async fn ask(state_dir: &Path, request: &Request) -> io::Result<Self> {
        let mut stream = connect(state_dir).await?;
        let process = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        timeout(REQUEST_TIME, stream.write_all(&line)).await??;
        Ok(Self { stream: BufReader::new(stream), process })
    }

    /// The daemon's process.
    pub fn process(&self) -> Option<u32> {
        self.process
    }

    /// The next line, whenever it comes; `None` once the daemon has ended or sends no more. Dropped, it may lose a part
    /// of a line: begin anew then.
    ///
    /// # Errors
    /// The connection broke, or what came is no line of JSON.
    pub async fn next(&mut self) -> io::Result<Option<Value>> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
        if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&line)?)) }
    }
}
