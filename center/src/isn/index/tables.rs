//! The tables of an index, and what each change does to them.

use protocol::digest::{Content, Fingerprint};
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use protocol::dosp::Reference;

use super::{Change, IsWhole, ReferenceKey, Result, all_of, key, to_content, to_reference};

/// Fingerprint → (size, digest).
pub const OBJECTS: TableDefinition<&[u8; 16], (u64, &[u8; 32])> = TableDefinition::new("objects");
/// (fingerprint, customer, token) → seconds since the epoch when it was made or last renewed.
pub const REFERENCES: TableDefinition<ReferenceKey<'static>, u64> = TableDefinition::new("references");
/// Objects without a reference → seconds since the epoch from which they may be unlinked.
pub const UNREFERENCED: TableDefinition<&[u8; 16], u64> = TableDefinition::new("unreferenced");
/// Objects that have references here and lost their files: fingerprint → (size, digest).
pub const MISSING: TableDefinition<&[u8; 16], (u64, &[u8; 32])> = TableDefinition::new("missing");
/// References given up lately → seconds since the epoch when that was.
pub const RELEASES: TableDefinition<ReferenceKey<'static>, u64> = TableDefinition::new("releases");
/// The same in the order of that time.
pub const RELEASED_IN_ORDER: TableDefinition<(u64, ReferenceKey<'static>), ()> =
    TableDefinition::new("releases in order");

/// How long a release is remembered: a day. Longer than any upload, or any copying of an object from node to node, takes.
pub const RELEASE_REMEMBERED_SECONDS: u64 = 86_400;
/// Releases remembered; beyond that the oldest are forgotten early. About 150 MB.
pub const RELEASES_MAX: u64 = 1_000_000;
/// Releases forgotten in one transaction, so that none takes long.
pub const SWEPT_MAX: usize = 10_000;

/// Whether a release of that second is old enough at `now` to be forgotten.
pub fn is_forgotten(released: u64, now: u64) -> bool {
    released.saturating_add(RELEASE_REMEMBERED_SECONDS) <= now
}

/// The tables within one write transaction.
pub struct Tables<'txn> {
    objects: Table<'txn, &'static [u8; 16], (u64, &'static [u8; 32])>,
    references: Table<'txn, ReferenceKey<'static>, u64>,
    unreferenced: Table<'txn, &'static [u8; 16], u64>,
    missing: Table<'txn, &'static [u8; 16], (u64, &'static [u8; 32])>,
    releases: Table<'txn, ReferenceKey<'static>, u64>,
    in_order: Table<'txn, (u64, ReferenceKey<'static>), ()>,
}

impl<'txn> Tables<'txn> {
    /// Opens all, making those that are missing.
    pub fn open(transaction: &'txn WriteTransaction) -> Result<Self> {
        Ok(Self {
            objects: transaction.open_table(OBJECTS)?,
            references: transaction.open_table(REFERENCES)?,
            unreferenced: transaction.open_table(UNREFERENCED)?,
            missing: transaction.open_table(MISSING)?,
            releases: transaction.open_table(RELEASES)?,
            in_order: transaction.open_table(RELEASED_IN_ORDER)?,
        })
    }

    /// Does what the change says.
    pub fn apply(&mut self, change: &Change, is_whole: IsWhole<'_>) -> Result<()> {
        match change {
            Change::Hold { content, reference, now } => {
                self.forget_release(reference)?;
                self.hold(content, reference, *now)?;
            }
            Change::Replicate { content, reference, renewed } => {
                if self.releases.get(key(reference))?.is_none() {
                    let here = self.references.get(key(reference))?.map(|here| here.value());
                    self.hold(content, reference, here.unwrap_or(0).max(*renewed))?;
                }
            }
            Change::Release { reference, now, unlink_from } => {
                self.remember_release(reference, *now)?;
                self.drop_reference(reference, *unlink_from)?;
            }
            Change::Leave { reference } => self.drop_reference(reference, 0)?,
            Change::Found { content, unlink_from } => {
                if is_whole(content)? {
                    self.insert_object(content)?;
                    self.mark_if_unreferenced(content.fingerprint, *unlink_from)?;
                }
            }
            Change::Gone { fingerprint } => {
                let known =
                    self.objects.get(&fingerprint.0)?.map(|row| to_content(*fingerprint, row.value()));
                if let Some(content) = known
                    && !is_whole(&content)?
                {
                    self.remove_object(&content)?;
                }
            }
            Change::Sweep { now } => {
                for _ in 0..SWEPT_MAX {
                    if !self.drop_oldest_release(*now)? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self, content: &Content, reference: &Reference, renewed: u64) -> Result<()> {
        self.insert_object(content)?;
        self.unreferenced.remove(&content.fingerprint.0)?;
        self.references.insert(key(reference), renewed)?;
        Ok(())
    }

    fn insert_object(&mut self, content: &Content) -> Result<()> {
        self.objects.insert(&content.fingerprint.0, (content.size, &content.digest.0))?;
        self.missing.remove(&content.fingerprint.0)?;
        Ok(())
    }

    fn remove_object(&mut self, content: &Content) -> Result<()> {
        self.objects.remove(&content.fingerprint.0)?;
        self.unreferenced.remove(&content.fingerprint.0)?;
        if self.is_held(&content.fingerprint)? {
            self.missing.insert(&content.fingerprint.0, (content.size, &content.digest.0))?;
        }
        Ok(())
    }

    fn is_held(&self, fingerprint: &Fingerprint) -> Result<bool> {
        Ok(self.references.range::<ReferenceKey<'_>>(all_of(fingerprint))?.next().is_some())
    }

    fn drop_reference(&mut self, reference: &Reference, unlink_from: u64) -> Result<()> {
        self.references.remove(key(reference))?;
        self.mark_if_unreferenced(reference.fingerprint, unlink_from)?;
        if !self.is_held(&reference.fingerprint)? {
            self.missing.remove(&reference.fingerprint.0)?;
        }
        Ok(())
    }

    /// The empty object belongs to everybody, so nothing ever marks it.
    fn mark_if_unreferenced(&mut self, fingerprint: Fingerprint, unlink_from: u64) -> Result<()> {
        let known = self.objects.get(&fingerprint.0)?.is_some();
        let held = self.is_held(&fingerprint)?;
        let marked = self.unreferenced.get(&fingerprint.0)?.is_some();
        if known && !held && !marked && fingerprint != Content::EMPTY.fingerprint {
            self.unreferenced.insert(&fingerprint.0, unlink_from)?;
        }
        Ok(())
    }

    fn remember_release(&mut self, reference: &Reference, released: u64) -> Result<()> {
        self.forget_release(reference)?;
        if self.releases.len()? >= RELEASES_MAX {
            self.drop_oldest_release(u64::MAX)?;
        }
        self.releases.insert(key(reference), released)?;
        self.in_order.insert((released, key(reference)), ())?;
        Ok(())
    }

    fn forget_release(&mut self, reference: &Reference) -> Result<()> {
        let released = self.releases.remove(key(reference))?.map(|released| released.value());
        if let Some(released) = released {
            self.in_order.remove((released, key(reference)))?;
        }
        Ok(())
    }

    /// Forgets the oldest release if it was long enough before `now`. Answers whether it was.
    fn drop_oldest_release(&mut self, now: u64) -> Result<bool> {
        let oldest = self.in_order.first()?.map(|(oldest, _)| {
            let (released, reference) = oldest.value();
            (released, to_reference(reference))
        });
        match oldest {
            Some((released, reference)) if is_forgotten(released, now) => {
                self.forget_release(&reference)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
