//! An object on its way into the store: hashed while it comes, small ones in memory, large ones in parts, and made
//! permanent by a record that is created under the object's name if nothing has it.
//!
//! The order is what keeps an acknowledged object from being collected: first the reference is written, then the
//! copies are looked at. Whoever removes a copy first marks it, and looks at the references then ([`super::collect`]).
//! So either this upload sees the mark, and makes another copy, or the other sees the reference, and removes nothing.

use std::iter;

use bytes::Bytes;
use object_store::PutPayload;
use protocol::digest::{BlockDigests, Content, Fingerprint, ObjectHasher};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, Token};
use tokio::sync::OwnedSemaphorePermit;

use super::object::BucketObject;
use super::parts::{PARTS_MAX, Parts};
use super::record::{Head, Place};
use super::releases::Underway;
use super::store::Fault;
use super::{Bucket, RECEIVING_MIB};
use crate::objects::{Announced, Readable, StoreError, Upload, to_the_end};

/// Most bytes of a part. Of the largest objects, the part of 64 MiB makes 640 GB.
const PART_BYTES_MAX: u64 = 64 << 20;
const MIB: u64 = 1 << 20;
/// How often an object that others store and remove meanwhile is tried to be kept.
const TRIES_MAX: usize = 8;

/// An object being received. Dropped before it is finished, it leaves nothing behind.
pub struct Arriving {
    bucket: Bucket,
    hasher: Box<ObjectHasher>,
    received: Received,
    underway: Underway,
    _memory: OwnedSemaphorePermit,
}

/// What has come.
struct Received {
    part_bytes: usize,
    /// Not sent yet: less than a part, but for a moment.
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    /// Of an object larger than a part.
    parts: Option<Parts>,
}

impl Arriving {
    pub(super) async fn begin(bucket: Bucket, length: u64, now: u64) -> Result<Self, StoreError> {
        let part_bytes = bucket.part_bytes(length);
        // A length of 0 is one that is not known.
        let most = if length == 0 { part_bytes } else { part_bytes.min(length) };
        let mib = u32::try_from(most.div_ceil(MIB).min(RECEIVING_MIB as u64)).unwrap_or(1);
        let memory = bucket.shared.memory.clone().acquire_many_owned(mib).await;
        let memory = memory.map_err(|_| StoreError::Unavailable("stopping".to_string()))?;
        let underway = bucket.shared.releases.begin(now);
        let received = Received::new(part_bytes);
        Ok(Self { bucket, hasher: Box::default(), received, underway, _memory: memory })
    }
}

impl Received {
    fn new(part_bytes: u64) -> Self {
        let part_bytes = usize::try_from(part_bytes).unwrap_or(usize::MAX);
        Self { part_bytes, waiting: Vec::new(), waiting_bytes: 0, parts: None }
    }

    async fn take(mut self, bucket: &Bucket, bytes: Bytes) -> Result<Self, StoreError> {
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        // Not at once when a part is full: the last byte of all may have come, and then the object is small.
        while self.waiting_bytes > self.part_bytes {
            let part = self.next_part();
            self.send(bucket, part).await?;
        }
        Ok(self)
    }

    fn next_part(&mut self) -> PutPayload {
        let (mut part, mut missing) = (Vec::new(), self.part_bytes.min(self.waiting_bytes));
        let mut rest = Vec::new();
        for mut bytes in self.waiting.drain(..) {
            let taken = bytes.split_to(missing.min(bytes.len()));
            missing -= taken.len();
            self.waiting_bytes -= taken.len();
            part.push(taken);
            if !bytes.is_empty() {
                rest.push(bytes);
            }
        }
        self.waiting = rest;
        part.into_iter().collect()
    }

    async fn send(&mut self, bucket: &Bucket, part: PutPayload) -> Result<(), StoreError> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(Parts::begin(bucket.clone()).await?),
        };
        parts.put(part).await
    }

    /// The bytes where they lie at the end: in memory if they are few, else in the store.
    async fn end(mut self, bucket: &Bucket) -> Result<Body, StoreError> {
        if self.parts.is_some() && self.waiting_bytes > 0 {
            let part = self.next_part();
            self.send(bucket, part).await?;
        }
        Ok(match self.parts {
            Some(parts) => Body::Parts(parts),
            None => Body::Here(self.waiting),
        })
    }
}

impl Upload for Arriving {
    async fn write(self, bytes: Bytes) -> Result<Self, StoreError> {
        let Self { bucket, mut hasher, received, underway, _memory } = self;
        let hashed = async {
            let bytes = bytes.clone();
            let hash = move || {
                hasher.update(&bytes);
                hasher
            };
            Ok::<_, StoreError>(bucket.shared.hashing.run(hash).await?)
        };
        let (hasher, received) = tokio::try_join!(hashed, received.take(&bucket, bytes.clone()))?;
        Ok(Self { bucket, hasher, received, underway, _memory })
    }

    async fn finish(
        self,
        announced: Announced,
        customer: CustomerId,
        token: Token,
        now: u64,
    ) -> Result<Content, StoreError> {
        let Self { bucket, hasher, received, underway, _memory } = self;
        let (content, blocks) = bucket.shared.hashing.run(move || hasher.finish()).await?;
        announced.check(&content)?;
        if content == Content::EMPTY {
            return Ok(content);
        }
        let body = received.end(&bucket).await?;
        let reference = Reference { fingerprint: content.fingerprint, customer, token };
        to_the_end(async move {
            let _memory = _memory;
            let _lock = bucket.lock(content.fingerprint).await;
            if underway.is_late(&reference) {
                return Err(StoreError::Unavailable(format!("the reference {token} was given up meanwhile")));
            }
            bucket.keep(content, &blocks, body, &reference, now).await.map(|()| content)
        })
        .await
    }
}

/// The bytes of an object that has come whole.
enum Body {
    Here(Vec<Bytes>),
    Parts(Parts),
}

impl Body {
    fn place(&self) -> Place {
        match self {
            Self::Here(_) => Place::Here,
            Self::Parts(parts) => Place::Data(parts.id()),
        }
    }

    fn record(&self, content: Content, blocks: &BlockDigests) -> PutPayload {
        let mut front = Head { content, place: self.place() }.encode();
        front.extend(blocks.as_bytes());
        let behind: &[Bytes] = if let Self::Here(bytes) = self { bytes } else { &[] };
        iter::once(Bytes::from(front)).chain(behind.iter().cloned()).collect()
    }
}

/// What looking at an object's copies has shown.
enum Found {
    /// A whole copy that counts, and where its bytes lie.
    Kept(Place),
    /// None: the next has this number.
    Nothing(u64),
}

impl Bucket {
    /// Bytes of a part of an object of this length, so that it has no more parts than it may. All parts of an object
    /// but the last have one length: some stores want that.
    fn part_bytes(&self, length: u64) -> u64 {
        let least = length.div_ceil(PARTS_MAX);
        let usual = self.settings().part_bytes;
        if least <= usual { usual } else { least.next_multiple_of(MIB).min(PART_BYTES_MAX) }
    }

    /// With the fingerprint locked: makes the object permanent, held by the reference.
    async fn keep(
        &self,
        content: Content,
        blocks: &BlockDigests,
        body: Body,
        reference: &Reference,
        now: u64,
    ) -> Result<(), StoreError> {
        // Before there is a reference: it would open the other object to somebody who does not have it.
        if self.find(content.fingerprint).await?.is_some_and(|found| found != content) {
            return Err(collision(content));
        }
        let made = self.make_reference(reference, now).await?;
        let placed = self.place(content, blocks, body, now).await;
        if placed.is_err()
            && let Err(fault) = self.store().delete(&made).await
        {
            tracing::debug!(%fault, "the reference of a failed upload is an orphan now");
        }
        placed
    }

    /// With the fingerprint locked: makes another copy of an object whose own counts no more. Needs memory beside that
    /// of the uploads, which may wait for the lock.
    pub(super) async fn copy_anew(&self, mut object: BucketObject, now: u64) -> Result<(), StoreError> {
        let content = *object.content();
        let mut received = Received::new(self.part_bytes(content.size));
        for index in 0..content.blocks() {
            let block = object.read_block(index).await;
            let block = block.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            received = received.take(self, block).await?;
        }
        let body = received.end(self).await?;
        self.place(content, object.blocks(), body, now).await
    }

    /// Finds a copy to rely on, or makes one.
    async fn place(
        &self,
        content: Content,
        blocks: &BlockDigests,
        mut body: Body,
        now: u64,
    ) -> Result<(), StoreError> {
        let (store, fingerprint) = (self.store(), content.fingerprint);
        let record = body.record(content, blocks);
        for _ in 0..TRIES_MAX {
            let number = match self.look(content, body.place(), now).await? {
                Found::Nothing(number) => number,
                // Ours was made by a request that seemed to have failed; with another's, our bytes go.
                Found::Kept(place) if place == body.place() => return self.settle(body, fingerprint).await,
                Found::Kept(_) => return Ok(()),
            };
            if let Body::Parts(parts) = &mut body {
                parts.join(fingerprint).await?;
            }
            if !store.create(&store.keys().copy(fingerprint, number), record.clone()).await? {
                continue;
            }
            return self.settle(body, fingerprint).await;
        }
        Err(StoreError::Unavailable("others store and remove the object all the time".to_string()))
    }

    /// A record names the bytes of the upload: success, unless somebody has begun to end it.
    async fn settle(&self, body: Body, fingerprint: Fingerprint) -> Result<(), StoreError> {
        if let Body::Parts(parts) = body {
            if !parts.may_finish().await? {
                return Err(StoreError::Unavailable("another process ended the upload".to_string()));
            }
            parts.settle(fingerprint).await;
        }
        Ok(())
    }

    /// Looks for a whole copy to rely on, `own` being where this upload's bytes lie. One that is not whole counts no
    /// more.
    async fn look(&self, content: Content, own: Place, now: u64) -> Result<Found, StoreError> {
        let fingerprint = content.fingerprint;
        let copies = self.copies(fingerprint).await?;
        for listed in copies.counted() {
            let Some(head) = self.head(fingerprint, listed.number).await? else { continue };
            if head.content != content {
                return Err(collision(content));
            }
            if let Place::Data(id) = head.place
                && head.place != own
                && !self.upload_marks(id).await?.is_empty()
            {
                // Its upload is not known to be done; somebody may be about to end it. It is none to rely on.
                continue;
            }
            if self.is_whole(&head, listed).await? {
                return Ok(Found::Kept(head.place));
            }
            tracing::error!(object = %fingerprint, copy = listed.number, "a copy in the store is not whole");
            self.count_no_more(fingerprint, listed.number, now).await?;
        }
        Ok(Found::Nothing(copies.next()))
    }

    /// Marks a copy: nobody relies on it from now on. It is never taken back.
    pub(super) async fn count_no_more(
        &self,
        fingerprint: Fingerprint,
        number: u64,
        now: u64,
    ) -> Result<(), Fault> {
        let store = self.store();
        store.put(&store.keys().gone(fingerprint, number, now), Vec::new()).await
    }
}

fn collision(content: Content) -> StoreError {
    let fingerprint = content.fingerprint;
    tracing::error!(%fingerprint, "two different objects with one MD5: the second was refused");
    StoreError::Collision(fingerprint)
}
