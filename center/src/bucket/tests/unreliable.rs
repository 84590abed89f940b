//! A store in memory whose requests take their time and fail in every way a network can make them fail: before they
//! were done, after they were done, and done only later. From a seed.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// See the module. Clones are the same store with the same troubles.
#[derive(Clone, Debug)]
pub struct Unreliable {
    inner: Arc<InMemory>,
    rng: Arc<Mutex<StdRng>>,
    /// Of a thousand requests, so many fail.
    failing: u32,
    /// Whether conditions are heeded.
    conditional: bool,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

/// What others do just after a listing was made and before its answer comes.
struct Meanwhile {
    folder: Path,
    /// So many listings of the folder before are answered at once.
    skipped: u32,
    event: BoxFuture<'static, ()>,
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event at a listing of {}", self.folder)
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    FailedBefore,
    FailedAfter,
    /// Failed, and done some time later.
    DoneLate,
}

impl Unreliable {
    pub fn new(inner: Arc<InMemory>, seed: u64, failing: u32) -> Self {
        let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        Self { inner, rng, failing, conditional: true, meanwhile: Arc::default() }
    }

    /// A store that overwrites what shall only be created.
    pub fn overwriting() -> Self {
        Self { conditional: false, ..Self::new(Arc::new(InMemory::new()), 0, 0) }
    }

    /// Has `event` happen in the middle of the listing of this folder that comes after `skipped` others.
    pub fn meanwhile(&self, folder: Path, skipped: u32, event: impl Future<Output = ()> + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Meanwhile { folder, skipped, event: event.boxed() });
    }

    fn due(&self, folder: Option<&Path>) -> Option<BoxFuture<'static, ()>> {
        let mut meanwhile = self.meanwhile.lock().unwrap();
        let waiting = meanwhile.as_mut().filter(|waiting| Some(&waiting.folder) == folder)?;
        match waiting.skipped.checked_sub(1) {
            Some(left) => {
                waiting.skipped = left;
                None
            }
            None => meanwhile.take().map(|waiting| waiting.event),
        }
    }

    fn below(&self, bound: u32) -> u32 {
        self.rng.lock().unwrap().random_range(0..bound)
    }

    async fn pause(&self) {
        for _ in 0..self.below(6) {
            tokio::task::yield_now().await;
        }
    }

    fn fate(&self) -> Fate {
        if self.below(1_000) >= self.failing {
            return Fate::Answered;
        }
        [Fate::FailedBefore, Fate::FailedAfter, Fate::DoneLate][self.below(3) as usize]
    }

    /// A request that changes something.
    async fn change<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.pause().await;
        let fate = self.fate();
        match fate {
            Fate::Answered => {
                let done = request.await;
                self.pause().await;
                done
            }
            Fate::FailedBefore => Err(failed()),
            Fate::FailedAfter => {
                let _ = request.await;
                Err(failed())
            }
            Fate::DoneLate => {
                let late = self.below(400);
                tokio::spawn(async move {
                    for _ in 0..late {
                        tokio::task::yield_now().await;
                    }
                    let _ = request.await;
                });
                Err(failed())
            }
        }
    }

    /// A request that only asks.
    async fn ask<T>(&self, request: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.pause().await;
        if self.fate() == Fate::Answered { request.await } else { Err(failed()) }
    }
}

fn failed() -> Error {
    Error::Generic { store: "unreliable", source: "no answer".into() }
}

impl fmt::Display for Unreliable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unreliable {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Unreliable {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (inner, path) = (Arc::clone(&self.inner), path.clone());
        let options = if self.conditional { options } else { PutOptions::default() };
        self.change(async move { inner.put_opts(&path, payload, options).await }).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(failed())
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.ask(self.inner.get_opts(path, options)).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.ask(self.inner.get_ranges(path, ranges)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |path: Result<Path>| {
            let this = this.clone();
            async move {
                let (inner, path) = (Arc::clone(&this.inner), path?);
                let delete = async move {
                    let mut deleted = inner.delete_stream(stream::once(async { Ok(path) }).boxed());
                    deleted.next().await.unwrap_or_else(|| Err(failed()))
                };
                this.change(delete).await
            }
        };
        paths.then(delete).boxed()
    }

    /// As it is when the first name is asked for: a page.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let page = async move {
            if let Err(error) = this.ask(async { Ok(()) }).await {
                return stream::once(async { Err(error) }).boxed();
            }
            let listed = this.inner.list(prefix.as_ref());
            match this.due(prefix.as_ref()) {
                Some(event) => {
                    let listed: Vec<_> = listed.collect().await;
                    event.await;
                    stream::iter(listed).boxed()
                }
                None => listed,
            }
        };
        stream::once(page).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.ask(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(failed())
    }
}

#[async_trait]
impl MultipartStore for Unreliable {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let (inner, path) = (Arc::clone(&self.inner), path.clone());
        self.change(async move { inner.create_multipart(&path).await }).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        index: usize,
        part: PutPayload,
    ) -> Result<PartId> {
        let (inner, path, id) = (Arc::clone(&self.inner), path.clone(), id.clone());
        self.change(async move { inner.put_part(&path, &id, index, part).await }).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let (inner, path, id) = (Arc::clone(&self.inner), path.clone(), id.clone());
        self.change(async move { inner.complete_multipart(&path, &id, parts).await }).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let (inner, path, id) = (Arc::clone(&self.inner), path.clone(), id.clone());
        // As S3: to abort what was aborted or completed is an error that says so, of which this store knows no kind.
        let missing = |source| Error::NotFound { path: "upload".to_owned(), source };
        let abort = async move {
            inner.abort_multipart(&path, &id).await.map_err(|error| missing(Box::new(error) as Box<_>))
        };
        self.change(abort).await
    }
}
