//! A client with fresh connections: every 4 ms a connection, one call, its answer. Each stands by itself: one that gets
//! no answer holds up no other.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nfs3_types::nfs3::{COMMIT3args, GETATTR3args, NFS_PROGRAM, PROGRAM, VERSION};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Subject;
use super::gap::Gap;
use super::report::Seen;
use crate::rpc::{Connection, Credential};

/// From connection to connection.
const PERIOD: Duration = Duration::from_millis(4);
/// One of so many asks by COMMIT, whose answer tells which server it was.
const IDENTIFY_EVERY: u32 = 5;
/// How long one may take.
const PATIENCE: Duration = Duration::from_millis(600);
/// No reply to these calls is longer.
const REPLY_BYTES_MAX: usize = 1 << 10;
/// Where the status stands in a reply without a verifier of the RPC layer.
const STATUS_AT: usize = 24;

/// What is known since the last mark.
pub struct Fresh {
    gap: Gap,
    seen: Seen,
    verifiers: Verifiers,
}

/// The write verifiers that answered.
#[derive(Default)]
pub struct Verifiers {
    /// In the order in which each came first.
    pub known: Vec<[u8; 8]>,
    last: usize,
    /// How often one came again after another.
    pub turns: u64,
}

/// How one connection ended.
enum End {
    Answered(Option<[u8; 8]>),
    Later,
    Wrong(u32),
    Failed(io::Error),
    Silent,
}

impl Fresh {
    /// Begins with nothing seen.
    pub fn new() -> Self {
        Self { gap: Gap::new(Instant::now()), seen: Seen::default(), verifiers: Verifiers::default() }
    }

    /// What was seen since the last mark; the verifiers since the beginning.
    pub fn mark(&mut self) -> (Seen, &Verifiers) {
        let mut seen = std::mem::take(&mut self.seen);
        (seen.outage, seen.is_out) = self.gap.mark(Instant::now());
        (seen, &self.verifiers)
    }

    fn note(&mut self, end: End) {
        match end {
            End::Answered(verifier) => {
                self.seen.answered += 1;
                self.gap.answered(Instant::now());
                if let Some(verifier) = verifier {
                    self.verifiers.note(verifier);
                }
            }
            End::Later => self.seen.later += 1,
            End::Wrong(status) => self.seen.errors.add(format!("status {status}")),
            End::Silent => self.seen.silent += 1,
            End::Failed(error) if error.kind() == ErrorKind::ConnectionRefused => self.seen.refused += 1,
            End::Failed(_) => self.seen.broken += 1,
        }
    }
}

impl Default for Fresh {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifiers {
    fn note(&mut self, verifier: [u8; 8]) {
        let at = match self.known.iter().position(|known| *known == verifier) {
            Some(at) => at,
            None => {
                self.known.push(verifier);
                self.last = self.known.len() - 1;
                self.last
            }
        };
        if at != self.last {
            self.turns += 1;
            self.last = at;
        }
    }
}

/// Asks until the process ends.
///
/// # Errors
/// If there is no connection to begin with.
pub fn run(subject: &Subject, fresh: &Arc<Mutex<Fresh>>) -> io::Result<()> {
    let connection = Connection::open(subject.server, &Credential::root(), PATIENCE)?;
    let getattr = connection.record(
        0,
        PROGRAM,
        VERSION,
        NFS_PROGRAM::NFSPROC3_GETATTR as u32,
        &GETATTR3args { object: subject.file.clone() },
    );
    let commit = connection.record(
        0,
        PROGRAM,
        VERSION,
        NFS_PROGRAM::NFSPROC3_COMMIT as u32,
        &COMMIT3args { file: subject.file.clone(), offset: 0, count: 0 },
    );
    drop(connection);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for number in 0_u32.. {
            ticks.tick().await;
            let is_commit = number % IDENTIFY_EVERY == 0;
            let mut call = if is_commit { commit.clone() } else { getattr.clone() };
            call[4..8].copy_from_slice(&number.to_be_bytes());
            let (server, fresh) = (subject.server, Arc::clone(fresh));
            tokio::spawn(async move {
                let end = match timeout(PATIENCE, once(server, &call)).await {
                    Ok(Ok(reply)) => judge(&reply, is_commit),
                    Ok(Err(error)) => End::Failed(error),
                    Err(_) => End::Silent,
                };
                fresh.lock().unwrap().note(end);
            });
        }
    });
    Ok(())
}

async fn once(server: SocketAddr, call: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    // A reset in place of TIME_WAIT, or the addresses' 28,000 ports would be used up within two minutes.
    stream.set_zero_linger()?;
    stream.write_all(call).await?;
    let mut mark = [0; 4];
    stream.read_exact(&mut mark).await?;
    let len = (u32::from_be_bytes(mark) & 0x7fff_ffff) as usize;
    if !(STATUS_AT + 4..=REPLY_BYTES_MAX).contains(&len) {
        return Err(io::Error::other(format!("a reply of {len} bytes")));
    }
    let mut reply = vec![0; len];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

fn judge(reply: &[u8], is_commit: bool) -> End {
    let status = u32::from_be_bytes(*reply[STATUS_AT..].first_chunk().expect("was measured"));
    match status {
        0 => End::Answered(is_commit.then(|| *reply.last_chunk().expect("was measured"))),
        10008 => End::Later,
        other => End::Wrong(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_that_comes_again_after_another_is_a_turn() {
        let mut verifiers = Verifiers::default();
        [1, 1, 2, 2, 3].into_iter().for_each(|byte| verifiers.note([byte; 8]));
        assert_eq!((verifiers.known.len(), verifiers.turns), (3, 0));
        [2, 2, 3].into_iter().for_each(|byte| verifiers.note([byte; 8]));
        assert_eq!((verifiers.known.len(), verifiers.turns), (3, 2));
    }
}
