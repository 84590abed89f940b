//! A large object's bytes on their way to the store, in parts: they lie under a name of their own, since the object's
//! is known only when all have come.
//!
//! Marks in the store tell of it, so that nothing stays behind whatever becomes of the process:
//!
//! 1. `begun`, with the id of the multipart upload, before the first part;
//! 2. `for.<object>`, before a record can name the bytes;
//! 3. the record, and only if `begun` still stands and `ended` does not, success;
//! 4. `begun` and `for` go.
//!
//! Whoever ends an upload, its own process or a later one, puts `ended` first and looks for a record then. Either he
//! sees the record, or the upload sees that it was ended. `begun` is the first mark to go: while it stands, `for` is
//! to be believed.

use object_store::multipart::PartId;
use object_store::{MultipartId, PutPayload};
use protocol::digest::Fingerprint;
use tokio::runtime::Handle;

use super::Bucket;
use super::keys::{DataId, UploadMark};
use super::record::Place;
use super::store::Fault;
use crate::objects::StoreError;

/// Parts that an upload may have (S3's own bound).
pub const PARTS_MAX: u64 = 10_000;

/// See the module. Dropped before [`Self::settle`], it is ended.
#[derive(Debug)]
pub struct Parts {
    bucket: Bucket,
    id: DataId,
    upload: Option<MultipartId>,
    parts: Vec<PartId>,
    is_joined: bool,
}

impl Parts {
    /// Before the first part.
    pub async fn begin(bucket: Bucket) -> Result<Self, Fault> {
        let id = bucket.new_data_id();
        bucket.arriving().insert(id);
        let mut begun = Self { bucket, id, upload: None, parts: Vec::new(), is_joined: false };
        let store = begun.bucket.store().clone();
        let upload = store.begin_parts(&store.keys().data(id)).await?;
        begun.upload = Some(upload.clone());
        store.put(&store.keys().upload_mark(id, UploadMark::Begun), upload.into_bytes()).await?;
        Ok(begun)
    }

    /// Under which name the bytes lie.
    pub const fn id(&self) -> DataId {
        self.id
    }

    /// The next part. All but the last have one length.
    ///
    /// # Errors
    /// `NoSpace`: there are as many as an object may have.
    pub async fn put(&mut self, part: PutPayload) -> Result<(), StoreError> {
        if self.parts.len() as u64 >= PARTS_MAX {
            return Err(StoreError::NoSpace);
        }
        let store = self.bucket.store();
        let Some(upload) = &self.upload else {
            return Err(StoreError::Unavailable("the upload did not begin".to_string()));
        };
        let put = store.put_part(&store.keys().data(self.id), upload, self.parts.len(), part).await?;
        self.parts.push(put);
        Ok(())
    }

    /// Makes one of all parts, to become that object.
    pub async fn join(&mut self, fingerprint: Fingerprint) -> Result<(), Fault> {
        if self.is_joined {
            return Ok(());
        }
        let store = self.bucket.store();
        store.put(&store.keys().upload_mark(self.id, UploadMark::For(fingerprint)), Vec::new()).await?;
        if let Some(upload) = &self.upload {
            store.join_parts(&store.keys().data(self.id), upload, self.parts.clone()).await?;
        }
        self.is_joined = true;
        Ok(())
    }

    /// Whether nobody has begun to end the upload.
    pub async fn may_finish(&self) -> Result<bool, Fault> {
        let marks = self.bucket.upload_marks(self.id).await?;
        Ok(marks.contains(&UploadMark::Begun) && !marks.contains(&UploadMark::Ended))
    }

    /// A record names the bytes: the marks go. One that stays is removed by a later end.
    pub async fn settle(mut self, fingerprint: Fingerprint) {
        self.upload = None;
        let (store, id) = (self.bucket.store().clone(), self.id);
        for mark in [UploadMark::Begun, UploadMark::For(fingerprint)] {
            if let Err(fault) = store.delete(&store.keys().upload_mark(id, mark)).await {
                tracing::debug!(%fault, "the marks of an upload are removed later");
                break;
            }
        }
        self.bucket.arriving().remove(&id);
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let (bucket, id) = (self.bucket.clone(), self.id);
        match (self.upload.take(), Handle::try_current()) {
            (Some(upload), Ok(runtime)) => {
                runtime.spawn(async move {
                    if let Err(fault) = bucket.end_upload(id, Some(upload)).await {
                        tracing::warn!(%fault, upload = %id, "what an upload left in the store is removed later");
                    }
                    bucket.arriving().remove(&id);
                });
            }
            _ => _ = bucket.arriving().remove(&id),
        }
    }
}

impl Bucket {
    pub(super) async fn upload_marks(&self, id: DataId) -> Result<Vec<UploadMark>, Fault> {
        let store = self.store();
        let listed = store.list(&store.keys().upload(id)).await?;
        Ok(listed.iter().filter_map(|meta| Some(store.keys().mark_of_upload(&meta.location)?.1)).collect())
    }

    /// Ends an upload that nobody finishes: of its bytes nothing stays, unless a record names them. `upload` is the
    /// multipart upload's id, if the caller knows it.
    pub(super) async fn end_upload(&self, id: DataId, upload: Option<MultipartId>) -> Result<(), Fault> {
        let (store, keys) = (self.store(), self.store().keys());
        store.put(&keys.upload_mark(id, UploadMark::Ended), Vec::new()).await?;
        let marks = self.upload_marks(id).await?;
        // After the list, see the module.
        let begun = match store.get(&keys.upload_mark(id, UploadMark::Begun)).await {
            Ok(begun) => String::from_utf8(begun.to_vec()).ok(),
            Err(Fault::Missing) => None,
            Err(fault) => return Err(fault),
        };
        let is_finished = begun.is_none() && upload.is_none();
        if !is_finished && !self.is_named(id, &marks).await? {
            if let Some(upload) = upload.or(begun) {
                store.drop_parts(&keys.data(id), &upload).await?;
            }
            store.delete(&keys.data(id)).await?;
        }
        let named = marks.into_iter().filter(|mark| matches!(mark, UploadMark::For(_)));
        for mark in [UploadMark::Begun].into_iter().chain(named).chain([UploadMark::Ended]) {
            store.delete(&keys.upload_mark(id, mark)).await?;
        }
        Ok(())
    }

    /// Whether a record of an object that the marks tell of names the bytes.
    async fn is_named(&self, id: DataId, marks: &[UploadMark]) -> Result<bool, Fault> {
        for mark in marks {
            let UploadMark::For(fingerprint) = mark else { continue };
            let copies = self.copies(*fingerprint).await?;
            for listed in copies.counted().into_iter().chain(copies.gone()) {
                let head = self.head(*fingerprint, listed.number).await?;
                if head.is_some_and(|head| head.place == Place::Data(id)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Ends uploads that are not this process's. Answers how many there were.
    pub(super) async fn end_abandoned(&self) -> Result<u64, Fault> {
        let store = self.store();
        let (mut walk, mut ended, mut last) = (store.walk(&store.keys().uploads(), None), 0, None);
        while let Some(meta) = walk.next().await? {
            let Some((id, _)) = store.keys().mark_of_upload(&meta.location) else { continue };
            if last == Some(id) || self.arriving().contains(&id) {
                continue;
            }
            self.end_upload(id, None).await?;
            (last, ended) = (Some(id), ended + 1);
        }
        Ok(ended)
    }
}
