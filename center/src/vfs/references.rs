//! Which references the rows hold, those of files and those of versions (REF-4): the truth the storage cluster reconciles
//! itself with.

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, ObjectId, Token};

use super::engine::{Database, values};
use super::failure::StoreError;
use super::outbox;
use super::versions::{self, Kept};

/// Most references of one page.
pub const PAGE_MAX: usize = 1_000;

/// A reference that a file's row holds, or a version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The file; of a version, the one it was of.
    pub file: ObjectId,
    /// Its contents.
    pub content: Content,
    /// The reference's token.
    pub token: Token,
}

/// What holds a reference: of one, there is one.
#[derive(Debug)]
pub enum Holder {
    /// The row of a file.
    Row(ObjectId),
    /// A version.
    Version(Box<Kept>),
}

/// Who holds a reference.
pub fn holder(
    db: &dyn Database,
    customer: CustomerId,
    fingerprint: Fingerprint,
    token: Token,
) -> Result<Option<Holder>, StoreError> {
    let row = db.first(
        "SELECT id FROM entry WHERE customer = ?1 AND fingerprint = ?2 AND token = ?3",
        values![customer.0, &fingerprint.0, &token.0],
        |row| row.get(0).map(ObjectId),
    )?;
    Ok(match row {
        Some(row) => Some(Holder::Row(row)),
        None => {
            let kept = versions::holding(db, customer, fingerprint, token)?;
            kept.map(|kept| Holder::Version(Box::new(kept)))
        }
    })
}

/// Whether a row holds the reference, or the outbox will release it: in either case it is no orphan.
pub fn is_referenced(
    db: &dyn Database,
    customer: CustomerId,
    fingerprint: Fingerprint,
    token: Token,
) -> Result<bool, StoreError> {
    let is_held = holder(db, customer, fingerprint, token)?.is_some();
    Ok(is_held || outbox::is_pending(db, Reference { fingerprint, customer, token })?)
}

/// References held by rows, in order of fingerprint and token, after the given one; at most `limit`.
pub fn page(
    db: &dyn Database,
    customer: CustomerId,
    after: Option<(Fingerprint, Token)>,
    limit: usize,
) -> Result<Vec<Held>, StoreError> {
    // An empty blob sorts before every fingerprint.
    let fingerprint = after.map_or(Vec::new(), |(fingerprint, _)| fingerprint.0.to_vec());
    let token = after.map_or(Vec::new(), |(_, token)| token.0.to_vec());
    let limit = limit.min(PAGE_MAX);
    let mut page = Vec::new();
    for (table, file) in [("entry", "id"), ("version", "entry")] {
        let sql = format!(
            "SELECT {file}, fingerprint, size, digest, token FROM {table}
             WHERE customer = ?1 AND token IS NOT NULL AND (fingerprint, token) > (?2, ?3)
             ORDER BY fingerprint, token LIMIT ?4"
        );
        page.extend(db.list(&sql, values![customer.0, &fingerprint, &token, limit], |row| {
            Ok(Held {
                file: ObjectId(row.get(0)?),
                content: Content {
                    fingerprint: Fingerprint(row.get(1)?),
                    size: row.get(2)?,
                    digest: Digest(row.get(3)?),
                },
                token: Token(row.get(4)?),
            })
        })?);
    }
    // The first of both are among the first of each.
    page.sort_unstable_by_key(|held| (held.content.fingerprint, held.token));
    page.truncate(limit);
    Ok(page)
}
