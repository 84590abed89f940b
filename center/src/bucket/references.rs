//! Who holds which object (REF-1 to REF-4): each reference is an empty object of the store.
//!
//! Its name has the second it was made in and a number nobody else has, so that a removal that comes late hits no
//! reference that was made since. A reference that was made several times has several names until it is renewed or
//! given up; it is one all the same.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use protocol::digest::Content;
use protocol::dosp::Reference;
use protocol::dosp::operations::RowReference;
use protocol::id::{CustomerId, Token};

use super::Bucket;
use super::keys::Entry;
use super::store::Fault;
use crate::objects::{Unavailable, to_the_end};
use crate::reconcile::{Compared, Holders, Scanned};

/// References listed at a time.
const PAGE: usize = 1_000;
/// Rows looked up in the store at once.
const LOOKUPS: usize = 16;

impl Bucket {
    /// Writes the reference; under which name.
    pub(super) async fn make_reference(&self, reference: &Reference, now: u64) -> Result<Path, Fault> {
        let path = self.store().keys().reference_made(reference, now, self.nonce());
        self.store().put(&path, Vec::new()).await.map(|()| path)
    }

    /// The names of a reference, each with the second it was made in.
    async fn names_of(&self, reference: &Reference) -> Result<Vec<(Path, u64)>, Fault> {
        let store = self.store();
        let listed = store.list(&store.keys().reference(reference)).await?;
        let name = |path: Path| match store.keys().entry(&path)? {
            Entry::Held { renewed, .. } => Some((path, renewed)),
            _ => None,
        };
        Ok(listed.into_iter().filter_map(|meta| name(meta.location)).collect())
    }

    /// When the reference was last renewed, if it is there.
    async fn renewed(&self, reference: &Reference) -> Result<Option<u64>, Fault> {
        Ok(self.names_of(reference).await?.into_iter().map(|(_, renewed)| renewed).max())
    }

    /// Whether the customer's upload `token` holds exactly this content, for somebody who is about to rely on it: a
    /// reference that is getting old is renewed, so that it is not taken for an orphan meanwhile.
    pub async fn keep_reference(
        &self,
        customer: CustomerId,
        content: Content,
        token: Token,
        now: u64,
    ) -> Result<bool, Unavailable> {
        if content == Content::EMPTY {
            return Ok(true);
        }
        let reference = Reference { fingerprint: content.fingerprint, customer, token };
        let Some(renewed) = self.renewed(&reference).await? else { return Ok(false) };
        if now.saturating_sub(renewed) <= self.orphan_grace_seconds() / 2 {
            return Ok(self.find(content.fingerprint).await? == Some(content));
        }
        let bucket = self.clone();
        to_the_end(async move {
            let _lock = bucket.lock(content.fingerprint).await;
            // It may have been given up while we waited.
            let old = bucket.names_of(&reference).await?;
            Ok(!old.is_empty() && bucket.hold(content, &reference, old, now).await?)
        })
        .await
    }

    /// With the fingerprint locked: makes the reference if a copy counts that it can hold, and removes its old names.
    /// First the reference, then the look at the copies, see [`super::upload`].
    async fn hold(
        &self,
        content: Content,
        reference: &Reference,
        old: Vec<(Path, u64)>,
        now: u64,
    ) -> Result<bool, Unavailable> {
        match self.find(content.fingerprint).await? {
            Some(found) if found == content => {}
            Some(_) => {
                tracing::error!(object = %content.fingerprint, "a row means another object");
                return Ok(false);
            }
            None => return Ok(false),
        }
        self.make_reference(reference, now).await?;
        if self.find(content.fingerprint).await? != Some(content) {
            return Ok(false);
        }
        for (path, _) in old {
            self.store().delete(&path).await?;
        }
        Ok(true)
    }

    /// Gives up a reference; not an error if it is not there (REF-3).
    pub async fn give_up(&self, reference: Reference, now: u64) -> Result<(), Unavailable> {
        let bucket = self.clone();
        to_the_end(async move {
            let _lock = bucket.lock(reference.fingerprint).await;
            bucket.release(&reference, now).await.map_err(Unavailable::from)
        })
        .await
    }

    /// With the fingerprint locked: gives it up. If it was the last, the object is to be looked at after its grace;
    /// the one who asks again does that as well, so that nothing is forgotten if this ends half-way.
    async fn release(&self, reference: &Reference, now: u64) -> Result<(), Fault> {
        self.shared.releases.note(*reference, now);
        for (path, _) in self.names_of(reference).await? {
            self.store().delete(&path).await?;
        }
        if self.is_held(reference.fingerprint).await? {
            return Ok(());
        }
        self.look_later(reference.fingerprint, now.saturating_add(self.settings().unlink_grace_seconds)).await
    }
}

impl Holders for Bucket {
    async fn scan(&self, now: u64) -> Result<Scanned, Unavailable> {
        Ok(Bucket::scan(self, now).await?)
    }

    async fn compare(&self, rows: &[RowReference]) -> Result<Vec<Compared>, Unavailable> {
        let compare = |row: RowReference| async move {
            let RowReference { content, customer, token } = row;
            if self.find(content.fingerprint).await? != Some(content) {
                return Ok::<_, Fault>(Compared::default());
            }
            let reference = Reference { fingerprint: content.fingerprint, customer, token };
            let is_held = self.renewed(&reference).await?.is_some();
            Ok(Compared { held: u64::from(is_held), lacking: u64::from(!is_held) })
        };
        let compared = stream::iter(rows.to_vec()).map(compare).buffered(LOOKUPS);
        Ok(compared.try_collect().await?)
    }

    async fn restore(&self, row: RowReference, now: u64) -> Result<bool, Unavailable> {
        let RowReference { content, customer, token } = row;
        let reference = Reference { fingerprint: content.fingerprint, customer, token };
        let bucket = self.clone();
        to_the_end(async move {
            let _lock = bucket.lock(content.fingerprint).await;
            let rescued = bucket.rescue(content.fingerprint, now).await;
            rescued.map_err(|error| Unavailable(error.to_string()))?;
            let old = bucket.names_of(&reference).await?;
            bucket.hold(content, &reference, old, now).await
        })
        .await
    }

    /// References are never lost with something that this process keeps: it keeps nothing.
    async fn restored(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn references(&self, after: Option<Reference>) -> Result<Vec<(Reference, u64)>, Unavailable> {
        let (store, keys) = (self.store(), self.store().keys());
        let behind = after.map(|after| keys.behind(&after));
        let mut walk = store.walk(&keys.objects(), behind.as_ref());
        let mut page: Vec<(Reference, u64)> = Vec::new();
        while page.len() < PAGE {
            let Some(meta) = walk.next().await? else { break };
            let Some(Entry::Held { reference, renewed }) = keys.entry(&meta.location) else { continue };
            match page.last_mut() {
                Some((last, earliest)) if *last == reference => *earliest = renewed.min(*earliest),
                _ => page.push((reference, renewed)),
            }
        }
        Ok(page)
    }

    async fn release_orphan(
        &self,
        reference: Reference,
        renewed_before: u64,
        now: u64,
    ) -> Result<bool, Unavailable> {
        let bucket = self.clone();
        to_the_end(async move {
            let _lock = bucket.lock(reference.fingerprint).await;
            if bucket.renewed(&reference).await?.is_none_or(|renewed| renewed >= renewed_before) {
                return Ok(false);
            }
            bucket.release(&reference, now).await?;
            Ok(true)
        })
        .await
    }
}
