//! Makes the copies that are wanting (DFO-6, ISN-12): each storage node looks after what it holds itself.
//!
//! A node goes through its objects again and again and asks the others who has them too. Of those that have an object
//! with too few copies, the one with the lowest number makes another. As long as a node is away for less than the
//! configured time nothing is made that it may have: it usually comes back. What was stored while another center was away
//! goes there when it is back, and then the copy that is too many goes (GEO-4).

use std::collections::HashSet;
use std::io::IoSlice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use protocol::digest::{Content, Fingerprint};
use protocol::dosp::operations::{
    self as op, DeleteIn, HoldIn, KeepIn, KeptReference, LocateIn, LocateOut, Purpose, ReplicateIn, StoreIn,
    StoreOut, VerifyIn,
};
use protocol::dosp::{Failure, IDS_MAX, REFERENCES_MAX, Reference, Status, StoreHeader};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::daemon::Registry;
use super::link::AskError;
use super::locations::Place;
use super::members::Condition;
use super::objects::ClusterObjects;
use super::search::LOCATE_PATIENCE;
use super::session::SessionError;
use super::spread::{Holder, Verdict, judge};
use super::view::Node;
use crate::isn::Isn;
use crate::objects::Readable;

/// Objects copied at once: others are served meanwhile.
const COPIED_AT_ONCE: usize = 2;
/// The same to another center, where most of the time goes by on the way.
const COPIED_AT_ONCE_ELSEWHERE: usize = 16;
/// Longest time for a node to read a copy against its digest before another copy goes.
const VERIFY_PATIENCE: Duration = Duration::from_secs(60);
/// References told to another node at once.
const TOLD_AT_ONCE: usize = 16;
/// Longest time for the other node to take a block, or to sync and answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shortest and longest time between two passes over all objects.
const PASS_MIN: Duration = Duration::from_secs(1);
const PASS_MAX: Duration = Duration::from_secs(300);

/// Objects remembered from one pass to the next; of more, the others wait for a later one. Some 32 MB.
const WANTING_MAX: usize = 1 << 20;

/// A node's care for its objects. Clones share it.
#[derive(Clone)]
pub struct Repair {
    shared: Arc<Shared>,
}

struct Shared {
    isn: Isn,
    objects: ClusterObjects,
    replicate_after: Duration,
    owed: AtomicU64,
    made: AtomicU64,
    spare: AtomicU64,
    /// Objects that the last pass found with too few copies, or too many. An upload that is just being kept looks the same:
    /// something is done about what a second pass finds so as well.
    wanting: Mutex<HashSet<Fingerprint>>,
}

/// What a look at all objects has shown.
#[derive(Default)]
struct Count {
    /// Objects with too few copies, or not in every center.
    owed: u64,
    /// Copies of this node that are too many.
    spare: u64,
}

/// An object of this node.
#[derive(Clone, Copy, Debug)]
struct Own {
    content: Content,
    /// A copy of it lies on a disk that is not being emptied.
    stays: bool,
    /// A copy of it lies on a disk that is being emptied.
    leaves: bool,
}

/// Which nodes have an object.
#[derive(Debug, PartialEq, Eq)]
struct Copies {
    /// On a disk that is not being emptied: the copies that count.
    stay: Vec<u32>,
    /// On any disk, the lowest number first.
    any: Vec<u32>,
}

impl Copies {
    fn count(object: Own, own: u32, others: &[(u32, LocateOut)]) -> Self {
        let mut copies = Self { stay: Vec::new(), any: vec![own] };
        copies.stay.extend(object.stays.then_some(own));
        for (node, out) in others {
            let has = out.found.iter().find(|found| found.content == object.content);
            copies.any.extend(has.map(|_| *node));
            copies.stay.extend(has.filter(|found| !found.leaving).map(|_| *node));
        }
        copies.any.sort_unstable();
        copies
    }

    /// Of all who have it, the one with the lowest number makes copies.
    fn is_ours(&self, own: u32) -> bool {
        self.any.first() == Some(&own)
    }
}

/// Why a copy was not made.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    /// Its bytes cannot be read here.
    #[error("the object cannot be read")]
    Unreadable,
    /// Nobody refers to it any more.
    #[error("nobody refers to the object any more")]
    Unreferenced,
    /// The other node does not take it.
    #[error("{0}")]
    Target(#[from] AskError),
    /// Our own index cannot be read.
    #[error("{0}")]
    Index(#[from] crate::objects::Unavailable),
}

impl From<SessionError> for CopyError {
    fn from(error: SessionError) -> Self {
        Self::Target(error.into())
    }
}

impl Repair {
    /// Of this node's objects, in the cluster of `objects`.
    pub fn new(isn: Isn, objects: ClusterObjects, replicate_after: Duration) -> Self {
        let (owed, made, spare) = Default::default();
        let wanting = Mutex::default();
        Self { shared: Arc::new(Shared { isn, objects, replicate_after, owed, made, spare, wanting }) }
    }

    /// Objects that had too few copies when they were last looked at.
    pub fn owed(&self) -> u64 {
        self.shared.owed.load(Ordering::Relaxed)
    }

    /// Copies made since the start.
    pub fn made(&self) -> u64 {
        self.shared.made.load(Ordering::Relaxed)
    }

    /// Copies here that were too many when they were last looked at.
    pub fn spare(&self) -> u64 {
        self.shared.spare.load(Ordering::Relaxed)
    }

    /// Registers REPLICATE.
    pub fn register(&self, registry: &mut Registry) {
        let repair = self.clone();
        registry.answer::<op::Replicate, _, _>(move |ReplicateIn { fingerprint, target }| {
            let repair = repair.clone();
            async move { repair.replicate(fingerprint, target).await }
        });
    }

    async fn replicate(&self, fingerprint: Fingerprint, target: u32) -> Result<(), Failure> {
        let view = self.shared.objects.view();
        let target = view.node(target);
        let target = target.ok_or_else(|| Failure::new(Status::NotFound, "no such storage node"))?;
        self.copy(fingerprint, &target).await.map_err(|error| match error {
            CopyError::Target(AskError::Said(failure)) => failure,
            error => Failure::new(Status::Unavailable, error.to_string()),
        })
    }

    /// Goes through all objects again and again until `stop`: after some time, and when a node has come or gone.
    pub async fn run(&self, stop: CancellationToken) {
        let every = (self.shared.replicate_after / 2).clamp(PASS_MIN, PASS_MAX);
        let work = async {
            loop {
                let changed = self.shared.objects.view().changed();
                // Either is a reason to look.
                let _ = timeout(every, changed).await;
                tokio::time::sleep(PASS_MIN).await;
                if let Err(error) = self.pass().await {
                    tracing::warn!(%error, "copies are looked after later");
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    async fn pass(&self) -> Result<(), crate::objects::Unavailable> {
        let mut after = None;
        let mut count = Count::default();
        let before = std::mem::take(&mut *self.wanting());
        loop {
            let copies = self.shared.isn.contents(after, IDS_MAX).await?;
            let Some(last) = copies.last() else { break };
            after = Some(last.content.fingerprint);
            let mut objects: Vec<Own> = Vec::new();
            for copy in copies.iter().filter(|copy| copy.content != Content::EMPTY) {
                let (stays, leaves) = (!copy.leaving, copy.leaving);
                match objects.last_mut().filter(|own| own.content == copy.content) {
                    Some(own) => (own.stays, own.leaves) = (own.stays | stays, own.leaves | leaves),
                    None => objects.push(Own { content: copy.content, stays, leaves }),
                }
            }
            for page in objects.chunks(IDS_MAX) {
                self.look_after(page, &before, &mut count).await;
            }
        }
        self.shared.owed.store(count.owed, Ordering::Relaxed);
        self.shared.spare.store(count.spare, Ordering::Relaxed);
        Ok(())
    }

    /// Counts copies of some objects, makes those that are wanting and parts with those that are too many. Counts what is
    /// left of either.
    async fn look_after(&self, page: &[Own], before: &HashSet<Fingerprint>, count: &mut Count) {
        let view = self.shared.objects.view();
        let own = view.own().node;
        let (others, away): (Vec<Node>, Vec<Node>) = view
            .nodes()
            .into_iter()
            .filter(|node| node.number != own)
            .partition(|node| node.condition != Condition::Failed);
        let input = LocateIn { ids: page.iter().map(|object| object.content.fingerprint).collect() };
        let input = &input;
        let answers = join_all(others.into_iter().map(|node| async move {
            let answer = view.ask::<op::Locate>(&node, input, LOCATE_PATIENCE).await;
            (node, answer)
        }))
        .await;
        let may_return = |node: &Node| node.away < self.shared.replicate_after;
        let mut is_somebody_missed = away.iter().any(may_return);
        let mut holders: Vec<(u32, LocateOut)> = Vec::new();
        for (node, answer) in answers {
            match answer {
                Ok(out) => holders.push((node.number, out)),
                Err(_) => is_somebody_missed = true,
            }
        }
        let objects = &self.shared.objects;
        let (mut ours, mut leaving) = (Vec::new(), Vec::new());
        for object in page {
            let copies = Copies::count(*object, own, &holders);
            let with_center = |node: &u32| Some((*node, view.center_of_node(*node)?));
            let stay: Vec<Holder> = copies.stay.iter().filter_map(with_center).collect();
            let verdict = judge(&stay, objects.copies(), view.centers());
            let is_enough = matches!(verdict, Verdict::Right | Verdict::Spare(_));
            let fingerprint = object.content.fingerprint;
            // Something is done about what a second look shows so as well, both with everybody there.
            let is_due = !is_somebody_missed && before.contains(&fingerprint);
            let look_again = || {
                if !is_somebody_missed {
                    self.remember(fingerprint);
                }
            };
            if is_enough && object.leaves {
                self.leave(object.content).await;
            }
            match verdict {
                Verdict::Spare(spare) if spare.contains(&own) => {
                    count.spare += 1;
                    look_again();
                    let kept = copies.stay.into_iter().filter(|node| !spare.contains(node)).collect();
                    if is_due {
                        leaving.push((object.content, kept));
                    }
                }
                Verdict::Right | Verdict::Spare(_) => {}
                Verdict::Wanting(_) | Verdict::Unspread => {
                    count.owed += 1;
                    if copies.is_ours(own) {
                        look_again();
                        if is_due {
                            ours.push((object.content, copies.stay, verdict));
                        }
                    }
                }
            }
        }
        let at_once = if view.centers() > 1 { COPIED_AT_ONCE_ELSEWHERE } else { COPIED_AT_ONCE };
        let mend = |(content, holding, verdict)| self.mend(content, holding, verdict);
        let mut mending = stream::iter(ours.into_iter().map(mend)).buffer_unordered(at_once);
        while let Some(is_mended) = mending.next().await {
            count.owed -= u64::from(is_mended);
        }
        let part = |(content, kept): (Content, Vec<u32>)| self.part_with(content, kept);
        let mut parting = stream::iter(leaving.into_iter().map(part)).buffer_unordered(at_once);
        while let Some(is_gone) = parting.next().await {
            count.spare -= u64::from(is_gone);
        }
    }

    /// Parts with this node's copy, once every node that keeps one has read its own and has the references; whether it is
    /// gone.
    async fn part_with(&self, content: Content, kept: Vec<u32>) -> bool {
        let parted = self.hand_over(content, kept).await;
        match &parted {
            Ok(true) => {
                tracing::info!(object = %content.fingerprint, "a copy that was too many is gone");
                self.shared.objects.view().updated(content.fingerprint);
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(object = %content.fingerprint, %error, "a copy that is too many stays")
            }
        }
        parted.unwrap_or(false)
    }

    async fn hand_over(&self, content: Content, kept: Vec<u32>) -> Result<bool, CopyError> {
        let Shared { isn, objects, .. } = &*self.shared;
        let (view, fingerprint, began) = (objects.view(), content.fingerprint, Instant::now());
        let held = isn.references_of(fingerprint).await?;
        let references: Vec<Reference> = held.into_iter().map(|(reference, _)| reference).collect();
        for node in kept {
            let Some(node) = view.node(node) else { return Ok(false) };
            let read = view.ask::<op::Verify>(&node, &VerifyIn { fingerprint }, VERIFY_PATIENCE).await?;
            if read.good == 0 {
                return Ok(false);
            }
            let tell = |reference: &Reference| {
                let (Reference { customer, token, .. }, node) = (*reference, &node);
                // Refused if it was given up since it was read here: that must not come back.
                let age = began.elapsed().as_secs() + 1;
                let input = HoldIn { content, customer, token, purpose: Purpose::Add, age };
                async move { view.ask::<op::Hold>(node, &input, PATIENCE).await }
            };
            let mut told = stream::iter(references.iter().map(tell)).buffer_unordered(TOLD_AT_ONCE);
            while let Some(answer) = told.next().await {
                if !answer?.held {
                    return Ok(false);
                }
            }
        }
        Ok(isn.part_with(content, references).await?)
    }

    fn wanting(&self) -> MutexGuard<'_, HashSet<Fingerprint>> {
        self.shared.wanting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, fingerprint: Fingerprint) {
        let mut wanting = self.wanting();
        if wanting.len() < WANTING_MAX {
            wanting.insert(fingerprint);
        }
    }

    /// There are enough copies elsewhere: those on disks that are being emptied go.
    async fn leave(&self, content: Content) {
        match self.shared.isn.leave(content).await {
            Ok(()) => self.shared.objects.view().updated(content.fingerprint),
            Err(error) => {
                tracing::warn!(object = %content.fingerprint, %error, "a copy leaves its disk later");
            }
        }
    }

    /// Makes the copies that are wanting; whether that was enough.
    async fn mend(&self, content: Content, holding: Vec<u32>, verdict: Verdict) -> bool {
        let objects = &self.shared.objects;
        let wanted = if let Verdict::Wanting(wanted) = verdict { wanted } else { 1 };
        let mut targets = objects.choose(content.size, wanted, &[], &holding);
        if verdict == Verdict::Unspread {
            let view = objects.view();
            // One more in a center that has its own is of no use.
            targets.retain(|target| {
                holding.iter().all(|node| view.center_of_node(*node) != Some(target.center))
            });
        }
        let mut made = 0;
        for target in targets {
            let (object, node) = (content.fingerprint, target.number);
            match self.copy(object, &target).await {
                Ok(()) => {
                    tracing::info!(%object, node, "a copy that was wanting is made");
                    made += 1;
                }
                Err(CopyError::Unreferenced) => return true,
                Err(error) => tracing::warn!(%object, node, %error, "a copy is made later"),
            }
        }
        made == wanted
    }

    /// Copies an object of this node, with its references, to another.
    async fn copy(&self, fingerprint: Fingerprint, target: &Node) -> Result<(), CopyError> {
        let Shared { isn, objects, .. } = &*self.shared;
        let before = isn.references_of(fingerprint).await?;
        if before.is_empty() {
            return Err(CopyError::Unreferenced);
        }
        let mut object = isn.open_own(fingerprint).await.map_err(|_| CopyError::Unreadable)?;
        let content = *object.content();
        let input = StoreIn { length: content.size, copies: 1, name: false };
        let mut link = objects.view().links().send::<op::Store>(target.address, &input, PATIENCE).await?;
        link.reply::<()>(Instant::now() + PATIENCE).await?;
        for index in 0..=content.blocks() {
            let is_last = index == content.blocks();
            let chunk = match is_last {
                true => bytes::Bytes::new(),
                false => object.read_block(index).await.map_err(|_| CopyError::Unreadable)?,
            };
            let header = StoreHeader::of(&chunk, is_last).encode();
            let mut parts = [IoSlice::new(&header), IoSlice::new(&chunk)];
            let sending = link.session().send_raw(&mut parts);
            timeout(PATIENCE, sending).await.map_err(|_| SessionError::Late)??;
        }
        let out: StoreOut = link.reply(Instant::now() + PATIENCE).await?;
        if (out.size, out.digest) != (content.size, content.digest) {
            return Err(CopyError::Unreadable);
        }
        let kept = |(reference, renewed): &(Reference, u64)| KeptReference {
            customer: reference.customer,
            token: reference.token,
            renewed: *renewed,
        };
        let (first, others) = before.split_at(before.len().min(REFERENCES_MAX));
        let references = first.iter().map(kept).collect();
        let input = KeepIn { content, references, replica: true };
        let kept = link.call::<op::Keep>(&input, Instant::now() + PATIENCE).await?;
        link.put_back();
        for (Reference { customer, token, .. }, _) in others {
            let (customer, token) = (*customer, *token);
            let input = HoldIn { content, customer, token, purpose: Purpose::Restore, age: 0 };
            objects.view().ask::<op::Hold>(target, &input, PATIENCE).await?;
        }
        objects.view().made(content, Place { node: target.number, disk: kept.disk });
        self.shared.made.fetch_add(1, Ordering::Relaxed);
        self.take_back(fingerprint, target, &before).await
    }

    /// References given up here while the copy was on its way are given up there too.
    async fn take_back(
        &self,
        fingerprint: Fingerprint,
        target: &Node,
        before: &[(Reference, u64)],
    ) -> Result<(), CopyError> {
        let now = self.shared.isn.references_of(fingerprint).await?;
        // A reference on a disk that went out of use meanwhile was not given up. One that was is an orphan there.
        if self.shared.isn.lacks_a_disk() {
            return Ok(());
        }
        for (reference, _) in before {
            if !now.iter().any(|(kept, _)| kept == reference) {
                let input = DeleteIn { reference: *reference };
                self.shared.objects.view().ask::<op::Delete>(target, &input, PATIENCE).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::digest::Digest;
    use protocol::dosp::operations::Located;

    const CONTENT: Content = Content { fingerprint: Fingerprint([1; 16]), size: 1, digest: Digest([2; 32]) };

    fn out(leaving: bool) -> LocateOut {
        LocateOut { found: vec![Located { content: CONTENT, disk: 0, leaving }] }
    }

    /// DFO-6: copies on disks that are being emptied do not count; of all who have one, the lowest number copies.
    #[test]
    fn copies_that_leave_do_not_count_and_one_node_is_responsible() {
        let nothing = LocateOut { found: Vec::new() };
        let own = Own { content: CONTENT, stays: true, leaves: false };
        let copies = Copies::count(own, 12, &[(11, out(true)), (13, out(false)), (14, nothing)]);
        assert_eq!(copies, Copies { stay: vec![12, 13], any: vec![11, 12, 13] });
        assert!(copies.is_ours(11) && !copies.is_ours(12));
        let leaving = Copies::count(Own { stays: false, ..own }, 12, &[]);
        assert_eq!(leaving, Copies { stay: vec![], any: vec![12] });
        assert!(leaving.is_ours(12));
    }

    /// ISN-5: another object of the same name is no copy.
    #[test]
    fn another_object_of_the_same_name_is_no_copy() {
        let other = Content { digest: Digest([3; 32]), ..CONTENT };
        let found = LocateOut { found: vec![Located { content: other, disk: 0, leaving: false }] };
        let own = Own { content: CONTENT, stays: true, leaves: false };
        assert_eq!(Copies::count(own, 12, &[(11, found)]).stay, [12]);
    }
}
