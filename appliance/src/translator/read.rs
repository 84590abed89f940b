//! READ: staged bytes out of the journal, all others out of the data cache (PORT-3, PORT-10, FO-8 to FO-10).

use std::ops::Range;

use bytes::Bytes;
use nfs::filesystem::{Attributes, Caller, FileKind, FsError, FsResult, Handle, Read, Segment};
use protocol::digest::Content;

use super::attributes::{kind, permissions};
use super::handle::View;
use super::{Object, TRANSFER_BYTES_MAX, Translator, base_of};
use crate::center::{CenterError, StorageCenter};
use crate::host;
use crate::journal::{Piece, StagedView};
use crate::object::Keeping;

/// Holes are sent from here.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

impl<C: StorageCenter> Translator<C> {
    /// READ.
    pub(super) async fn read_file(
        &self,
        caller: &Caller,
        file: &Handle,
        offset: u64,
        count: u32,
    ) -> FsResult<Read> {
        let mut object = self.object(caller, file)?;
        let count = u64::from(count.min(TRANSFER_BYTES_MAX));
        match self.read_once(&mut object, offset, count).await {
            // Replaced from elsewhere since the row was read: its new contents are to be had.
            Err(ReadError::ContentsGone(staged)) => {
                self.stand_on_new_contents(&object, staged).await?;
                self.read_once(&mut object, offset, count).await.map_err(FsError::from)
            }
            result => result.map_err(FsError::from),
        }
    }

    async fn read_once(
        &self,
        object: &mut Object<'_, C>,
        offset: u64,
        count: u64,
    ) -> Result<Read, ReadError> {
        let staged = self.journal.read(object.file(), offset, count);
        let entry = object.entry().await?;
        match kind(&entry) {
            FileKind::Regular => permissions(&entry).may_read(&object.who)?,
            FileKind::Directory => return Err(FsError::IsDirectory.into()),
            FileKind::Symlink => return Err(FsError::Invalid.into()),
        }
        if object.place.view == View::Srl {
            let (text, attributes) = self.srl_text(object).await?;
            let range = cut(offset, count, text.len() as u64);
            let data = vec![Segment::Bytes(text.slice(range.start as usize..range.end as usize))];
            return Ok(answer(data, range, attributes));
        }
        let keeping = object.customer.keeping_in(entry.row.parent).await;
        let view = staged.as_ref().map(|(view, _)| view);
        let attributes = self.show(object, &entry, view);
        let range = cut(offset, count, attributes.size);
        let data = match &staged {
            Some((view, pieces)) => {
                let read = self.read_pieces(object, &view.base.content, pieces, keeping).await;
                read.map_err(|error| ReadError::of(error, Some(*view)))?
            }
            None => {
                let content = base_of(&entry)?.content;
                object.customer.objects.read_ahead(object.file(), &content, range.clone(), keeping);
                let read = object.customer.objects.read(&content, range.clone(), keeping).await;
                read.map_err(|error| ReadError::of(error, None))?
            }
        };
        Ok(answer(data, range, attributes))
    }

    async fn read_pieces(
        &self,
        object: &Object<'_, C>,
        base: &Content,
        pieces: &[Piece],
        keeping: Keeping,
    ) -> Result<Vec<Segment>, CenterError> {
        let mut data = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece {
                // No piece is longer than the READ, which a `u32` counts.
                Piece::Staged { log, position, len } => {
                    data.push(Segment::File { file: log.clone(), offset: *position, len: *len as u32 });
                }
                Piece::Base { offset, len } => {
                    let range = *offset..*offset + *len;
                    data.extend(object.customer.objects.read(base, range, keeping).await?);
                }
                Piece::Zero { len } => {
                    let zeros =
                        |left: u64| Bytes::from_static(&ZEROS[..left.min(ZEROS.len() as u64) as usize]);
                    let steps = (0..*len).step_by(ZEROS.len());
                    data.extend(steps.map(|done| Segment::Bytes(zeros(*len - done))));
                }
            }
        }
        Ok(data)
    }

    /// Reads the row again, and puts what is staged onto the contents it has now.
    async fn stand_on_new_contents(
        &self,
        object: &Object<'_, C>,
        staged: Option<StagedView>,
    ) -> FsResult<()> {
        let base = base_of(&*object.entry_anew().await?)?;
        match staged {
            Some(view) if view.base.content != base.content => {
                let rebased = self.journal.rebase(object.file(), base, host::now()).await;
                rebased.map_err(|error| self.journal_error(&error))
            }
            _ => Ok(()),
        }
    }
}

enum ReadError {
    Failed(FsError),
    /// The cluster has the contents no more; what stood on them was staged so.
    ContentsGone(Option<StagedView>),
}

impl ReadError {
    fn of(error: CenterError, staged: Option<StagedView>) -> Self {
        match error {
            CenterError::NoObject => Self::ContentsGone(staged),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<FsError> for ReadError {
    fn from(error: FsError) -> Self {
        Self::Failed(error)
    }
}

impl From<ReadError> for FsError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed(error) => error,
            // The new contents went as well while they were read: the next try finds those after them.
            ReadError::ContentsGone(_) => Self::TryLater,
        }
    }
}

fn cut(offset: u64, count: u64, size: u64) -> Range<u64> {
    let start = offset.min(size);
    start..start.saturating_add(count).min(size)
}

fn answer(data: Vec<Segment>, range: Range<u64>, attributes: Attributes) -> Read {
    Read { data, eof: range.end >= attributes.size, attributes }
}
