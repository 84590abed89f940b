//! The usage log (SYS-7): a line for each request that was authentic, to be billed and looked at.
//!
//! ```text
//! unix ms TAB customer TAB operation TAB object or - TAB status TAB bytes of the object moved
//! ```
//!
//! [`crate::billing`] sums them up. Lines are on the disk within a second. A log that cannot keep up loses lines and
//! says how many; it holds nobody up.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use protocol::digest::Fingerprint;
use protocol::id::CustomerId;

/// Lines on their way: some seconds of a busy object manager.
const LINES_MAX: usize = 65_536;
/// How soon a line is on the disk.
const SYNC_EVERY: Duration = Duration::from_millis(500);

/// Operations as they stand in a line.
pub const OPERATIONS: [&str; 7] =
    ["no-op", "fetch", "fetch-digests", "fetch-auth", "store", "delete", "control"];

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// Who asked.
    pub customer: CustomerId,
    /// For what: the name of the SRL's operation.
    pub operation: &'static str,
    /// Of which object, where that is known.
    pub object: Option<Fingerprint>,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the object that were asked for or stored.
    pub bytes: u64,
}

impl Usage {
    /// What a line says, without its end; `None` if it is none.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        let at_ms = next()?.parse().ok()?;
        let customer = CustomerId(next()?.parse().ok()?);
        let name = next()?;
        let operation = OPERATIONS.into_iter().find(|known| *known == name)?;
        let object = match next()? {
            "-" => None,
            object => Some(Fingerprint::parse(object)?),
        };
        let (status, bytes) = (next()?.parse().ok()?, next()?.parse().ok()?);
        next().is_none().then_some(Self { at_ms, customer, operation, object, status, bytes })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, customer, operation, object, status, bytes } = self;
        let object = object.map_or("-".to_owned(), |object| object.to_string());
        write!(f, "{at_ms}\t{customer}\t{operation}\t{object}\t{status}\t{bytes}")
    }
}

/// The log. Clones share it; it ends with the last of them, after the last line.
#[derive(Clone, Debug)]
pub struct UsageLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lines: Option<SyncSender<Usage>>,
    lost: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

impl UsageLog {
    /// Appends to the file, which is made if it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (lines, waiting) = sync_channel(LINES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&lost);
        let write = move || {
            if let Err(error) = write_all(file, &waiting, &told) {
                tracing::error!(%error, "the usage log cannot be written any more");
            }
        };
        let writer = std::thread::Builder::new().name("usage-log".to_owned()).spawn(write)?;
        Ok(Self { shared: Arc::new(Shared { lines: Some(lines), lost, writer: Some(writer) }) })
    }

    /// Writes a line, soon.
    pub fn record(&self, usage: Usage) {
        let sent = self.shared.lines.as_ref().map(|lines| lines.try_send(usage));
        if !matches!(sent, Some(Ok(()))) {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the thread has been told already.
            let _ = writer.join();
        }
    }
}

fn write_all(file: File, waiting: &Receiver<Usage>, lost: &AtomicU64) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let (mut synced, mut is_dirty) = (Instant::now(), false);
    loop {
        match waiting.recv_timeout(SYNC_EVERY) {
            Ok(usage) => {
                writeln!(file, "{usage}")?;
                is_dirty = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                file.flush()?;
                return file.get_ref().sync_data();
            }
        }
        if is_dirty && synced.elapsed() >= SYNC_EVERY {
            file.flush()?;
            file.get_ref().sync_data()?;
            (synced, is_dirty) = (Instant::now(), false);
            let lines = lost.swap(0, Ordering::Relaxed);
            if lines > 0 {
                tracing::error!(lines, "lines of the usage log are lost: its disk is too slow");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        at_ms: 1_800_000_000_123,
        customer: CustomerId(7),
        operation: "fetch",
        object: Some(Fingerprint([0xab; 16])),
        status: 206,
        bytes: 42,
    };

    /// SYS-7: what was recorded stands in the file, in order, behind what stood there before.
    #[test]
    fn lines_are_appended_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.log");
        for status in [200, 404] {
            let log = UsageLog::open(&path).unwrap();
            log.record(Usage { status, ..USAGE });
            log.record(Usage { status, object: None, ..USAGE });
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let object = "ab".repeat(16);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("1800000000123\t7\tfetch\t{object}\t200\t42"));
        assert_eq!(lines[1], "1800000000123\t7\tfetch\t-\t200\t42");
        assert!(lines[2].contains("\t404\t") && lines.len() == 4, "{text}");
    }

    /// SYS-7: what is written can be read, and nothing else.
    #[test]
    fn a_line_is_read_as_it_was_written() {
        for operation in OPERATIONS {
            for object in [None, USAGE.object] {
                let usage = Usage { operation, object, ..USAGE };
                assert_eq!(Usage::parse(&usage.to_string()), Some(usage));
            }
        }
        let good = USAGE.to_string();
        for bad in [
            String::new(),
            good[..good.len() - 3].to_owned(),
            format!("{good}\t"),
            format!("{good}x"),
            good.replace("fetch", "fetched"),
            good.replace("abab", "ab"),
            good.replace('\t', " "),
            format!("-{good}"),
        ] {
            assert_eq!(Usage::parse(&bad), None, "{bad}");
        }
    }

    /// SYS-7: a line is in the file within a second, while the log goes on.
    #[test]
    fn a_line_is_there_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("usage.log");
        let log = UsageLog::open(&path).unwrap();
        log.record(USAGE);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::read_to_string(&path).unwrap().is_empty() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
        drop(log);
    }
}
