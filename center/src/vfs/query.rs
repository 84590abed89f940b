//! Operations that change nothing: OPEN ROOT, OPEN FOLDER, OPEN FILE, VERSIONS, USAGE, CHANGES (VFS-10, VFS-11, VFS-24).
//!
//! Each is answered from one snapshot, together with the feed position of that snapshot.

use protocol::id::{CustomerId, FeedPosition, ObjectId, VersionId};
use protocol::pair::{LeaseAnswer, PairName};
use protocol::srl::{AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use protocol::vfs::{
    Answer, Answered, Body, ENTRIES_MAX, Row, Target, VERSIONS_MAX, Version, Versioned, VfsErrorCode,
};

use super::customer;
use super::engine::Database;
use super::failure::Failure;
use super::feed;
use super::pairs;
use super::tree::{Entry, Tree};
use super::versions;

/// A reading operation; see [`protocol::vfs::Operation`] for the fields.
#[derive(Clone, Debug)]
pub enum Query {
    /// The root folder.
    OpenRoot,
    /// A folder and some of its entries.
    OpenFolder { folder: ObjectId, after: Option<ObjectId>, limit: u32, srl_expires: Option<u64> },
    /// A file or folder by itself.
    Open { target: Target, srl_expires: Option<u64> },
    /// What is kept of deleted and overwritten files.
    Versions { of: Versioned, after: Option<VersionId>, limit: u32 },
    /// Quota and use.
    Usage { bytes_free: u64 },
    /// Changes there are after a position.
    Changes { since: FeedPosition },
    /// Which generation of a pair is in force.
    InForce { pair: PairName },
}

/// Answers a query through a connection that is inside a transaction.
pub fn answer(db: &dyn Database, customer: CustomerId, query: &Query) -> Result<Answered, Failure> {
    let tree = Tree::open(db, customer)?;
    let answer = match query {
        Query::OpenRoot => Answer::Row(tree.entry(tree.account.root)?.row),
        Query::OpenFolder { folder, after, limit, srl_expires } => {
            open_folder(&tree, *folder, *after, *limit, Signer::new(&tree, *srl_expires)?)?
        }
        Query::Open { target, srl_expires } => {
            let mut row = tree.find(target)?.row;
            Signer::new(&tree, *srl_expires)?.sign(&mut row);
            Answer::Row(row)
        }
        Query::Versions { of, after, limit } => list_versions(&tree, of, *after, *limit)?,
        Query::Usage { bytes_free } => {
            let mut usage = tree.account.usage;
            usage.bytes_free = *bytes_free;
            Answer::Usage(usage)
        }
        Query::Changes { since } => feed::read(db, customer, tree.account.position, *since)?,
        Query::InForce { pair } => {
            Answer::Lease(LeaseAnswer::InForce { generation: pairs::in_force(db, customer, pair)? })
        }
    };
    Ok(Answered { position: tree.account.position, answer })
}

fn open_folder(
    tree: &Tree<'_>,
    folder: ObjectId,
    after: Option<ObjectId>,
    limit: u32,
    signer: Signer,
) -> Result<Answer, Failure> {
    if !(1..=ENTRIES_MAX).contains(&limit) {
        return Err(Failure::new(VfsErrorCode::Invalid, "a listing has 1 to 1,000 entries"));
    }
    let limit = limit as usize;
    let mut folder = tree.folder(folder)?.row;
    // No row has an id beyond what a database integer holds.
    let after = after.map_or(ObjectId(0), |ObjectId(id)| ObjectId(id.min(i64::MAX.unsigned_abs())));
    // One more than asked for tells whether more follow.
    let mut entries: Vec<Row> =
        tree.children(folder.id, after, limit + 1)?.into_iter().map(|Entry { row, .. }| row).collect();
    let more = entries.len() > limit;
    entries.truncate(limit);
    signer.sign(&mut folder);
    entries.iter_mut().for_each(|row| signer.sign(row));
    Ok(Answer::Folder { folder, entries, more })
}

/// Of whatever ever was there: a folder that is gone is asked for by its id.
fn list_versions(
    tree: &Tree<'_>,
    of: &Versioned,
    after: Option<VersionId>,
    limit: u32,
) -> Result<Answer, Failure> {
    if !(1..=VERSIONS_MAX).contains(&limit) {
        return Err(Failure::new(VfsErrorCode::Invalid, "a list has 1 to 1,000 versions"));
    }
    let limit = limit as usize;
    let after = after.unwrap_or(VersionId(0));
    let mut kept = versions::list(tree.db, tree.customer, of, after, limit + 1)?;
    let more = kept.len() > limit;
    kept.truncate(limit);
    Ok(Answer::Versions { versions: kept.into_iter().map(Version::from).collect(), more })
}

/// Makes the SRLs of an answer: what a browser may use, in the founding document's own version (SRL-13).
struct Signer {
    customer: CustomerId,
    /// The expiry wanted and the secret that signs; `None` when no SRLs are wanted.
    with: Option<(u64, Secret)>,
}

impl Signer {
    fn new(tree: &Tree<'_>, expires: Option<u64>) -> Result<Self, Failure> {
        let with = match expires {
            None => None,
            Some(expires) => {
                let secret = customer::secrets(tree.db, tree.customer)?.into_iter().next();
                let secret = secret.ok_or_else(|| {
                    Failure::new(VfsErrorCode::Unavailable, "the customer has no secret to sign with")
                })?;
                Some((expires, secret))
            }
        };
        Ok(Self { customer: tree.customer, with })
    }

    /// Download SRL of a file, with its name as the customer's part; upload SRL of a folder (VFS-19).
    fn sign(&self, row: &mut Row) {
        let Some((expires, secret)) = &self.with else { return };
        let (operation, uri) = match row.body {
            Body::File { content } => {
                let name = row.name.as_ref().map_or(&b""[..], |name| name.as_bytes());
                (SrlOperation::Fetch { object: ObjectName::Content(content.fingerprint) }, name)
            }
            Body::Folder { .. } => (SrlOperation::Store { parent: row.id }, &b""[..]),
        };
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::Md5,
            expires: *expires,
            access: AccessMethod::EndUser,
            customer: self.customer,
            operation,
        };
        row.srl = Some(request.sign(secret).path(uri));
    }
}
