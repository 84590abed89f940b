//! Who holds which object (REF-1 to REF-4): references added, asked for, renewed and given up on all disks.

use futures::future::join_all;
use protocol::digest::Content;
use protocol::id::{CustomerId, Token};

use super::disk::Disk;
use super::fault::DiskError;
use super::incoming::to_store_error;
use super::node::{Isn, Mounted, PAGE};
use crate::objects::{StoreError, Unavailable, to_the_end};
use crate::reconcile::{Compared, Holders, Scanned};
use protocol::dosp::Reference;
use protocol::dosp::operations::{Presence, RowReference};

impl Isn {
    /// Whether the customer's upload `token` holds exactly this content. The empty object needs no reference.
    pub async fn has_reference(
        &self,
        customer: CustomerId,
        content: Content,
        token: Token,
    ) -> Result<bool, Unavailable> {
        Ok(content == Content::EMPTY || self.held_since(customer, content, token).await?.is_some())
    }

    /// As [`Self::has_reference`], for somebody who is about to rely on it: a reference that is getting old is
    /// renewed, so that it is not taken for an orphan meanwhile.
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
        let grace = self.node.settings.orphan_grace_seconds;
        match self.held_since(customer, content, token).await? {
            None => Ok(false),
            Some(renewed) if now.saturating_sub(renewed) <= grace / 2 => Ok(true),
            Some(_) => {
                let isn = self.clone();
                to_the_end(async move {
                    let _lock = isn.lock(content.fingerprint).await;
                    // It may have been collected while we waited.
                    let held = isn.held_since(customer, content, token).await?.is_some();
                    Ok(held && isn.hold_everywhere(content, customer, token, now).await?)
                })
                .await
            }
        }
    }

    async fn held_since(
        &self,
        customer: CustomerId,
        content: Content,
        token: Token,
    ) -> Result<Option<u64>, Unavailable> {
        let reference = Reference { fingerprint: content.fingerprint, customer, token };
        self.latest(move |disk| disk.held_since(&content, &reference)).await
    }

    /// Gives up a reference on every disk; not an error if it is on none (REF-3).
    pub async fn give_up(&self, reference: Reference, now: u64) -> Result<(), Unavailable> {
        let unlink_from = now.saturating_add(self.node.settings.unlink_grace_seconds);
        let isn = self.clone();
        to_the_end(async move {
            let _lock = isn.lock(reference.fingerprint).await;
            isn.release_everywhere(reference, now, unlink_from).await
        })
        .await
    }

    /// Adds the reference of an upload that began at `since` to an object that is here already; whether it is.
    ///
    /// # Errors
    /// `Collision` if it is another object of this name that is here, `Unavailable` if the reference was given up since
    /// the upload began.
    pub async fn add_reference(
        &self,
        content: Content,
        customer: CustomerId,
        token: Token,
        since: u64,
        now: u64,
    ) -> Result<bool, StoreError> {
        let reference = Reference { fingerprint: content.fingerprint, customer, token };
        let isn = self.clone();
        to_the_end(async move {
            let _lock = isn.lock(content.fingerprint).await;
            let mut is_held = false;
            for mounted in isn.online() {
                let add = move |disk: &Disk| {
                    disk.refuse_late(&reference, since)?;
                    disk.hold(&content, reference, now)
                };
                match mounted.run(add).await {
                    Ok(()) => is_held = true,
                    Err(DiskError::Missing(_)) => {}
                    Err(error) => return Err(to_store_error(error)),
                }
            }
            Ok(is_held)
        })
        .await
    }

    /// Restores a reference that a row has and the disks lost (REF-4). Answers whether the object is here.
    pub async fn restore(
        &self,
        customer: CustomerId,
        content: Content,
        token: Token,
        now: u64,
    ) -> Result<bool, Unavailable> {
        let isn = self.clone();
        to_the_end(async move {
            let _lock = isn.lock(content.fingerprint).await;
            isn.hold_everywhere(content, customer, token, now).await
        })
        .await
    }

    /// Gives up a reference that no row has, unless it was renewed at `renewed_before` or later (REF-4). Answers
    /// whether it did.
    pub async fn release_orphan(
        &self,
        reference: Reference,
        renewed_before: u64,
        now: u64,
    ) -> Result<bool, Unavailable> {
        let unlink_from = now.saturating_add(self.node.settings.unlink_grace_seconds);
        let isn = self.clone();
        to_the_end(async move {
            let _lock = isn.lock(reference.fingerprint).await;
            let renewed = isn.latest(move |disk| Ok(disk.index().renewed(&reference)?)).await?;
            if renewed.is_none_or(|renewed| renewed >= renewed_before) {
                return Ok(false);
            }
            isn.release_everywhere(reference, now, unlink_from).await.map(|()| true)
        })
        .await
    }

    /// With the fingerprint locked: renews the reference on every disk that has the object.
    async fn hold_everywhere(
        &self,
        content: Content,
        customer: CustomerId,
        token: Token,
        now: u64,
    ) -> Result<bool, Unavailable> {
        let reference = Reference { fingerprint: content.fingerprint, customer, token };
        let mut held = false;
        for mounted in self.online() {
            match mounted.run(move |disk| disk.hold(&content, reference, now)).await {
                Ok(()) => held = true,
                Err(DiskError::Missing(_)) => {}
                Err(error @ DiskError::Collision(_)) => tracing::error!(%error, "a row means another object"),
                Err(error) => return Err(Unavailable(error.to_string())),
            }
        }
        Ok(held)
    }

    /// With the fingerprint locked: gives the reference up on every disk.
    async fn release_everywhere(
        &self,
        reference: Reference,
        now: u64,
        unlink_from: u64,
    ) -> Result<(), Unavailable> {
        let release = |mounted: Mounted| async move {
            mounted.run(move |disk| disk.release(reference, now, unlink_from)).await
        };
        first_error(join_all(self.online().map(release)).await)
    }

    /// A page of the references of all disks after `after`, in order, each once, with the earliest second it was
    /// made in; empty at the end.
    pub async fn references(&self, after: Option<Reference>) -> Result<Vec<(Reference, u64)>, Unavailable> {
        let list = |mounted: Mounted| async move {
            mounted.run(move |disk| Ok(disk.index().references(after, PAGE)?)).await
        };
        let mut merged = Vec::new();
        for page in join_all(self.readable().cloned().map(list)).await {
            merged.extend(page.map_err(|error| Unavailable(error.to_string()))?);
        }
        merged.sort_unstable();
        merged.dedup_by_key(|(reference, _)| *reference);
        merged.truncate(PAGE);
        Ok(merged)
    }
}

fn first_error(outcomes: Vec<Result<(), DiskError>>) -> Result<(), Unavailable> {
    if outcomes.is_empty() {
        return Err(Unavailable("no disk can be written".to_string()));
    }
    outcomes.into_iter().collect::<Result<(), _>>().map_err(|error| Unavailable(error.to_string()))
}

impl Holders for Isn {
    async fn scan(&self, now: u64) -> Result<Scanned, Unavailable> {
        Isn::scan(self, now).await
    }

    async fn compare(&self, rows: &[RowReference]) -> Result<Vec<Compared>, Unavailable> {
        let mut compared = Vec::with_capacity(rows.len());
        for RowReference { content, customer, token } in rows {
            let reference =
                Reference { fingerprint: content.fingerprint, customer: *customer, token: *token };
            let presence = self.presence(*content, reference).await?;
            compared.push(Compared {
                held: u64::from(presence == Presence::Held),
                lacking: u64::from(presence == Presence::Lacking),
            });
        }
        Ok(compared)
    }

    async fn restore(&self, row: RowReference, now: u64) -> Result<bool, Unavailable> {
        Isn::restore(self, row.customer, row.content, row.token, now).await
    }

    async fn restored(&self) -> Result<(), Unavailable> {
        self.references_restored().await
    }

    async fn references(&self, after: Option<Reference>) -> Result<Vec<(Reference, u64)>, Unavailable> {
        Isn::references(self, after).await
    }

    async fn release_orphan(
        &self,
        reference: Reference,
        renewed_before: u64,
        now: u64,
    ) -> Result<bool, Unavailable> {
        Isn::release_orphan(self, reference, renewed_before, now).await
    }
}
