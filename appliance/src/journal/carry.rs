//! Carrying forward: what is staged of a file that cannot be uploaded is written once more at the log's end, so that it holds
//! up no older segment, and the space of all others with it.
//!
//! It takes no record of its own kind: see [`State`](super::state::State). Whatever happens meanwhile, or if it ends halfway,
//! the file reads as before.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use protocol::id::{Timestamp, Token};

use super::record::HEADER_BYTES;
use super::state::Request;
use super::{FileKey, Journal, JournalError, Piece, Settings, locked, off_the_runtime};

/// Bytes that are read and written at once.
const CHUNK_BYTES: u64 = 256 << 10;
/// Records that begin and end it.
const RECORDS: u64 = 8;

impl Journal {
    /// Whether `file` needs the oldest segment there is, and so holds up the space of all that is newer.
    pub async fn holds_up_others(&self, file: FileKey) -> bool {
        let inner = Arc::clone(&self.inner);
        let look = move || {
            let log = locked(&inner.log);
            let first = locked(&inner.state).first_segment_of(file);
            let is_oldest = |first: u64| first <= log.oldest_segment() && first < log.active_segment();
            Ok(first.is_some_and(is_oldest))
        };
        off_the_runtime(look).await.unwrap_or(false)
    }

    /// Moves what is staged of `file` to the end of the log, by way of a `token` that nothing else has; the space before it
    /// is freed. An upload that has begun is undone: what it stored is an orphan in the center, which finds such (REF-4).
    /// `false`, and the file is as before, if nothing is staged, if it is too much for the space that is left, or if other
    /// contents came beneath it.
    ///
    /// # Errors
    /// `Full`, `NoSpace`, `Failed`, `IsMirror`, `Io`.
    pub async fn carry_forward(&self, file: FileKey, token: Token) -> Result<bool, JournalError> {
        if !self.has_room_to_carry(file) {
            return Ok(false);
        }
        let ask = async |request| self.request(file, request, Timestamp::default()).await;
        ask(Request::BeginCarry(token)).await?;
        let snapshot = locked(&self.inner.state).upload(file).filter(|snapshot| snapshot.token == token);
        let Some(snapshot) = snapshot else { return Ok(false) };
        let chunk = self.chunk_bytes();
        for (offset, piece) in snapshot.layer.own(snapshot.base.content.size) {
            // Zeros that hide more of the contents than the file is long are a size.
            let all = piece.length().min(snapshot.size.saturating_sub(offset));
            let mut done = 0;
            while done < all {
                let len = chunk.min(all - done);
                let data = self.bytes_of(piece.clone(), done, len as usize).await?;
                // Until it has nothing to do: one takes a few of the parts between what is newer.
                while ask(Request::Carry(token, offset + done, data.clone())).await?.is_some() {}
                done += len;
            }
        }
        let is_done = ask(Request::EndCarry(token)).await?.is_some();
        self.reclaim().await?;
        Ok(is_done)
    }

    /// Whether there is room for all of it, as far as can be told before: in the last segment for half of it.
    fn has_room_to_carry(&self, file: FileKey) -> bool {
        let usage = self.usage();
        let Some((bytes, extents)) = locked(&self.inner.state).load_of(file) else { return false };
        let Settings { segment_bytes, extents_max, .. } = self.inner.settings;
        let records = extents as u64 + bytes / self.chunk_bytes() + RECORDS;
        let bytes = bytes + 2 * HEADER_BYTES as u64 * records;
        usage.bytes_used.saturating_add(bytes) <= usage.bytes_max + segment_bytes / 2
            && usage.extents + extents <= extents_max
    }

    fn chunk_bytes(&self) -> u64 {
        CHUNK_BYTES.min(self.inner.settings.segment_bytes / 4).max(1)
    }

    async fn bytes_of(&self, piece: Piece, from: u64, len: usize) -> Result<Bytes, JournalError> {
        let dir = self.inner.settings.dir.clone();
        off_the_runtime(move || {
            let mut bytes = vec![0; len];
            if let Piece::Staged { log, position, .. } = piece {
                log.read_exact_at(&mut bytes, position + from)
                    .map_err(|error| JournalError::from_io(&dir, error))?;
            }
            Ok(bytes.into())
        })
        .await
    }
}
