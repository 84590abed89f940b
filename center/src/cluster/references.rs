//! The cluster as the VFS sees it: which references it holds, and the comparison with the rows (REF-4, VFS-17, VFS-18).

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use protocol::digest::{Content, Fingerprint};
use protocol::dosp::operations::{
    self as op, DeleteIn, Held, HoldIn, LackingIn, Presence, Purpose, ReferencesIn, ReleaseOrphanIn,
    RowReference,
};
use protocol::dosp::{LACKING_MAX, REFERENCES_MAX, Reference};
use protocol::id::{CustomerId, Token};

use super::link::AskError;
use super::view::{Node, View};
use crate::objects::Unavailable;
use crate::reconcile::{Compared, Holders, Scanned};
use crate::vfs::{Cluster, ClusterError};

/// Longest time for a node to give up a reference: a sync of its index.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
/// Longest time for a node to hold one, or to list some.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time for a node to read the names on all its disks.
const SCAN_PATIENCE: Duration = Duration::from_secs(600);

/// What the VFS asks of a cluster.
#[derive(Clone)]
pub struct ClusterReferences {
    view: View,
    copies: usize,
}

impl ClusterReferences {
    /// Of the cluster seen through `view`, each object on `copies` nodes.
    pub fn new(view: View, copies: usize) -> Self {
        Self { view, copies }
    }

    /// Asks these nodes to hold; whether one of them does, as soon as one says so, and what the last failure was.
    async fn hold(&self, nodes: Vec<Node>, input: HoldIn) -> (bool, Option<AskError>) {
        let view = &self.view;
        let ask = |node: Node| async move { view.ask::<op::Hold>(&node, &input, PATIENCE).await };
        let mut answers: FuturesUnordered<_> = nodes.into_iter().map(ask).collect();
        let mut failure = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(out) if out.held => return (true, None),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        (false, failure)
    }

    /// Every node, each by the same question; a node that does not answer is an error.
    async fn every<O>(&self, input: &O::In, patience: Duration) -> Result<Vec<O::Out>, Unavailable>
    where
        O: protocol::dosp::Operation,
    {
        let view = &self.view;
        let answers = join_all(view.nodes().into_iter().map(|node| async move {
            let answer = view.ask::<O>(&node, input, patience).await;
            answer.map_err(|error| Unavailable(format!("storage node {}: {error}", node.number)))
        }))
        .await;
        if answers.is_empty() {
            return Err(Unavailable("no storage node is known yet".to_string()));
        }
        answers.into_iter().collect()
    }
}

impl Cluster for ClusterReferences {
    async fn has_reference(
        &self,
        customer: CustomerId,
        content: &Content,
        token: Token,
    ) -> Result<bool, ClusterError> {
        if *content == Content::EMPTY {
            return Ok(true);
        }
        let input = HoldIn { content: *content, customer, token, purpose: Purpose::Keep, age: 0 };
        let places: Vec<u32> = self.view.places(content.fingerprint).iter().map(|place| place.node).collect();
        let (known, others): (Vec<Node>, Vec<Node>) =
            self.view.nodes().into_iter().partition(|node| places.contains(&node.number));
        let (is_held, failed) = self.hold(known, input).await;
        if is_held {
            return Ok(true);
        }
        let (is_held, failed_too) = self.hold(others, input).await;
        match failed.or(failed_too) {
            _ if is_held => Ok(true),
            None => Ok(false),
            Some(error) => Err(ClusterError(error.to_string())),
        }
    }

    async fn release(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
        token: Token,
    ) -> Result<(), ClusterError> {
        let released = release(&self.view, Reference { fingerprint, customer, token }).await;
        released.map_err(|error| ClusterError(error.0))
    }

    async fn space(&self) -> Result<u64, ClusterError> {
        let free = |node: &Node| node.heartbeat.disks.iter().map(|disk| disk.bytes_free).sum::<u64>();
        let nodes = self.view.nodes();
        let sum: u64 = nodes.iter().filter(|node| node.takes_objects()).map(free).sum();
        Ok(sum / self.copies.max(1) as u64)
    }
}

impl Holders for ClusterReferences {
    async fn scan(&self, _now: u64) -> Result<Scanned, Unavailable> {
        let mut sum = Scanned::default();
        for scanned in self.every::<op::Scan>(&(), SCAN_PATIENCE).await? {
            sum.objects += scanned.objects;
            sum.found += scanned.found;
            sum.lost += scanned.lost;
        }
        Ok(sum)
    }

    async fn compare(&self, rows: &[RowReference]) -> Result<Vec<Compared>, Unavailable> {
        let mut compared = vec![Compared::default(); rows.len()];
        for (page, compared) in rows.chunks(LACKING_MAX).zip(compared.chunks_mut(LACKING_MAX)) {
            let input = LackingIn { rows: page.to_vec() };
            for out in self.every::<op::Lacking>(&input, PATIENCE).await? {
                if out.rows.len() != page.len() {
                    return Err(Unavailable("a storage node answers other rows than asked".to_string()));
                }
                for (presence, compared) in out.rows.into_iter().zip(&mut *compared) {
                    compared.held += u64::from(presence == Presence::Held);
                    compared.lacking += u64::from(presence == Presence::Lacking);
                }
            }
        }
        Ok(compared)
    }

    async fn restore(&self, row: RowReference, _now: u64) -> Result<bool, Unavailable> {
        let RowReference { content, customer, token } = row;
        let input = HoldIn { content, customer, token, purpose: Purpose::Restore, age: 0 };
        Ok(self.every::<op::Hold>(&input, PATIENCE).await?.iter().any(|out| out.held))
    }

    async fn restored(&self) -> Result<(), Unavailable> {
        self.every::<op::Restored>(&(), RELEASE_PATIENCE).await.map(drop)
    }

    /// Of all nodes, merged; each reference once.
    async fn references(&self, after: Option<Reference>) -> Result<Vec<(Reference, u64)>, Unavailable> {
        let input = ReferencesIn { after, limit: REFERENCES_MAX as u32 };
        let pages = self.every::<op::References>(&input, PATIENCE).await?;
        // Behind the end of a full page there may be references of that node that others' pages do not show.
        let full = pages.iter().filter(|page| page.references.len() == REFERENCES_MAX);
        let until = full.filter_map(|page| page.references.last()).map(|held| held.reference).min();
        let mut merged: Vec<(Reference, u64)> = pages
            .into_iter()
            .flat_map(|page| page.references)
            .map(|Held { reference, renewed }| (reference, renewed))
            .filter(|(reference, _)| until.is_none_or(|until| *reference <= until))
            .collect();
        merged.sort_unstable();
        merged.dedup_by_key(|(reference, _)| *reference);
        Ok(merged)
    }

    async fn release_orphan(
        &self,
        reference: Reference,
        renewed_before: u64,
        _now: u64,
    ) -> Result<bool, Unavailable> {
        let input = ReleaseOrphanIn { reference, renewed_before };
        let released = self.every::<op::ReleaseOrphan>(&input, RELEASE_PATIENCE).await?;
        Ok(released.iter().any(|out| out.released))
    }
}

/// Gives up a reference on every node there has been. One that does not answer is an error, though the others have done
/// it: the reference may be there still.
async fn release(view: &View, reference: Reference) -> Result<(), Unavailable> {
    let input = DeleteIn { reference };
    let released = join_all(view.nodes().into_iter().map(|node| async move {
        let answer = view.ask::<op::Delete>(&node, &input, RELEASE_PATIENCE).await;
        answer.map_err(|error| Unavailable(format!("storage node {}: {error}", node.number)))
    }))
    .await;
    view.deleted(reference.fingerprint);
    if released.is_empty() {
        return Err(Unavailable("no storage node is known yet".to_string()));
    }
    released.into_iter().collect()
}
