//! A disk's index: which objects it holds, and who refers to them.
//!
//! Objects can be found again from their names on the disk; references cannot, and are restored from the rows of the
//! VFS ([`crate::reconcile`]). References are a *set* of (customer, token) at each object, never a counter, so that
//! a repeated STORE or DELETE changes nothing (REF-1, REF-3).

use std::ops::RangeInclusive;
use std::path::Path;

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, Token};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};

/// Fingerprint → (size, digest).
const OBJECTS: TableDefinition<&[u8; 16], (u64, &[u8; 32])> = TableDefinition::new("objects");
/// (fingerprint, customer, token) → seconds since the epoch when it was made or last renewed.
const REFERENCES: TableDefinition<(&[u8; 16], u32, &[u8; 16]), u64> = TableDefinition::new("references");
/// Objects without a reference → seconds since the epoch from which they may be unlinked.
const UNREFERENCED: TableDefinition<&[u8; 16], u64> = TableDefinition::new("unreferenced");

/// Pages kept in memory. The index of a million objects has about 100 MB; its inner pages fit easily.
const CACHE_BYTES: usize = 32 << 20;

/// One change of the index.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object is on the disk and this reference holds it. A reference that exists is renewed.
    Hold {
        /// The object.
        content: Content,
        /// The reference.
        reference: Reference,
        /// Seconds since the epoch.
        now: u64,
    },
    /// The reference is given up; when it was the last, the object may be unlinked from `unlink_from` on.
    Release {
        /// The reference.
        reference: Reference,
        /// Seconds since the epoch.
        unlink_from: u64,
    },
    /// The object was found on the disk without being known here.
    Found {
        /// The object.
        content: Content,
        /// Seconds since the epoch.
        unlink_from: u64,
    },
    /// The object's file is gone.
    Gone {
        /// Which object.
        fingerprint: Fingerprint,
    },
}

/// The index file of one disk. All calls block on the disk.
#[derive(Debug)]
pub struct Index {
    database: Database,
}

type Result<T> = std::result::Result<T, redb::Error>;

impl Index {
    /// Opens the index, making an empty one where there is none.
    pub fn open(path: &Path) -> Result<Self> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        let index = Self { database };
        // The tables exist from the first moment, so that readers need not ask. A full disk can still be read.
        if index.database.begin_read()?.open_table(UNREFERENCED).is_err() {
            index.apply(&[])?;
        }
        Ok(index)
    }

    /// Whether opening failed because the file is no index, or not a whole one, and not for a passing reason.
    pub fn is_damaged(error: &redb::Error) -> bool {
        match error {
            redb::Error::Corrupted(_) => true,
            redb::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
            _ => false,
        }
    }

    /// Applies changes in order and makes them durable together.
    pub fn apply(&self, changes: &[Change]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            for change in changes {
                tables.apply(change)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// The object's size and digest, if it is here.
    pub fn object(&self, fingerprint: Fingerprint) -> Result<Option<Content>> {
        let objects = self.database.begin_read()?.open_table(OBJECTS)?;
        let row = objects.get(&fingerprint.0)?;
        Ok(row.map(|row| to_content(fingerprint, row.value())))
    }

    /// When this very reference was made or last renewed, in seconds since the epoch, if it is here.
    pub fn renewed(&self, reference: &Reference) -> Result<Option<u64>> {
        let references = self.database.begin_read()?.open_table(REFERENCES)?;
        Ok(references.get(key(reference))?.map(|renewed| renewed.value()))
    }

    /// Whether the customer has any reference to the object.
    pub fn customer_holds(&self, customer: CustomerId, fingerprint: Fingerprint) -> Result<bool> {
        let references = self.database.begin_read()?.open_table(REFERENCES)?;
        let (low, high) = ([0; 16], [0xff; 16]);
        let range = (&fingerprint.0, customer.0, &low)..=(&fingerprint.0, customer.0, &high);
        let mut found = references.range::<(&[u8; 16], u32, &[u8; 16])>(range)?;
        Ok(found.next().transpose()?.is_some())
    }

    /// Up to `limit` references after `after`, in order, each with the second it was renewed in.
    pub fn references(&self, after: Option<Reference>, limit: usize) -> Result<Vec<(Reference, u64)>> {
        let references = self.database.begin_read()?.open_table(REFERENCES)?;
        let start = after.unwrap_or(FIRST_REFERENCE);
        let rows = references.range::<(&[u8; 16], u32, &[u8; 16])>(key(&start)..)?;
        rows.map(|row| {
            let (key, made) = row?;
            Ok((to_reference(key.value()), made.value()))
        })
        .filter(|row| !matches!(row, Ok((reference, _)) if Some(*reference) == after))
        .take(limit)
        .collect()
    }

    /// Objects on the disk, the empty one included.
    pub fn count(&self) -> Result<u64> {
        Ok(self.database.begin_read()?.open_table(OBJECTS)?.len()?)
    }

    /// All references to an object, in order, each with the second it was renewed in.
    pub fn references_of(&self, fingerprint: Fingerprint) -> Result<Vec<(Reference, u64)>> {
        let references = self.database.begin_read()?.open_table(REFERENCES)?;
        let rows = references.range::<(&[u8; 16], u32, &[u8; 16])>(all_of(&fingerprint))?;
        rows.map(|row| {
            let (key, made) = row?;
            Ok((to_reference(key.value()), made.value()))
        })
        .collect()
    }

    /// Up to `limit` objects after `after`, in order of their fingerprints.
    pub fn objects(&self, after: Option<Fingerprint>, limit: usize) -> Result<Vec<Content>> {
        let objects = self.database.begin_read()?.open_table(OBJECTS)?;
        let start = after.map_or([0; 16], |fingerprint| fingerprint.0);
        let rows = objects.range::<&[u8; 16]>(&start..)?;
        rows.map(|row| {
            let (key, value) = row?;
            Ok(to_content(Fingerprint(*key.value()), value.value()))
        })
        .filter(|row| !matches!(row, Ok(content) if Some(content.fingerprint) == after))
        .take(limit)
        .collect()
    }

    /// Up to `limit` objects that have had no reference for long enough.
    pub fn unlinkable(&self, now: u64, limit: usize) -> Result<Vec<Fingerprint>> {
        let unreferenced = self.database.begin_read()?.open_table(UNREFERENCED)?;
        let mut due = Vec::new();
        for row in unreferenced.iter()? {
            let (fingerprint, from) = row?;
            if from.value() <= now {
                due.push(Fingerprint(*fingerprint.value()));
            }
            if due.len() == limit {
                break;
            }
        }
        Ok(due)
    }

    /// Whether the object may be unlinked now: still unreferenced, and for long enough.
    pub fn is_unlinkable(&self, fingerprint: Fingerprint, now: u64) -> Result<bool> {
        let unreferenced = self.database.begin_read()?.open_table(UNREFERENCED)?;
        Ok(unreferenced.get(&fingerprint.0)?.is_some_and(|from| from.value() <= now))
    }
}

/// The three tables within one write transaction.
struct Tables<'txn> {
    objects: Table<'txn, &'static [u8; 16], (u64, &'static [u8; 32])>,
    references: Table<'txn, (&'static [u8; 16], u32, &'static [u8; 16]), u64>,
    unreferenced: Table<'txn, &'static [u8; 16], u64>,
}

impl<'txn> Tables<'txn> {
    fn open(transaction: &'txn WriteTransaction) -> Result<Self> {
        Ok(Self {
            objects: transaction.open_table(OBJECTS)?,
            references: transaction.open_table(REFERENCES)?,
            unreferenced: transaction.open_table(UNREFERENCED)?,
        })
    }

    fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Hold { content, reference, now } => {
                self.insert_object(content)?;
                self.unreferenced.remove(&content.fingerprint.0)?;
                self.references.insert(key(reference), now)?;
            }
            Change::Release { reference, unlink_from } => {
                self.references.remove(key(reference))?;
                self.mark_if_unreferenced(reference.fingerprint, *unlink_from)?;
            }
            Change::Found { content, unlink_from } => {
                self.insert_object(content)?;
                self.mark_if_unreferenced(content.fingerprint, *unlink_from)?;
            }
            Change::Gone { fingerprint } => {
                self.objects.remove(&fingerprint.0)?;
                self.unreferenced.remove(&fingerprint.0)?;
            }
        }
        Ok(())
    }

    fn insert_object(&mut self, content: &Content) -> Result<()> {
        self.objects.insert(&content.fingerprint.0, (content.size, &content.digest.0))?;
        Ok(())
    }

    /// The empty object belongs to everybody, so nothing ever marks it.
    fn mark_if_unreferenced(&mut self, fingerprint: Fingerprint, unlink_from: u64) -> Result<()> {
        let known = self.objects.get(&fingerprint.0)?.is_some();
        let held =
            self.references.range::<(&[u8; 16], u32, &[u8; 16])>(all_of(&fingerprint))?.next().is_some();
        let marked = self.unreferenced.get(&fingerprint.0)?.is_some();
        if known && !held && !marked && fingerprint != Content::EMPTY.fingerprint {
            self.unreferenced.insert(&fingerprint.0, unlink_from)?;
        }
        Ok(())
    }
}

const FIRST_REFERENCE: Reference =
    Reference { fingerprint: Fingerprint([0; 16]), customer: CustomerId(0), token: Token([0; 16]) };

fn all_of(fingerprint: &Fingerprint) -> RangeInclusive<(&[u8; 16], u32, &'static [u8; 16])> {
    (&fingerprint.0, 0, &[0; 16])..=(&fingerprint.0, u32::MAX, &[0xff; 16])
}

fn key(reference: &Reference) -> (&[u8; 16], u32, &[u8; 16]) {
    (&reference.fingerprint.0, reference.customer.0, &reference.token.0)
}

fn to_reference((fingerprint, customer, token): (&[u8; 16], u32, &[u8; 16])) -> Reference {
    Reference { fingerprint: Fingerprint(*fingerprint), customer: CustomerId(customer), token: Token(*token) }
}

fn to_content(fingerprint: Fingerprint, (size, digest): (u64, &[u8; 32])) -> Content {
    Content { fingerprint, size, digest: Digest(*digest) }
}
