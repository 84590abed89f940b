//! A client that changes things through a hard mount, and believes what is acknowledged: contents by UNSTABLE WRITEs
//! and COMMIT, exclusive creates, renames and removes, each of which must happen once however often it is sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nfs3_types::nfs3::{createhow3, createverf3, nfs_fh3, nfsstat3};

use super::Subject;
use super::gap::Gap;
use super::report::Seen;
use crate::data;
use crate::mount::{Mount, NfsResult};
use crate::poll;
use crate::rpc::Credential;

/// Files that are kept, and looked at again before they go.
const KEPT: usize = 8;
/// Bytes of each.
const FILE_BYTES: usize = 48 << 10;
/// Between two rounds, so that the writer leaves the processors to others.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is known since the last mark.
pub struct Writer {
    gap: Gap,
    seen: Seen,
}

/// One file, acknowledged.
struct Kept {
    number: u64,
    handle: nfs_fh3,
}

impl Writer {
    /// Begins with nothing seen.
    pub fn new() -> Self {
        Self { gap: Gap::new(Instant::now()), seen: Seen::default() }
    }

    /// What was seen since the last mark.
    pub fn mark(&mut self) -> Seen {
        let mut seen = std::mem::take(&mut self.seen);
        (seen.outage, seen.is_out) = self.gap.mark(Instant::now());
        seen
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

/// Works in a folder of its own until the process ends.
pub fn run(subject: &Subject, writer: &Arc<Mutex<Writer>>) {
    let mut mount =
        Mount::new(subject.server, "/export", Credential::root()).unwrap().with_patience(PATIENCE);
    let root = mount.root();
    let folder = mount.mkdir(&root, format!("writer-{}", std::process::id()).as_bytes()).unwrap();
    let mut kept = VecDeque::new();
    for number in 0.. {
        if let Err(what) = round(&mut mount, &folder, number, &mut kept, writer) {
            writer.lock().unwrap().seen.errors.add(format!("round {number}: {what}"));
        }
        poll::pause(PAUSE);
    }
}

fn round(
    mount: &mut Mount,
    folder: &nfs_fh3,
    number: u64,
    kept: &mut VecDeque<Kept>,
    writer: &Mutex<Writer>,
) -> Result<(), String> {
    fn done<T>(result: NfsResult<T>, what: &str, writer: &Mutex<Writer>) -> Result<T, String> {
        let value = result.map_err(|status| format!("{what}: {status:?}"))?;
        let mut writer = writer.lock().unwrap();
        writer.seen.answered += 1;
        writer.gap.answered(Instant::now());
        Ok(value)
    }
    let (made, moved) = (format!("made-{number}"), moved(number));
    let how = createhow3::EXCLUSIVE(createverf3(number.to_be_bytes()));
    let handle = done(mount.create(folder, made.as_bytes(), how), "CREATE", writer)?;
    let bytes = data::bytes(number, FILE_BYTES);
    done(mount.write_durably(&handle, 0, &bytes), "WRITE and COMMIT", writer)?;
    done(mount.rename(folder, made.as_bytes(), folder, moved.as_bytes()), "RENAME", writer)?;
    kept.push_back(Kept { number, handle });
    if kept.len() > KEPT
        && let Some(oldest) = kept.pop_front()
    {
        let name = self::moved(oldest.number);
        let found = done(mount.lookup(folder, name.as_bytes()), "LOOKUP", writer)?;
        if found != oldest.handle {
            return Err(format!("{name} has another handle"));
        }
        let read = done(mount.read(&found), "READ", writer)?;
        if read != data::bytes(oldest.number, FILE_BYTES) {
            return Err(format!("{name} has other contents, {} bytes", read.len()));
        }
        done(mount.remove(folder, name.as_bytes()), "REMOVE", writer)?;
        match mount.lookup(folder, name.as_bytes()) {
            Err(nfsstat3::NFS3ERR_NOENT) => {}
            other => return Err(format!("{name} was removed, and LOOKUP says {other:?}")),
        }
    }
    Ok(())
}

fn moved(number: u64) -> String {
    format!("moved-{number}")
}
