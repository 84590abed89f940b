//! An object on its way in: hashed and written to its disks at once, while it is received (ISN-3, ISN-4, ISN-7).
//!
//! Dropped before [`Incoming::finish`], it leaves nothing behind.

use bytes::Bytes;
use futures::future::try_join_all;
use protocol::digest::{BlockDigests, Content, Digest, Fingerprint, ObjectHasher};
use protocol::id::{CustomerId, Token};
use tokio::sync::SemaphorePermit;

use super::fault::DiskError;
use super::index::Reference;
use super::node::{Isn, Mounted, StoreError};
use super::receive::Temporary;

/// What the sender announced of the object. All that is given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its MD5.
    pub fingerprint: Option<Fingerprint>,
    /// Its BLAKE3.
    pub digest: Option<Digest>,
}

impl Announced {
    fn check(&self, content: &Content) -> Result<(), StoreError> {
        if self.size.is_some_and(|size| size != content.size) {
            return Err(StoreError::Mismatch("length"));
        }
        if self.fingerprint.is_some_and(|fingerprint| fingerprint != content.fingerprint) {
            return Err(StoreError::Mismatch("MD5"));
        }
        if self.digest.is_some_and(|digest| digest != content.digest) {
            return Err(StoreError::Mismatch("BLAKE3"));
        }
        Ok(())
    }
}

/// An object being received.
pub struct Incoming<'node> {
    isn: &'node Isn,
    hasher: ObjectHasher,
    files: Vec<(Mounted, Temporary)>,
    _turn: SemaphorePermit<'node>,
}

impl<'node> Incoming<'node> {
    pub(super) async fn begin(
        isn: &'node Isn,
        turn: SemaphorePermit<'node>,
        disks: Vec<usize>,
    ) -> Result<Self, StoreError> {
        let begin = |number: usize| async move {
            let mounted = isn.disk(number).clone();
            let temporary = mounted.run(|disk| disk.begin()).await.map_err(to_store_error)?;
            Ok::<_, StoreError>((mounted, temporary))
        };
        let files = try_join_all(disks.into_iter().map(begin)).await?;
        Ok(Self { isn, hasher: ObjectHasher::new(), files, _turn: turn })
    }

    /// Takes the next bytes; some hundred KiB at a time serve best. Returns when they are hashed and written.
    pub async fn write(self, bytes: Bytes) -> Result<Self, StoreError> {
        let Self { isn, mut hasher, files, _turn } = self;
        let hashed = async {
            let bytes = bytes.clone();
            let hash = move || {
                hasher.update(&bytes);
                hasher
            };
            Ok::<_, StoreError>(isn.hashing().run(hash).await?)
        };
        let append = |(mounted, mut temporary): (Mounted, Temporary)| {
            let bytes = bytes.clone();
            async move {
                let written =
                    mounted.run(move |disk| disk.append(&mut temporary, &bytes).map(|()| temporary)).await;
                written.map(|temporary| (mounted, temporary)).map_err(to_store_error)
            }
        };
        let written = try_join_all(files.into_iter().map(append));
        let (hasher, files) = tokio::try_join!(hashed, written)?;
        Ok(Self { isn, hasher, files, _turn })
    }

    /// Checks what was received and makes it permanent, held by the reference (customer, token). Durable on every
    /// disk it lies on when this returns. An object that is there already gets one more reference and no second
    /// file (ISN-5).
    pub async fn finish(
        self,
        announced: Announced,
        customer: CustomerId,
        token: Token,
        now: u64,
    ) -> Result<Content, StoreError> {
        let Self { isn, hasher, files, _turn } = self;
        let (content, blocks) = isn.hashing().run(move || hasher.finish()).await?;
        announced.check(&content)?;
        if content == Content::EMPTY {
            return Ok(content);
        }
        let reference = Reference { fingerprint: content.fingerprint, customer, token };
        let node = isn.clone();
        isn.to_the_end(async move { keep(&node, files, content, blocks, reference, now).await }).await
    }
}

/// Adds the reference where the object is, and the object where copies are wanting.
async fn keep(
    isn: &Isn,
    files: Vec<(Mounted, Temporary)>,
    content: Content,
    blocks: BlockDigests,
    reference: Reference,
    now: u64,
) -> Result<Content, StoreError> {
    let _lock = isn.lock(content.fingerprint).await;
    let wanted = files.len();
    let mut holders = Vec::new();
    for mounted in isn.online() {
        match mounted.run(move |disk| disk.hold(&content, reference, now)).await {
            Ok(()) => holders.push(mounted.disk.id().to_string()),
            Err(DiskError::Missing(_)) => {}
            Err(error) => return Err(to_store_error(error)),
        }
    }
    let missing = wanted.saturating_sub(holders.len());
    let elsewhere = |(mounted, _): &(Mounted, Temporary)| !holders.iter().any(|id| id == mounted.disk.id());
    let commits = files.into_iter().filter(elsewhere).take(missing).map(|(mounted, temporary)| {
        let blocks = blocks.clone();
        async move {
            let commit =
                mounted.run(move |disk| disk.commit(temporary, &content, &blocks, reference, now)).await;
            commit.map_err(to_store_error)
        }
    });
    try_join_all(commits).await?;
    Ok(content)
}

fn to_store_error(error: DiskError) -> StoreError {
    match error {
        DiskError::Full => StoreError::NoSpace,
        DiskError::Collision(fingerprint) => {
            tracing::error!(%fingerprint, "two different objects with one MD5: the second was refused");
            StoreError::Collision(fingerprint)
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}
