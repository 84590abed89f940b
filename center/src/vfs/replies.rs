//! Answers remembered by idempotency key, so that a repeated request gets the first one and has no second effect.

use std::time::Duration;

use protocol::id::{CustomerId, Timestamp, Token};
use protocol::vfs::{Answer, Answered, Body, Existing, Operation, Reply, VfsError, VfsErrorCode, xml};

use super::edit::upload_of;
use super::engine::{Database, values};
use super::failure::Failure;
use super::time::before;

/// How long an answer is remembered. Clients of a port retry for seconds, a takeover takes seconds.
pub const REMEMBERED: Duration = Duration::from_secs(600);

/// The answer given under this key, if it is remembered.
pub fn recall(
    db: &dyn Database,
    customer: CustomerId,
    key: Token,
    now: Timestamp,
) -> Result<Option<Reply>, Failure> {
    let document: Option<Vec<u8>> = db.first(
        "SELECT document FROM reply WHERE customer = ?1 AND key = ?2 AND at > ?3",
        values![customer.0, &key.0, before(now, REMEMBERED).0],
        |row| row.get(0),
    )?;
    let Some(document) = document else { return Ok(None) };
    match xml::decode_replies(&document) {
        Ok(mut replies) if replies.len() == 1 => Ok(replies.pop()),
        _ => Err(Failure::new(VfsErrorCode::Unavailable, "the first answer cannot be read back")),
    }
}

/// Forgets up to `limit` of the oldest answers, if they are outdated.
pub fn forget(db: &dyn Database, now: Timestamp, limit: usize) -> Result<(), Failure> {
    let forget = format!(
        "DELETE FROM reply WHERE id IN (SELECT id FROM reply ORDER BY id LIMIT ?2 {}) AND at <= ?1",
        db.unless_locked()
    );
    Ok(db.execute(&forget, values![before(now, REMEMBERED).0, limit])?)
}

/// Remembers an answer.
pub fn remember(
    db: &dyn Database,
    customer: CustomerId,
    key: Token,
    now: Timestamp,
    reply: &Reply,
) -> Result<(), Failure> {
    let document = xml::encode_replies(std::slice::from_ref(reply));
    Ok(db.execute(
        "INSERT INTO reply (customer, key, at, document) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (customer, key) DO UPDATE SET at = excluded.at, document = excluded.document",
        values![customer.0, &key.0, now.0, &document],
    )?)
}

/// The first answer under a key as the answer to `operation`. An upload of other contents than that answer's, or what
/// puts another name into a folder, is no repetition: to tell its client `Ok` would lose them. Nor is a DELETE of a
/// change that left a row.
pub fn repeated(first: Reply, operation: &Operation) -> Reply {
    let Ok(Answered { answer: Answer::Changed(changed), .. }) = &first else { return first };
    let place = match operation {
        Operation::CreateFile { parent, name, .. }
        | Operation::CreateFolder { parent, name, .. }
        | Operation::Move { parent, name, .. } => Some((*parent, name)),
        _ => None,
    };
    let is_elsewhere = place.is_some_and(|(parent, name)| {
        changed.row.as_ref().is_none_or(|row| (row.parent, row.name.as_ref()) != (Some(parent), Some(name)))
    });
    let is_repetition = match (operation, upload_of(operation)) {
        _ if is_elsewhere => false,
        (Operation::Delete { .. }, _) => changed.row.is_none(),
        // A CREATE that opens what is there leaves it as it is, whatever was uploaded.
        (Operation::CreateFile { existing: Existing::Open, .. }, _) if !changed.created => true,
        (_, None) => true,
        (_, Some(upload)) => {
            changed.row.as_ref().is_some_and(|row| row.body == Body::File { content: upload.content })
        }
    };
    if is_repetition {
        return first;
    }
    let message = "this token was used for something else: choose another".to_owned();
    Err(VfsError { code: VfsErrorCode::Invalid, message })
}

/// Whether an answer is one to remember. A refusal that may be lifted from outside is not: the same request, repeated
/// after the contents were stored or the quota was raised, shall be tried again. It had no effect, so that is safe.
pub fn is_memorable(reply: &Reply) -> bool {
    match reply {
        Ok(_) => true,
        Err(error) => match error.code {
            VfsErrorCode::QuotaExceeded
            | VfsErrorCode::NoSuchObject
            | VfsErrorCode::Denied
            | VfsErrorCode::Unavailable
            | VfsErrorCode::Superseded(_) => false,
            VfsErrorCode::NotFound
            | VfsErrorCode::Exists
            | VfsErrorCode::NotEmpty
            | VfsErrorCode::NotFolder
            | VfsErrorCode::IsFolder
            | VfsErrorCode::VersionMismatch
            | VfsErrorCode::Invalid => true,
        },
    }
}
