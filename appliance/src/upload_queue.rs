//! The operation `uploads`: which files wait for their upload to the center, and for what.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::id::{CustomerId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::center::StorageCenter;
use crate::customer::Customer;
use crate::journal::{Journal, OwedFile};
use crate::uploader::Uploader;

/// Most files that are told, so that an answer has a bound.
const FILES_MAX: usize = 1_000;

/// The queue, the oldest write first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct UploadsReport {
    /// The first of them.
    pub uploads: Vec<UploadReport>,
    /// How many more there are.
    pub left_off: usize,
}

/// A file of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct UploadReport {
    /// Whose it is.
    pub customer: u32,
    /// Where it is in his tree, as far as that is at hand; else its id.
    pub path: String,
    /// Bytes to upload.
    pub bytes: u64,
    /// What it waits for.
    pub state: UploadState,
    /// How long ago the first of it was written.
    pub oldest_seconds: u64,
    /// How long ago the last of it was.
    pub quiet_seconds: u64,
    /// How long it is to be quiet before it is uploaded, as `[upload]` or a rule of its folder says.
    pub delay_seconds: u64,
    /// When it is tried again, if the last attempt failed.
    pub again_seconds: Option<u64>,
}

/// What a file waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadState {
    /// It was written just now: that it is quiet.
    Written,
    /// A place among those that are uploaded.
    Queued,
    /// It is being uploaded.
    Uploading,
    /// The next attempt.
    Failed,
}

/// What waits at `now`, which is `instant` as well.
pub fn gather<C: StorageCenter>(
    journal: &Journal,
    uploader: &Uploader<C>,
    customers: &HashMap<CustomerId, Arc<Customer<C>>>,
    now: Timestamp,
    instant: Instant,
) -> UploadsReport {
    let files = journal.owed_files();
    let left_off = files.len().saturating_sub(FILES_MAX);
    let uploads = files.into_iter().take(FILES_MAX).map(|owed| {
        let id = owed.file.file;
        let customer = customers.get(&owed.file.customer);
        let path = customer.map_or_else(|| format!("[{id}]"), |customer| customer.directory.path_of(id));
        // Of a customer who is not served nothing is uploaded, however quiet it is.
        let quiet = uploader.quiet(owed.file).unwrap_or_default();
        report(owed, path, quiet, uploader.again(owed.file, instant), now)
    });
    UploadsReport { uploads: uploads.collect(), left_off }
}

fn report(
    owed: OwedFile,
    path: String,
    quiet: Duration,
    again: Option<Duration>,
    now: Timestamp,
) -> UploadReport {
    let OwedFile { file, bytes, is_begun, first, last } = owed;
    // A clock that was set back makes no negative age.
    let age =
        |then: Timestamp| Duration::from_nanos(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0));
    let state = match (again, is_begun) {
        (Some(_), _) => UploadState::Failed,
        (None, true) => UploadState::Uploading,
        (None, false) if age(last) < quiet => UploadState::Written,
        (None, false) => UploadState::Queued,
    };
    UploadReport {
        customer: file.customer.0,
        path,
        bytes,
        state,
        oldest_seconds: age(first).as_secs(),
        quiet_seconds: age(last).as_secs(),
        delay_seconds: quiet.as_secs(),
        again_seconds: again.map(|again| again.as_secs()),
    }
}

/// For people.
impl fmt::Display for UploadsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.uploads.is_empty() {
            return f.write_str("nothing waits for its upload");
        }
        let mut lines: Vec<String> = self.uploads.iter().map(ToString::to_string).collect();
        if self.left_off > 0 {
            lines.push(format!("and {} more", self.left_off));
        }
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for UploadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { customer, path, bytes, state, .. } = self;
        let Self { oldest_seconds, quiet_seconds, delay_seconds, again_seconds, .. } = self;
        // A name can have anything in it but `/` and NUL.
        write!(f, "{}", path.escape_debug())?;
        write!(
            f,
            " (customer {customer}): {bytes} bytes, written {oldest_seconds}s to {quiet_seconds}s ago, "
        )?;
        match (state, again_seconds) {
            (UploadState::Written, _) if *delay_seconds == 0 => f.write_str("until it is quiet"),
            (UploadState::Written, _) => write!(f, "until it is quiet for {delay_seconds}s"),
            (UploadState::Queued, _) => f.write_str("waits for its turn"),
            (UploadState::Uploading, _) => f.write_str("being uploaded"),
            (UploadState::Failed, Some(seconds)) => write!(f, "FAILED, again in {seconds}s"),
            (UploadState::Failed, None) => f.write_str("FAILED"),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::ObjectId;

    use super::*;
    use crate::journal::FileKey;

    const SECOND: i64 = 1_000_000_000;

    fn told(is_begun: bool, last: i64, again: Option<u64>) -> UploadReport {
        let owed = OwedFile {
            file: FileKey { customer: CustomerId(7), file: ObjectId(9) },
            bytes: 5,
            is_begun,
            first: Timestamp(10 * SECOND),
            last: Timestamp(last * SECOND),
        };
        let (quiet, again) = (Duration::from_secs(1), again.map(Duration::from_secs));
        report(owed, "/a\nb".into(), quiet, again, Timestamp(100 * SECOND))
    }

    #[test]
    fn a_file_waits_for_one_thing() {
        let states = [
            (told(false, 100, None), UploadState::Written),
            (told(false, 99, None), UploadState::Queued),
            (told(true, 100, None), UploadState::Uploading),
            (told(true, 90, Some(3)), UploadState::Failed),
            // The clock was set back meanwhile.
            (told(false, 1_000, None), UploadState::Written),
        ];
        for (told, state) in states {
            assert_eq!((told.state, told.oldest_seconds), (state, 90));
        }
    }

    #[test]
    fn a_long_delay_is_told() {
        let line = UploadReport { delay_seconds: 600, ..told(false, 100, None) }.to_string();
        assert!(line.ends_with("until it is quiet for 600s"), "{line}");
        let line = UploadReport { delay_seconds: 0, ..told(false, 100, None) }.to_string();
        assert!(line.ends_with("until it is quiet"), "{line}");
    }

    /// One line each, whatever the name.
    #[test]
    fn a_queue_is_for_people_too() {
        let report = UploadsReport { uploads: vec![told(true, 95, Some(3))], left_off: 2 };
        let line = "/a\\nb (customer 7): 5 bytes, written 90s to 5s ago, FAILED, again in 3s\nand 2 more";
        assert_eq!(report.to_string(), line);
        assert_eq!(UploadsReport::default().to_string(), "nothing waits for its upload");
    }
}
