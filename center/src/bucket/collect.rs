//! Objects that nobody refers to go, and what was left over (REF-2, REF-4).
//!
//! A copy is removed in steps, each of which may be the last of this process:
//!
//! 1. there is no reference, and the grace is over;
//! 2. a mark says that the copy counts no more. It is never taken back;
//! 3. there is still no reference: the bytes go, then the record, of what was marked before that look. The mark stays
//!    for a day, so that its number is not given again while a request from before may be under way.
//!
//! If there is a reference now, somebody may have seen the copy before the mark came, and relies on it: then another
//! copy is made of it first. Nobody else can have removed its bytes: whoever removes them has looked for references
//! after the mark, and that reference was there before it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use protocol::digest::Fingerprint;

use super::Bucket;
use super::copies::Copies;
use super::keys::{Entry, Keys};
use super::object::BucketObject;
use super::record::Place;
use super::store::Fault;
use crate::objects::{StoreError, Unavailable, to_the_end};
use crate::reconcile::Scanned;

/// Objects looked at in one round; the others wait for the next.
const LOOKS_MAX: usize = 100_000;
/// Objects looked at at once.
const LOOKS_AT_ONCE: usize = 8;
/// Seconds for which the mark of a copy that went stays: no request takes effect a day after it was sent.
const MARK_SECONDS: u64 = 86_400;

/// Objects to be looked at: until when each is kept, and the names that say so.
type Looks = BTreeMap<Fingerprint, (u64, Vec<Path>)>;

impl Bucket {
    /// Waits for its turn with a fingerprint: only one call of this process at a time changes what the store says of
    /// it.
    pub(super) async fn lock(&self, fingerprint: Fingerprint) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.locks.lock(fingerprint).await
    }

    /// Whether anybody refers to the object.
    pub(super) async fn is_held(&self, fingerprint: Fingerprint) -> Result<bool, Fault> {
        self.store().has_any(&self.store().keys().references(fingerprint)).await
    }

    /// Notes durably that the object is to be looked at from `due` on.
    pub(super) async fn look_later(&self, fingerprint: Fingerprint, due: u64) -> Result<(), Fault> {
        self.store().put(&self.store().keys().unheld(fingerprint, due), Vec::new()).await
    }

    /// Removes objects that have had no reference for their grace. Answers how many.
    pub async fn collect(&self, now: u64) -> Result<u64, Unavailable> {
        let due = self.looks().await?.into_iter().filter(|(_, (until, _))| *until <= now);
        let look = |(fingerprint, (_, names))| self.look_at(fingerprint, names, now);
        let removed = stream::iter(due).map(look).buffer_unordered(LOOKS_AT_ONCE);
        removed.try_fold(0, |sum, removed| async move { Ok(sum + u64::from(removed)) }).await
    }

    async fn looks(&self) -> Result<Looks, Fault> {
        let (store, mut looks) = (self.store(), Looks::new());
        let mut walk = store.walk(&store.keys().all_unheld(), None);
        while let Some(meta) = walk.next().await? {
            let Some((fingerprint, due)) = store.keys().due(&meta.location) else { continue };
            if looks.len() == LOOKS_MAX && !looks.contains_key(&fingerprint) {
                continue;
            }
            let (until, names) = looks.entry(fingerprint).or_default();
            *until = due.max(*until);
            names.push(meta.location);
        }
        Ok(looks)
    }

    async fn look_at(
        &self,
        fingerprint: Fingerprint,
        names: Vec<Path>,
        now: u64,
    ) -> Result<bool, Unavailable> {
        let bucket = self.clone();
        to_the_end(async move {
            let _lock = bucket.lock(fingerprint).await;
            let removed = bucket.remove_unless_held(fingerprint, now).await;
            let removed = removed.map_err(|error| Unavailable(error.to_string()))?;
            for name in names {
                bucket.store().delete(&name).await?;
            }
            Ok(removed)
        })
        .await
    }

    /// With the fingerprint locked: see the module. Whether the object is gone.
    async fn remove_unless_held(&self, fingerprint: Fingerprint, now: u64) -> Result<bool, StoreError> {
        if !self.is_held(fingerprint).await? {
            for listed in self.copies(fingerprint).await?.counted() {
                self.count_no_more(fingerprint, listed.number, now).await?;
            }
        }
        // Listed before the references are looked for: one that another process marks later goes when that has looked.
        let gone = self.copies(fingerprint).await?.gone();
        let is_held = self.is_held(fingerprint).await?;
        if is_held && !self.rescue(fingerprint, now).await? {
            tracing::error!(object = %fingerprint, "an object somebody refers to has no whole copy in the store");
            return Ok(false);
        }
        for listed in &gone {
            let head = self.head(fingerprint, listed.number).await?;
            let (store, keys) = (self.store(), self.store().keys());
            if let Some(Place::Data(id)) = head.map(|head| head.place) {
                store.delete(&keys.data(id)).await?;
            }
            store.delete(&keys.copy(fingerprint, listed.number)).await?;
        }
        Ok(!is_held && !gone.is_empty())
    }

    /// With the fingerprint locked: if no copy counts, but one that counts no more can be read, another is made of it,
    /// with bytes of its own. Whether a copy counts then.
    pub(super) async fn rescue(&self, fingerprint: Fingerprint, now: u64) -> Result<bool, StoreError> {
        let copies = self.copies(fingerprint).await?;
        if copies.gone().is_empty() || !copies.counted().is_empty() {
            return Ok(!copies.counted().is_empty());
        }
        match BucketObject::open(self, fingerprint).await {
            Ok(object) => self.copy_anew(object, now).await.map(|()| true),
            Err(_) if self.store().trouble().is_none() => Ok(false),
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }

    /// Goes through all names: counts the objects, notes those that nobody refers to or that have no copy to rely on,
    /// removes old marks, and ends uploads that nobody finishes.
    pub(super) async fn scan(&self, now: u64) -> Result<Scanned, Fault> {
        self.end_abandoned().await?;
        let waiting = self.looks().await?;
        let (store, mut scanned) = (self.store(), Scanned::default());
        let mut walk = store.walk(&store.keys().objects(), None);
        let mut current = Seen::default();
        loop {
            let meta = walk.next().await?;
            let entry = meta.as_ref().and_then(|meta| store.keys().entry(&meta.location));
            let fingerprint = entry.as_ref().map(fingerprint_of);
            if meta.is_none() || fingerprint.is_some_and(|next| current.fingerprint != Some(next)) {
                self.settle_seen(&current, &waiting, now, &mut scanned).await?;
                current = Seen { fingerprint, ..Seen::default() };
            }
            let Some(meta) = meta else { break };
            if let Some(entry) = entry {
                current.note(entry, meta.size);
            }
        }
        self.shared.objects.store(scanned.objects, Ordering::Relaxed);
        Ok(scanned)
    }

    async fn settle_seen(
        &self,
        seen: &Seen,
        waiting: &Looks,
        now: u64,
        scanned: &mut Scanned,
    ) -> Result<(), Fault> {
        let Some(fingerprint) = seen.fingerprint else { return Ok(()) };
        let copies = Copies::of(seen.entries.iter().copied());
        let is_there = !copies.counted().is_empty();
        scanned.objects += u64::from(is_there);
        // With a reference, a copy that counts no more is looked at as well: it goes, or is the last there is.
        let is_unsettled = !copies.gone().is_empty() || (is_there && !seen.is_held);
        if is_unsettled && !waiting.contains_key(&fingerprint) {
            let grace = if seen.is_held { 0 } else { self.orphan_grace_seconds() };
            self.look_later(fingerprint, now.saturating_add(grace)).await?;
        }
        self.sweep_marks(&seen.entries, &copies, now).await
    }

    async fn sweep_marks(&self, entries: &[(Entry, u64)], copies: &Copies, now: u64) -> Result<(), Fault> {
        let keys: &Keys = self.store().keys();
        for (entry, _) in entries {
            let Entry::Gone { fingerprint, number, since } = *entry else { continue };
            let is_needed = copies.gone().iter().any(|gone| gone.number == number);
            if !is_needed && since.saturating_add(MARK_SECONDS) <= now {
                self.store().delete(&keys.gone(fingerprint, number, since)).await?;
            }
        }
        Ok(())
    }
}

/// What a scan has seen of one object.
#[derive(Debug, Default)]
struct Seen {
    fingerprint: Option<Fingerprint>,
    /// Records and marks.
    entries: Vec<(Entry, u64)>,
    is_held: bool,
}

impl Seen {
    fn note(&mut self, entry: Entry, bytes: u64) {
        match entry {
            Entry::Held { .. } => self.is_held = true,
            entry => self.entries.push((entry, bytes)),
        }
    }
}

fn fingerprint_of(entry: &Entry) -> Fingerprint {
    match entry {
        Entry::Copy { fingerprint, .. } | Entry::Gone { fingerprint, .. } => *fingerprint,
        Entry::Held { reference, .. } => reference.fingerprint,
    }
}
