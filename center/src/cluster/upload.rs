//! An object on its way into the cluster: sent to two nodes at once, and kept where copies are wanting (DOSM-13 to
//! DOSM-16).
//!
//! A node stages what it is sent; nobody sees it before KEEP. So an upload that breaks off anywhere leaves nothing, and a
//! content that the cluster has already gets a reference more and no further copy (ISN-5).

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use protocol::digest::{Content, Fingerprint, ProofHasher};
use protocol::dosp::operations::{
    self as op, HoldIn, KeepIn, KeptReference, Located, NameOut, Purpose, ReplicateIn, StoreIn, StoreOut,
};
use protocol::dosp::{CHUNK_BYTES_MAX, StoreHeader};
use protocol::id::{CustomerId, Token};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::failure::to_store;
use super::link::{AskError, Link};
use super::locations::Place;
use super::objects::ClusterObjects;
use super::search::census;
use super::session::SessionError;
use super::view::Node;
use crate::objects::{Announced, StoreError, Upload};

/// Longest time for a node to say that it takes an object.
const BEGIN_PATIENCE: Duration = Duration::from_secs(1);
/// Longest time for a node to take a chunk, or to sync and answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time for a node to copy a whole object to another.
const REPLICATE_PATIENCE: Duration = Duration::from_secs(60);
/// Not known yet.
const NAMELESS: Fingerprint = Fingerprint([0; 16]);

/// An object being sent to its nodes.
pub struct ClusterUpload {
    objects: ClusterObjects,
    hasher: ProofHasher,
    targets: Vec<Target>,
    /// Fewer nodes than copies take objects: one node makes two copies.
    is_doubled: bool,
    began: Instant,
    _turn: OwnedSemaphorePermit,
}

struct Target {
    node: Node,
    link: Link,
}

impl ClusterUpload {
    /// Finds nodes that take an object of `length` bytes.
    pub async fn begin(
        objects: ClusterObjects,
        length: u64,
        turn: OwnedSemaphorePermit,
        began: Instant,
    ) -> Result<Self, StoreError> {
        let copies = objects.copies();
        let mut excluded = Vec::new();
        let mut targets: Vec<Target> = Vec::new();
        let mut refusal = None;
        while targets.len() < copies {
            let wanted = copies - targets.len();
            let holding: Vec<u32> = targets.iter().map(|target| target.node.number).collect();
            let chosen = objects.choose(length, wanted, &excluded, &holding);
            if chosen.is_empty() {
                break;
            }
            excluded.extend(chosen.iter().map(|node| node.number));
            // Where this is the last node there is, it makes all copies.
            let is_alone = targets.is_empty() && chosen.len() == 1 && copies > 1;
            let on_disks = if is_alone { copies } else { 1 };
            let has_namer = !targets.is_empty();
            let begun = chosen.into_iter().zip(0..).map(|(node, at)| {
                let input = StoreIn { length, copies: on_disks as u8, name: at == 0 && !has_namer };
                let objects = &objects;
                async move { stage(objects, node, input).await }
            });
            for outcome in join_all(begun).await {
                match outcome {
                    Ok(target) => targets.push(target),
                    Err(error) => refusal = Some(error),
                }
            }
        }
        if targets.is_empty() {
            let nobody = || StoreError::Unavailable("no storage node takes objects".to_string());
            return Err(refusal.unwrap_or_else(nobody));
        }
        let is_doubled = targets.len() < copies;
        objects.tell_degraded(is_doubled);
        Ok(Self { objects, hasher: ProofHasher::new(), targets, is_doubled, began, _turn: turn })
    }

    /// Sends a chunk to all targets at once; one that fails is left out from now on.
    async fn send(&mut self, chunk: &[u8], last: bool) -> Result<(), StoreError> {
        let header = StoreHeader::of(chunk, last).encode();
        let targets = std::mem::take(&mut self.targets);
        let sent = join_all(targets.into_iter().map(|mut target| {
            let header = &header;
            async move {
                let mut parts = [IoSlice::new(header), IoSlice::new(chunk)];
                let sending = target.link.session().send_raw(&mut parts);
                let sent = timeout(PATIENCE, sending).await.unwrap_or(Err(SessionError::Late));
                (target, sent)
            }
        }))
        .await;
        let mut reason = String::new();
        for (target, sent) in sent {
            match sent {
                Ok(()) => self.targets.push(target),
                Err(error) => {
                    reason = error.to_string();
                    self.objects.view().refuse(target.node.number, &error.into());
                }
            }
        }
        if self.targets.is_empty() { Err(StoreError::Unavailable(reason)) } else { Ok(()) }
    }

    /// What the targets received; those that received something else, or do not answer, are left out.
    async fn received(&mut self, hasher: ProofHasher) -> Result<Content, StoreError> {
        let (size, digest, _) = hasher.finish();
        let targets = std::mem::take(&mut self.targets);
        let answers = join_all(targets.into_iter().map(|mut target| async move {
            let answer = target.link.reply::<StoreOut>(Instant::now() + PATIENCE).await;
            (target, answer)
        }))
        .await;
        let (mut name, mut failed) = (None, None);
        for (target, answer) in answers {
            match answer {
                Ok(out) if (out.size, out.digest) == (size, digest) => {
                    name = name.or(out.fingerprint);
                    self.targets.push(target);
                }
                Ok(_) => {
                    tracing::error!(node = target.node.number, "a node received other bytes than were sent");
                    failed = Some(StoreError::Mismatch("BLAKE3"));
                }
                Err(error) => failed = Some(self.lost(target, error)),
            }
        }
        // The one that was to name it is gone: another has all the bytes.
        while name.is_none()
            && let Some(mut target) = self.targets.pop()
        {
            match target.link.call::<op::Name>(&(), Instant::now() + PATIENCE).await {
                Ok(NameOut { fingerprint }) => {
                    name = Some(fingerprint);
                    self.targets.push(target);
                }
                Err(error) => failed = Some(self.lost(target, error)),
            }
        }
        let nobody = || StoreError::Unavailable("no storage node received the object".to_string());
        let fingerprint = name.ok_or_else(|| failed.unwrap_or_else(nobody))?;
        Ok(Content { fingerprint, size, digest })
    }

    fn lost(&self, target: Target, error: AskError) -> StoreError {
        if matches!(error, AskError::Broken(_)) {
            self.objects.view().refuse(target.node.number, &error);
        }
        to_store(error, NAMELESS)
    }

    /// Sees to it that enough nodes have the object with its reference, durably.
    async fn keep(
        mut self,
        content: Content,
        customer: CustomerId,
        token: Token,
    ) -> Result<Content, StoreError> {
        let view = self.objects.view().clone();
        let (holders, _) = census(&view, content.fingerprint, view.nodes()).await;
        if holders.iter().any(|(_, located)| located.content != content) {
            tracing::error!(object = %content.fingerprint, "two different objects with one MD5: the second was refused");
            return Err(StoreError::Collision(content.fingerprint));
        }
        let mut durable = self.hold(&holders, content, customer, token).await?;
        let wanted = if self.is_doubled { 1 } else { self.objects.copies() };
        let mut targets = std::mem::take(&mut self.targets);
        // What the others staged goes with their sessions.
        targets.retain(|target| !durable.contains(&target.node.number));
        // One more copy is of most use in a center that has none.
        targets.sort_by_key(|target| {
            durable.iter().any(|node| view.center_of_node(*node) == Some(target.node.center))
        });
        targets.truncate(wanted.saturating_sub(durable.len()));
        let kept = join_all(targets.into_iter().map(|target| async {
            let node = target.node.number;
            (node, self.keep_one(target, content, customer, token).await)
        }))
        .await;
        for (node, outcome) in kept {
            match outcome {
                Ok(disk) => {
                    view.made(content, Place { node, disk });
                    durable.push(node);
                }
                Err(error @ (StoreError::Collision(_) | StoreError::Mismatch(_))) => return Err(error),
                Err(error) => {
                    tracing::warn!(node, object = %content.fingerprint, %error, "a copy was not kept")
                }
            }
        }
        self.replicate(&mut durable, wanted, content).await;
        if durable.len() < wanted {
            let reason = format!("{} of {wanted} copies are durable", durable.len());
            return Err(StoreError::Unavailable(reason));
        }
        Ok(content)
    }

    /// Adds the reference where the object is already; gives the nodes that have both.
    async fn hold(
        &self,
        holders: &[(Node, Located)],
        content: Content,
        customer: CustomerId,
        token: Token,
    ) -> Result<Vec<u32>, StoreError> {
        let age = self.began.elapsed().as_secs();
        let input = HoldIn { content, customer, token, purpose: Purpose::Add, age };
        let view = self.objects.view();
        let held = join_all(holders.iter().map(|(node, located)| async move {
            (node, located, view.ask::<op::Hold>(node, &input, PATIENCE).await)
        }))
        .await;
        let mut durable = Vec::new();
        for (node, located, answer) in held {
            match answer {
                // A copy that is about to leave its disk is none to count on.
                Ok(out) if out.held && !located.leaving => durable.push(node.number),
                Ok(_) => {}
                Err(error) => match to_store(error, content.fingerprint) {
                    collision @ StoreError::Collision(_) => return Err(collision),
                    error => tracing::warn!(node = node.number, %error, "a reference was not added"),
                },
            }
        }
        Ok(durable)
    }

    async fn keep_one(
        &self,
        mut target: Target,
        content: Content,
        customer: CustomerId,
        token: Token,
    ) -> Result<u32, StoreError> {
        let references = vec![KeptReference { customer, token, renewed: 0 }];
        let input = KeepIn { content, references, replica: false };
        match target.link.call::<op::Keep>(&input, Instant::now() + PATIENCE).await {
            Ok(out) => {
                target.link.put_back();
                Ok(out.disk)
            }
            Err(error @ AskError::Broken(_)) => Err(self.lost(target, error)),
            Err(error) => Err(to_store(error, content.fingerprint)),
        }
    }

    /// A target was lost on the way: whoever has the object copies it to another node, before it is acknowledged.
    async fn replicate(&self, durable: &mut Vec<u32>, wanted: usize, content: Content) {
        let view = self.objects.view();
        let mut excluded = Vec::new();
        while let Some(source) = durable.first().and_then(|first| view.node(*first))
            && durable.len() < wanted
            && let [target, ..] = self.objects.choose(content.size, 1, &excluded, durable).as_slice()
        {
            excluded.push(target.number);
            let input = ReplicateIn { fingerprint: content.fingerprint, target: target.number };
            match view.ask::<op::Replicate>(&source, &input, REPLICATE_PATIENCE).await {
                Ok(()) => durable.push(target.number),
                Err(error) => tracing::warn!(node = target.number, %error, "a copy was not made"),
            }
        }
    }
}

async fn stage(objects: &ClusterObjects, node: Node, input: StoreIn) -> Result<Target, StoreError> {
    let begin = async {
        let mut link = objects.view().links().send::<op::Store>(node.address, &input, BEGIN_PATIENCE).await?;
        link.reply::<()>(Instant::now() + BEGIN_PATIENCE).await?;
        Ok::<_, AskError>(link)
    };
    match begin.await {
        Ok(link) => Ok(Target { node, link }),
        Err(error) => {
            if matches!(error, AskError::Broken(_)) {
                objects.view().refuse(node.number, &error);
            }
            Err(to_store(error, NAMELESS))
        }
    }
}

impl Upload for ClusterUpload {
    async fn write(mut self, bytes: Bytes) -> Result<Self, StoreError> {
        for chunk in bytes.chunks(CHUNK_BYTES_MAX as usize) {
            self.hasher.update(chunk);
            self.send(chunk, false).await?;
        }
        Ok(self)
    }

    async fn finish(
        mut self,
        announced: Announced,
        customer: CustomerId,
        token: Token,
        _now: u64,
    ) -> Result<Content, StoreError> {
        self.send(&[], true).await?;
        let hasher = std::mem::take(&mut self.hasher);
        let content = self.received(hasher).await?;
        announced.check(&content)?;
        if content == Content::EMPTY {
            return Ok(content);
        }
        // To the end, even if the client goes away: half of it would only be done again.
        let kept = tokio::spawn(self.keep(content, customer, token)).await;
        kept.unwrap_or_else(|_| Err(StoreError::Unavailable("interrupted".to_string())))
    }
}
