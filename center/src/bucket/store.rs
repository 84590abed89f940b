//! The store itself: each call bounded in time, each failure typed.
//!
//! The client below tries again by itself what fails in passing ([`super::connect`]), so what fails here has failed for
//! seconds.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, MultipartId, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
};
use thiserror::Error;

use super::keys::Keys;
use crate::objects::{FetchError, StoreError, Unavailable};

/// Longest time for one call that carries at most a block or a page of names.
const CALL_MAX: Duration = Duration::from_secs(10);
/// Longest time for one call that carries a part of a large object, or puts its parts together.
const PART_MAX: Duration = Duration::from_secs(120);

/// An S3-type store, or what stands in for one in a test.
pub trait Backend: ObjectStore + MultipartStore {}

impl<S: ObjectStore + MultipartStore> Backend for S {}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// There is nothing of this name; also no such bucket.
    #[error("the store has nothing of this name")]
    Missing,
    /// It lets us not; mend the credentials or the rights they have.
    #[error("the store refuses us: {0}; mend isn.s3.credentials_file or the rights of that key")]
    Refused(String),
    /// It does not answer, or not in time; try again later.
    #[error("the store does not answer: {0}")]
    Away(String),
    /// What it has is not what we put there.
    #[error("the store holds something else than was put there: {0}")]
    Spoiled(String),
}

impl From<object_store::Error> for Fault {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error;
        match error {
            Error::NotFound { .. } => Self::Missing,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Self::Refused(one_line(&error)),
            error => Self::Away(one_line(&error)),
        }
    }
}

fn one_line(error: &object_store::Error) -> String {
    error.to_string().replace('\n', " ")
}

impl From<Fault> for Unavailable {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.to_string())
    }
}

impl From<Fault> for FetchError {
    fn from(_: Fault) -> Self {
        Self::Unavailable
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// A bucket and a prefix in it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<dyn Backend>,
    keys: Keys,
    name: Arc<str>,
    /// Why the last call failed, if it did.
    trouble: Arc<Mutex<Option<String>>>,
}

impl Store {
    /// `name` is for people: where it is.
    pub fn new(backend: Arc<dyn Backend>, prefix: &str, name: &str) -> Self {
        Self { backend, keys: Keys::new(prefix), name: name.into(), trouble: Arc::default() }
    }

    /// The names in it.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Where it is, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it did not answer last time; nothing if it did.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes something whole that nobody else writes.
    pub async fn put(&self, path: &Path, payload: impl Into<PutPayload>) -> Result<()> {
        self.call(CALL_MAX, self.backend.put(path, payload.into())).await.map(drop)
    }

    /// Writes something whole if nothing has its name (If-None-Match: *); whether it did.
    pub async fn create(&self, path: &Path, payload: impl Into<PutPayload>) -> Result<bool> {
        let put = async {
            match self.backend.put_opts(path, payload.into(), PutMode::Create.into()).await {
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(false)
                }
                put => put.map(|_| true),
            }
        };
        self.call(PART_MAX, put).await
    }

    /// All of something small.
    pub async fn get(&self, path: &Path) -> Result<Bytes> {
        self.call(CALL_MAX, async { self.backend.get(path).await?.bytes().await }).await
    }

    /// Bytes of something, fewer where it ends earlier.
    pub async fn get_range(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(range)));
        self.call(CALL_MAX, async { self.backend.get_opts(path, options).await?.bytes().await }).await
    }

    /// Its length in bytes, if it is there.
    pub async fn length(&self, path: &Path) -> Result<Option<u64>> {
        match self.call(CALL_MAX, self.backend.head(path)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Fault::Missing) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Removes something, whether or not it is there.
    pub async fn delete(&self, path: &Path) -> Result<()> {
        match self.call(CALL_MAX, self.backend.delete(path)).await {
            Err(Fault::Missing) => Ok(()),
            deleted => deleted,
        }
    }

    /// All names below a folder that has few.
    pub async fn list(&self, folder: &Path) -> Result<Vec<ObjectMeta>> {
        let (mut walk, mut listed) = (self.walk(folder, None), Vec::new());
        while let Some(meta) = walk.next().await? {
            listed.push(meta);
        }
        Ok(listed)
    }

    /// Whether there is any name below a folder.
    pub async fn has_any(&self, folder: &Path) -> Result<bool> {
        Ok(self.walk(folder, None).next().await?.is_some())
    }

    /// All names below a folder, in order, from behind one of them on.
    pub fn walk(&self, folder: &Path, behind: Option<&Path>) -> Walk<'_> {
        let names = match behind {
            None => self.backend.list(Some(folder)),
            Some(behind) => self.backend.list_with_offset(Some(folder), behind),
        };
        Walk { store: self, names }
    }

    /// Begins to receive something in parts.
    pub async fn begin_parts(&self, path: &Path) -> Result<MultipartId> {
        self.call(CALL_MAX, self.backend.create_multipart(path)).await
    }

    /// Part `index`, counted from 0.
    pub async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        index: usize,
        part: PutPayload,
    ) -> Result<PartId> {
        self.call(PART_MAX, self.backend.put_part(path, id, index, part)).await
    }

    /// Makes one of all the parts.
    pub async fn join_parts(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<()> {
        self.call(PART_MAX, self.backend.complete_multipart(path, id, parts)).await.map(drop)
    }

    /// Drops all parts. Not an error if that was done, or they were joined.
    pub async fn drop_parts(&self, path: &Path, id: &MultipartId) -> Result<()> {
        match self.call(CALL_MAX, self.backend.abort_multipart(path, id)).await {
            Err(Fault::Missing) => Ok(()),
            dropped => dropped,
        }
    }

    async fn call<T>(
        &self,
        longest: Duration,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let outcome = match tokio::time::timeout(longest, call).await {
            Ok(outcome) => outcome.map_err(Fault::from),
            Err(_) => Err(Fault::Away(format!("no answer within {} s", longest.as_secs()))),
        };
        self.note(outcome.as_ref().err());
        outcome
    }

    /// Says once when the store begins to fail, and once when that is over.
    fn note(&self, fault: Option<&Fault>) {
        let now = match fault {
            None | Some(Fault::Missing | Fault::Spoiled(_)) => None,
            Some(fault) => Some(fault.to_string()),
        };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*trouble, &now) {
            (None, Some(reason)) => tracing::error!(store = %self.name, reason, "the object store fails"),
            (Some(_), None) => tracing::info!(store = %self.name, "the object store answers again"),
            _ => {}
        }
        *trouble = now;
    }
}

/// Names on their way, a page at a time.
pub struct Walk<'store> {
    store: &'store Store,
    names: BoxStream<'static, object_store::Result<ObjectMeta>>,
}

impl Walk<'_> {
    /// The next name.
    pub async fn next(&mut self) -> Result<Option<ObjectMeta>> {
        let next = async { self.names.next().await.transpose() };
        self.store.call(CALL_MAX, next).await
    }
}
