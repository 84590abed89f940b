//! Looking at one disk: by writing to it, and by what the kernel and the device say. A shell.
//!
//! A probe that hangs hangs its own thread alone. How long it has been on its way is seen from outside.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise, statvfs};

use super::sample::DiskSample;

/// The file that is written; it stays.
const NAME: &str = ".port-failover-probe";
/// Enough for a page of any disk.
const PROBE_BYTES: usize = 4096;

/// When the probe that is on its way began.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending(Arc<Mutex<Option<Instant>>>);

impl Pending {
    /// For how long one has been on its way at `now`.
    pub(super) fn duration(&self, now: Instant) -> Option<Duration> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map(|since| now.saturating_duration_since(since))
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Writes, syncs and reads back `number` in many copies; the time it took.
pub(super) fn probe(dir: &Path, number: u64, pending: &Pending) -> DiskSample {
    let began = Instant::now();
    pending.set(Some(began));
    let outcome = write_and_read(dir, number);
    pending.set(None);
    match outcome {
        Ok(()) => DiskSample::Answered(began.elapsed()),
        // That is told by its room. A full disk reads what it has.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => DiskSample::Answered(began.elapsed()),
        Err(error) => DiskSample::Failed(error.to_string()),
    }
}

fn write_and_read(dir: &Path, number: u64) -> io::Result<()> {
    let content = number.to_le_bytes().repeat(PROBE_BYTES / size_of::<u64>());
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(NAME))?;
    file.write_all(&content)?;
    file.sync_data()?;
    // Or the page cache answers for the disk. Not all file systems can, and then it does.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    let mut read = vec![0; PROBE_BYTES];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut read)?;
    if read == content { Ok(()) } else { Err(io::Error::other("it gave back other bytes than it was given")) }
}

/// Room for those who are not root.
pub(super) fn space(dir: &Path) -> io::Result<DiskSample> {
    let stat = statvfs(dir)?;
    Ok(DiskSample::Space {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

/// The whole device under a directory, as sysfs has it. None for a file system that is on no device of its own.
pub(super) fn device(dir: &Path) -> Option<PathBuf> {
    let number = std::fs::metadata(dir).ok()?.dev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let entry = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let whole = if entry.join("partition").exists() { entry.parent()?.to_owned() } else { entry };
    Some(whole)
}

/// I/O errors that the device's driver counted, if it does: SCSI's, which SATA is to the kernel.
pub(super) fn errors(device: &Path) -> Option<DiskSample> {
    let mut text = String::new();
    File::open(device.join("device/ioerr_cnt")).ok()?.take(64).read_to_string(&mut text).ok()?;
    let digits = text.trim().strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok().map(DiskSample::Errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FO-3: a disk answers, or says why not.
    #[test]
    fn a_probe_writes_and_reads_back_and_leaves_one_small_file() {
        let dir = tempfile::tempdir().unwrap();
        let pending = Pending::default();
        for number in [1, 2] {
            assert!(matches!(probe(dir.path(), number, &pending), DiskSample::Answered(_)));
        }
        let sizes: Vec<_> =
            dir.path().read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes, [PROBE_BYTES as u64]);
        assert_eq!(pending.duration(Instant::now()), None);
        let gone = probe(Path::new("/no/such/disk"), 1, &pending);
        assert!(matches!(&gone, DiskSample::Failed(why) if why.contains("No such file")), "{gone:?}");
        assert!(matches!(space(dir.path()).unwrap(), DiskSample::Space { total: 1.., .. }));
    }

    /// A full pipe stands for a disk that hangs: who writes to it waits until somebody reads.
    #[test]
    fn a_probe_that_hangs_is_seen_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let mut pipe = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        // What a pipe holds (pipe(7)).
        let room = 1 << 16;
        pipe.write_all(&vec![0; room]).unwrap();
        let pending = Pending::default();
        let (outside, folder) = (pending.clone(), dir.path().to_owned());
        let hanging = std::thread::spawn(move || probe(&folder, 1, &pending));
        while outside.duration(Instant::now()).is_none_or(|span| span < Duration::from_millis(50)) {
            std::thread::yield_now();
        }
        pipe.read_exact(&mut vec![0; room]).unwrap();
        assert!(matches!(hanging.join().unwrap(), DiskSample::Failed(_)), "a pipe cannot be synced");
        assert_eq!(outside.duration(Instant::now()), None);
    }
}
