//! An object on its way in: hashed and written to its disks at once, while it is received (ISN-3, ISN-4, ISN-7).
//!
//! Dropped before [`Received::keep`], it leaves nothing behind.

use std::fs::File;
use std::io::{self, Read};

use bytes::Bytes;
use futures::future::try_join_all;
use protocol::digest::{BlockDigests, Content, Digest, Fingerprint, ObjectHasher, ProofHasher};
use protocol::id::{CustomerId, Token};
use tokio::sync::OwnedSemaphorePermit;

use super::disk::Disk;
use super::fault::DiskError;
use super::node::{Isn, Mounted};
use super::receive::Temporary;
use crate::objects::{Announced, StoreError, Upload, to_the_end};
use protocol::dosp::Reference;

/// An object being received.
pub struct Incoming {
    isn: Isn,
    hasher: Hasher,
    files: Vec<(Mounted, Temporary)>,
    turn: OwnedSemaphorePermit,
    /// Seconds since the epoch.
    began: u64,
}

/// With the name, or without it where another node computes it.
enum Hasher {
    Naming(Box<ObjectHasher>),
    Proving(Box<ProofHasher>),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Naming(hasher) => hasher.update(bytes),
            Self::Proving(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> (Option<Fingerprint>, u64, Digest, BlockDigests) {
        match self {
            Self::Naming(hasher) => {
                let (content, blocks) = hasher.finish();
                (Some(content.fingerprint), content.size, content.digest, blocks)
            }
            Self::Proving(hasher) => {
                let (size, digest, blocks) = hasher.finish();
                (None, size, digest, blocks)
            }
        }
    }
}

/// Where an object that is kept comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody stores it: his references are new, unless he gave them up while he stored it.
    Upload,
    /// Another node has it: its references may have been given up here already. Without any, the object may be unlinked
    /// from then on.
    Replica {
        /// Seconds since the epoch.
        unlink_from: u64,
    },
}

/// An object received to its end and not kept yet: nobody sees it.
pub struct Received {
    isn: Isn,
    fingerprint: Option<Fingerprint>,
    size: u64,
    digest: Digest,
    blocks: BlockDigests,
    files: Vec<(Mounted, Temporary)>,
    _turn: OwnedSemaphorePermit,
    began: u64,
}

impl Incoming {
    pub(super) async fn begin(
        isn: Isn,
        turn: OwnedSemaphorePermit,
        disks: Vec<usize>,
        name: bool,
        began: u64,
    ) -> Result<Self, StoreError> {
        let begin = |number: usize| {
            let mounted = isn.disk(number).clone();
            async move {
                let temporary = mounted.run(|disk| disk.begin()).await.map_err(to_store_error)?;
                Ok::<_, StoreError>((mounted, temporary))
            }
        };
        let files = try_join_all(disks.into_iter().map(begin)).await?;
        let hasher = if name { Hasher::Naming(Box::default()) } else { Hasher::Proving(Box::default()) };
        Ok(Self { isn, hasher, files, turn, began })
    }

    /// What was received.
    pub async fn received(self) -> Result<Received, StoreError> {
        let Self { isn, hasher, files, turn, began } = self;
        let (fingerprint, size, digest, blocks) = isn.hashing().run(move || hasher.finish()).await?;
        Ok(Received { isn, fingerprint, size, digest, blocks, files, _turn: turn, began })
    }
}

impl Upload for Incoming {
    async fn write(self, bytes: Bytes) -> Result<Self, StoreError> {
        let Self { isn, mut hasher, files, turn, began } = self;
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
        Ok(Self { isn, hasher, files, turn, began })
    }

    async fn finish(
        self,
        announced: Announced,
        customer: CustomerId,
        token: Token,
        now: u64,
    ) -> Result<Content, StoreError> {
        let mut received = self.received().await?;
        let content = received.content().await?;
        announced.check(&content)?;
        let reference = Reference { fingerprint: content.fingerprint, customer, token };
        received.keep(content, vec![(reference, now)], Origin::Upload).await?;
        Ok(content)
    }
}

impl Received {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Their BLAKE3.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Their MD5, if it was computed.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// Seconds that something nobody refers to is kept on this node.
    pub fn orphan_grace(&self) -> u64 {
        self.isn.settings().orphan_grace_seconds
    }

    /// All of it; what was received without a name is read again for it.
    pub async fn content(&mut self) -> Result<Content, StoreError> {
        let fingerprint = match (self.fingerprint, self.files.first()) {
            (Some(fingerprint), _) => fingerprint,
            (None, None) => return Err(StoreError::Unavailable("nothing was received".to_string())),
            (None, Some((mounted, temporary))) => {
                let file = temporary.reopen().map_err(|error| to_store_error(error.into()))?;
                mounted.run_long(move |_| Ok(fingerprint_of(file)?)).await.map_err(to_store_error)?
            }
        };
        self.fingerprint = Some(fingerprint);
        Ok(Content { fingerprint, size: self.size, digest: self.digest })
    }

    /// Makes it permanent as the object `content`, held by these references, each renewed at its second, on every disk
    /// it is wanted on. Of a replica, references given up here lately stay given up. Durable when this returns the number
    /// of a disk it lies on.
    ///
    /// # Errors
    /// `Mismatch` if it was not this that was received, `Unavailable` if a reference of an upload was given up since it
    /// began.
    pub async fn keep(
        self,
        content: Content,
        references: Vec<(Reference, u64)>,
        origin: Origin,
    ) -> Result<u32, StoreError> {
        let Self { isn, fingerprint, size, digest, blocks, files, _turn, began } = self;
        let is_named = fingerprint.is_none_or(|fingerprint| fingerprint == content.fingerprint);
        if !is_named || (size, digest) != (content.size, content.digest) {
            return Err(StoreError::Mismatch("BLAKE3"));
        }
        if content == Content::EMPTY {
            return Ok(0);
        }
        let node = isn.clone();
        let wanted = files.len();
        to_the_end(async move {
            let _lock = node.lock(content.fingerprint).await;
            let keep = Keep { node: &node, content, references, origin, began };
            let mut holders = keep.hold().await?;
            for (mounted, temporary) in files {
                if holders.len() < wanted && !holders.contains(&mounted.disk.id().to_string()) {
                    keep.commit(&mounted, temporary, &blocks).await?;
                    holders.push(mounted.disk.id().to_string());
                }
            }
            Ok(node.number_of(&holders))
        })
        .await
    }
}

/// With the fingerprint locked: an object to be kept.
struct Keep<'node> {
    node: &'node Isn,
    content: Content,
    references: Vec<(Reference, u64)>,
    origin: Origin,
    began: u64,
}

impl Keep<'_> {
    /// Adds the references where the object is already; the ids of those disks that count. A copy on a disk that is
    /// being emptied is none to count on.
    async fn hold(&self) -> Result<Vec<String>, StoreError> {
        let mut holders = Vec::new();
        for mounted in self.node.online() {
            if self.hold_on(&mounted).await? && !mounted.disk.draining() {
                holders.push(mounted.disk.id().to_string());
            }
        }
        Ok(holders)
    }

    async fn hold_on(&self, mounted: &Mounted) -> Result<bool, StoreError> {
        let (content, references) = (self.content, self.references.clone());
        let (origin, began) = (self.origin, self.began);
        let hold = move |disk: &Disk| match origin {
            Origin::Upload => references.iter().try_for_each(|(reference, renewed)| {
                disk.refuse_late(reference, began)?;
                disk.hold(&content, *reference, *renewed)
            }),
            Origin::Replica { unlink_from } => disk.replicate(&content, &references, unlink_from),
        };
        match mounted.run(hold).await {
            Ok(()) => Ok(true),
            Err(DiskError::Missing(_)) => Ok(false),
            Err(error) => Err(to_store_error(error)),
        }
    }

    async fn commit(
        &self,
        mounted: &Mounted,
        temporary: Temporary,
        blocks: &BlockDigests,
    ) -> Result<(), StoreError> {
        let (content, blocks, references) = (self.content, blocks.clone(), self.references.clone());
        let origin = self.origin;
        let commit = move |disk: &Disk| match (origin, references.split_first()) {
            (Origin::Replica { unlink_from }, _) => {
                disk.commit_replica(temporary, &content, &blocks, &references, unlink_from)
            }
            (Origin::Upload, None) => Ok(()),
            (Origin::Upload, Some(((first, renewed), others))) => {
                disk.commit(temporary, &content, &blocks, *first, *renewed)?;
                others.iter().try_for_each(|(reference, renewed)| disk.hold(&content, *reference, *renewed))
            }
        };
        mounted.run(commit).await.map_err(to_store_error)
    }
}

/// The MD5 of a file.
fn fingerprint_of(mut file: File) -> io::Result<Fingerprint> {
    let mut hasher = ObjectHasher::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish().0.fingerprint),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// What a failed disk means for an upload.
pub(super) fn to_store_error(error: DiskError) -> StoreError {
    match error {
        DiskError::Full => StoreError::NoSpace,
        DiskError::Collision(fingerprint) => {
            tracing::error!(%fingerprint, "two different objects with one MD5: the second was refused");
            StoreError::Collision(fingerprint)
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}
