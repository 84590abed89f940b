//! Which references the rows hold (REF-4): the truth the storage cluster reconciles itself with.

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, ObjectId, Token};

use super::engine::{Database, values};
use super::failure::StoreError;
use super::outbox;

/// Most references of one page.
pub const PAGE_MAX: usize = 1_000;

/// A reference some row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The file.
    pub file: ObjectId,
    /// Its contents.
    pub content: Content,
    /// The reference's token.
    pub token: Token,
}

/// The row that holds a reference.
pub fn row_with(
    db: &dyn Database,
    customer: CustomerId,
    fingerprint: Fingerprint,
    token: Token,
) -> Result<Option<ObjectId>, StoreError> {
    db.first(
        "SELECT id FROM entry WHERE customer = ?1 AND fingerprint = ?2 AND token = ?3",
        values![customer.0, &fingerprint.0, &token.0],
        |row| row.get(0).map(ObjectId),
    )
}

/// Whether a row holds the reference, or the outbox will release it: in either case it is no orphan.
pub fn is_referenced(
    db: &dyn Database,
    customer: CustomerId,
    fingerprint: Fingerprint,
    token: Token,
) -> Result<bool, StoreError> {
    let is_held = row_with(db, customer, fingerprint, token)?.is_some();
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
    db.list(
        "SELECT id, fingerprint, size, digest, token FROM entry
         WHERE customer = ?1 AND token IS NOT NULL AND (fingerprint, token) > (?2, ?3)
         ORDER BY fingerprint, token LIMIT ?4",
        values![customer.0, &fingerprint, &token, limit.min(PAGE_MAX)],
        |row| {
            Ok(Held {
                file: ObjectId(row.get(0)?),
                content: Content {
                    fingerprint: Fingerprint(row.get(1)?),
                    size: row.get(2)?,
                    digest: Digest(row.get(3)?),
                },
                token: Token(row.get(4)?),
            })
        },
    )
}
