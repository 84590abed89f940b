//! The `/SRL` tree (PORT-13 to PORT-15): the same names, but a file holds the URL that fetches it.
//!
//! The text is made when it is read, and is never kept. Its length depends on neither the time nor the contents, so
//! the size in the attributes is right. Its expiry is rounded up, so that it stays the same for as long as clients
//! cache attributes; the file's times are those of the text, so that clients never go on with one that ran out.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use nfs::filesystem::{Attributes, FileKind, FsError, FsResult};
use protocol::digest::Content;
use protocol::id::Timestamp;
use protocol::srl::{AccessMethod, ObjectName, SrlKind, SrlOperation, SrlRequest};

use super::attributes::time;
use super::{Object, Translator, attributes};
use crate::center::StorageCenter;
use crate::directory_cache::Entry;
use crate::host;
use crate::journal::StagedView;
use crate::uploader::content_of;

const NANOS: i64 = 1_000_000_000;
/// Longest wait until a file just written is stored: before that nothing could be fetched by its SRL.
const UPLOAD_WAIT: Duration = Duration::from_secs(10);
/// An SRL's text changes this often at most; and at most ten times in its life.
const PERIOD_SECONDS_MAX: u64 = 60;

/// From when to when one text of an SRL stands: it is written during `from .. from + period`, and good until `expires`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    from: u64,
    /// 0 for never.
    expires: u64,
}

impl Term {
    /// The term at `now` of SRLs that are good for at least `seconds`.
    fn at(now: u64, seconds: u64) -> Self {
        if seconds == 0 {
            return Self { from: 0, expires: 0 };
        }
        let period = (seconds / 10).clamp(1, PERIOD_SECONDS_MAX);
        let from = now / period * period;
        Self { from, expires: from.saturating_add(period).saturating_add(seconds) }
    }
}

/// The attributes of an entry in the SRL tree. Who may read the file, nobody else, may read its SRL: it gives the
/// same bytes.
pub(super) fn attributes<C: StorageCenter>(
    object: &Object<'_, C>,
    entry: &Entry,
    staged: Option<&StagedView>,
) -> Attributes {
    let mut shown = attributes::attributes(entry, staged, object.export.fsid());
    shown.mode &= if shown.kind == FileKind::Regular { 0o444 } else { !0o222 };
    if shown.kind == FileKind::Regular {
        let term = Term::at(now_seconds(), object.srl_seconds);
        let written = time(Timestamp(i64::try_from(term.from).unwrap_or(0).saturating_mul(NANOS)));
        shown.size = text(object, entry, &Content::EMPTY, term).len() as u64;
        shown.used = shown.size;
        shown.modified = shown.modified.max(written);
        shown.changed = shown.changed.max(written);
    }
    shown
}

impl<C: StorageCenter> Translator<C> {
    /// The text of a file and its attributes, of one moment. What is staged of the file is uploaded first, however long
    /// its folder's rule would have it wait.
    pub(super) async fn srl_text(&self, object: &mut Object<'_, C>) -> FsResult<(Bytes, Attributes)> {
        if self.staged(object).is_some() && !self.uploader.settle(object.file(), UPLOAD_WAIT).await {
            return Err(FsError::TryLater);
        }
        let entry = object.entry().await?;
        object.heed_rule_for(&entry).await?;
        let content = content_of(&entry.row).ok_or(FsError::IsDirectory)?;
        let term = Term::at(now_seconds(), object.srl_seconds);
        let text = text(object, &entry, &content, term);
        self.srl_reads.fetch_add(1, Ordering::Relaxed);
        Ok((text.into(), self.show(object, &entry, None)))
    }
}

/// `http://host/<encoded-request>/<certificate>/<name>` and a newline.
fn text<C: StorageCenter>(object: &Object<'_, C>, entry: &Entry, content: &Content, term: Term) -> String {
    let export = &object.export;
    let request = SrlRequest {
        kind: SrlKind::Standard,
        version: export.srl.version,
        expires: term.expires,
        access: AccessMethod::EndUser,
        customer: export.customer,
        operation: SrlOperation::Fetch { object: ObjectName::Content(content.fingerprint) },
    };
    let name = entry.row.name.as_ref().map_or(&b""[..], |name| name.as_bytes());
    format!("{}{}\n", export.srl.host, request.sign(&object.customer.secret()).path(name))
}

fn now_seconds() -> u64 {
    u64::try_from(host::now().0 / NANOS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PORT-14: good for at least the time-out, and the same text for a while.
    #[test]
    fn a_term_outlasts_the_time_out_from_any_moment_in_it() {
        for seconds in [1, 9, 30, 600, 3_600, 86_400] {
            for now in 1_800_000_000..1_800_000_200 {
                let term = Term::at(now, seconds);
                assert!(term.from <= now && term.expires >= now + seconds);
                assert!(term.expires <= now + seconds + PERIOD_SECONDS_MAX.min(seconds.div_ceil(10)));
                assert_eq!(term.expires.to_string().len(), 10, "so the text's length is always the same");
            }
        }
        assert_eq!(Term::at(1_800_000_000, 3_600), Term::at(1_800_000_059, 3_600));
    }

    #[test]
    fn without_a_time_out_the_text_never_changes() {
        assert_eq!(Term::at(1, 0), Term::at(1_800_000_000, 0));
    }
}
