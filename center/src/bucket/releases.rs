//! Which references were given up while uploads are on their way; pure.
//!
//! Whoever gives up a reference knows nothing of an upload that comes late, so that upload must not take it again. Only
//! uploads of this process can: those of an earlier one have ended with it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::dosp::Reference;

/// Releases remembered; beyond that the oldest are forgotten early, and an upload that began before them is refused.
const RELEASES_MAX: usize = 100_000;

/// See the module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Releases {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Uploads on their way, by the second they began in.
    uploads: BTreeMap<u64, usize>,
    /// In the order of their time.
    released: VecDeque<(u64, Reference)>,
    /// The latest that was forgotten early.
    forgotten: Option<u64>,
}

/// An upload on its way, until it is dropped.
#[derive(Debug)]
pub struct Underway {
    releases: Releases,
    began: u64,
}

impl Releases {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An upload begins, in seconds since the epoch.
    pub fn begin(&self, began: u64) -> Underway {
        *self.inner().uploads.entry(began).or_default() += 1;
        Underway { releases: self.clone(), began }
    }

    /// A reference is given up.
    pub fn note(&self, reference: Reference, now: u64) {
        let mut inner = self.inner();
        if inner.uploads.is_empty() {
            return;
        }
        inner.released.push_back((now, reference));
        if inner.released.len() > RELEASES_MAX {
            inner.forgotten = inner.released.pop_front().map(|(released, _)| released).max(inner.forgotten);
        }
    }
}

impl Underway {
    /// Whether the reference may have been given up since the upload began.
    pub fn is_late(&self, reference: &Reference) -> bool {
        let inner = self.releases.inner();
        inner.forgotten.is_some_and(|forgotten| forgotten >= self.began)
            || inner
                .released
                .iter()
                .any(|(released, given_up)| *released >= self.began && given_up == reference)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut inner = self.releases.inner();
        if let Some(count) = inner.uploads.get_mut(&self.began) {
            *count -= 1;
            if *count == 0 {
                inner.uploads.remove(&self.began);
            }
        }
        match inner.uploads.first_key_value().map(|(oldest, _)| *oldest) {
            Some(oldest) => inner.released.retain(|(released, _)| *released >= oldest),
            None => inner.released.clear(),
        }
        if inner.uploads.is_empty() {
            inner.forgotten = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::digest::Fingerprint;
    use protocol::id::{CustomerId, Token};

    use super::*;

    fn reference(number: u32) -> Reference {
        Reference { fingerprint: Fingerprint([0; 16]), customer: CustomerId(number), token: Token([1; 16]) }
    }

    /// REF-3: an upload does not take what was given up since it began; one that begins later does.
    #[test]
    fn a_late_upload_is_known() {
        let releases = Releases::default();
        releases.note(reference(1), 5);
        let early = releases.begin(10);
        assert!(!early.is_late(&reference(1)), "it was given up before");
        releases.note(reference(2), 12);
        let late = releases.begin(13);
        assert!(early.is_late(&reference(2)) && !late.is_late(&reference(2)));
        assert!(!early.is_late(&reference(3)));
        drop(early);
        assert!(releases.inner().released.is_empty(), "no upload is old enough to need it");
        drop(late);
    }

    /// REF-3: what was forgotten for want of room refuses rather than forgets.
    #[test]
    fn a_forgotten_release_refuses_older_uploads() {
        let releases = Releases::default();
        let upload = releases.begin(10);
        for number in 0..=u32::try_from(RELEASES_MAX).unwrap() {
            releases.note(reference(number), 11);
        }
        assert_eq!(releases.inner().released.len(), RELEASES_MAX);
        assert!(upload.is_late(&reference(u32::MAX)));
        drop(upload);
        assert!(!releases.begin(10).is_late(&reference(u32::MAX)));
    }
}
