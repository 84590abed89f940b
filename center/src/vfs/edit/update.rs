//! UPDATE FOLDER and UPDATE FILE: metadata, times, contents (VFS-16, VFS-20).

use protocol::id::{ObjectId, Timestamp};
use protocol::vfs::{Body, Changed, VfsErrorCode};

use super::{Edit, Failure, Verified, check_metadata};
use crate::vfs::tree::Entry;

/// Times the client wants.
#[derive(Default)]
pub(super) struct Times {
    /// New modification time.
    pub modified: Option<Timestamp>,
    /// New change time, if it is above the old one.
    pub changed: Option<Timestamp>,
}

impl Edit<'_> {
    pub(super) fn update(
        &mut self,
        id: ObjectId,
        if_version: Option<u64>,
        metadata: Option<&[u8]>,
        times: Times,
        verified: Option<Verified>,
    ) -> Result<Changed, Failure> {
        let mut entry = self.tree.entry(id)?;
        if if_version.is_some_and(|version| version != entry.row.version) {
            return Err(Failure::new(VfsErrorCode::VersionMismatch, "the row has another version by now"));
        }
        let before = entry.snapshot();
        // First, while the row is as it will be kept.
        if let Some(verified) = &verified {
            self.replace_contents(&mut entry, verified)?;
        }
        let changed = times.changed.filter(|wanted| *wanted > entry.row.changed);
        entry.row.changed = changed.unwrap_or_else(|| self.stamp(entry.row.changed));
        if verified.is_some() {
            entry.row.modified = entry.row.changed;
        }
        if let Some(modified) = times.modified {
            entry.row.modified = modified;
        }
        if let Some(metadata) = metadata {
            check_metadata(metadata)?;
            entry.row.metadata = metadata.to_vec();
        }
        self.save(&mut entry)?;
        Ok(Changed {
            row: Some(entry.row),
            before: Some(before),
            created: false,
            removed: None,
            folders: Vec::new(),
        })
    }

    fn replace_contents(&mut self, entry: &mut Entry, verified: &Verified) -> Result<(), Failure> {
        let Verified { content, token, .. } = *verified;
        let Some(old) = entry.content() else {
            return Err(Failure::new(VfsErrorCode::IsFolder, "a folder has no contents"));
        };
        if old.fingerprint == content.fingerprint && entry.token == token {
            return Ok(()); // The same upload once more: the row keeps its reference.
        }
        self.claim_reference(Some(entry.row.id), verified)?;
        self.give_up_contents(entry)?;
        self.charge_bytes(old.size, &content)?;
        entry.row.body = Body::File { content };
        entry.token = token;
        Ok(())
    }
}
