//! Finds copies of an object, step by step (Figure 4, DOSM-3 to DOSM-8).

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, stream};
use protocol::digest::{BlockDigests, Content, Fingerprint};
use protocol::dosp::operations::{self as op, DigestsIn, EntitledIn, LocateIn, Located};
use protocol::dosp::{Failure, Status};
use protocol::id::CustomerId;

use super::centers::HERE;
use super::elsewhere;
use super::link::AskError;
use super::locations::Place;
use super::members::Condition;
use super::order::{Order, Step};
use super::view::{Node, View};
use crate::objects::FetchError;

/// A node is asked so often, and has so long for the first byte, before it counts as unreadable (DOSM-3).
const TRIES: usize = 2;
const PATIENCE: Duration = Duration::from_millis(250);
/// The same for a node that is thought to be dead, when nobody else is left.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// A question to the group is asked again after so long each time (DOSM-4).
const RESEND_AFTER: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(15), Duration::from_millis(45)];
/// Nodes asked at once (DOSM-6).
const ASKED_AT_ONCE: usize = 16;
/// How long this center's group has to answer before another center is asked as well (GEO-9).
const HEDGE_AFTER: Duration = Duration::from_millis(5);
/// Longest time for a node to say which of some objects it has.
pub const LOCATE_PATIENCE: Duration = Duration::from_secs(1);

/// A copy that was found, and what it is a copy of.
pub struct Found {
    /// The node it lies on.
    pub node: Node,
    /// The object.
    pub content: Content,
    /// Its block digests, checked.
    pub blocks: BlockDigests,
    /// For whom it is to be asked: `None` if another node vouches for the customer.
    pub customer: Option<CustomerId>,
}

/// A search for one object. Goes on where it stopped when a copy found turns out to be of no use.
pub struct Search {
    view: View,
    customer: CustomerId,
    fingerprint: Fingerprint,
    steps: &'static [Step],
    /// Nodes to try, the last one next.
    candidates: Vec<Node>,
    tried: Vec<u32>,
    /// Since when others are asked where it is.
    asking_since: Option<Instant>,
    /// A node that may have a copy, or know the customer, did not answer.
    is_in_doubt: bool,
    /// The customer's reference was found on a node that has not the object.
    is_vouched: bool,
}

impl Search {
    /// Begins.
    pub fn new(view: View, order: Order, customer: CustomerId, fingerprint: Fingerprint) -> Self {
        let (candidates, tried) = (Vec::new(), Vec::new());
        Self {
            view,
            customer,
            fingerprint,
            steps: order.steps(),
            candidates,
            tried,
            asking_since: None,
            is_in_doubt: false,
            is_vouched: false,
        }
    }

    /// The next copy that can be read.
    ///
    /// # Errors
    /// `NotFound` if every node says that it has no such object for this customer; `Unavailable` if one did not answer, or
    /// has a disk out of use, or holds it for the customer, and nobody has it.
    pub async fn next(&mut self) -> Result<Found, FetchError> {
        loop {
            while let Some(node) = self.candidates.pop() {
                if let Some(found) = self.examine(node).await {
                    return Ok(found);
                }
            }
            if !self.step().await {
                break;
            }
        }
        Err(if self.is_in_doubt { FetchError::Unavailable } else { FetchError::NotFound })
    }

    /// The node asked last had nothing of use, though it said so.
    pub fn disappointed(&mut self) {
        self.is_in_doubt = true;
    }

    /// Takes the next step; `false` if there is none.
    async fn step(&mut self) -> bool {
        let Some((step, rest)) = self.steps.split_first() else { return self.vouch().await };
        self.steps = rest;
        let places = match step {
            Step::Known => self.view.places(self.fingerprint),
            Step::MappedElsewhere => {
                let mapped = self.mapped();
                self.propose(&mapped);
                return true;
            }
            step => self.ask_others(*step).await,
        };
        let nodes: Vec<u32> = places.into_iter().map(|place| place.node).collect();
        self.propose(&nodes);
        true
    }

    /// Asks, and counts how long it took until somebody told a place.
    async fn ask_others(&mut self, step: Step) -> Vec<Place> {
        let since = *self.asking_since.get_or_insert_with(Instant::now);
        let places = match step {
            Step::Multicast => multicast(&self.view, self.fingerprint, &self.tried).await,
            Step::Hedged => self.hedged().await,
            Step::MulticastElsewhere => self.elsewhere().await,
            _ => self.ask_each(|node| node.center == HERE).await,
        };
        if !places.is_empty() {
            self.asking_since = None;
            self.view.locating().record(since.elapsed());
        }
        places
    }

    /// Nodes not tried yet become candidates: of several, the live ones first, and of these the ones of this center.
    fn propose(&mut self, numbers: &[u32]) {
        let chosen = |node: &Node| numbers.contains(&node.number) && !self.tried.contains(&node.number);
        let mut nodes: Vec<Node> = self.view.nodes().into_iter().filter(chosen).collect();
        nodes.sort_by_key(|node| {
            let place = numbers.iter().position(|number| *number == node.number);
            std::cmp::Reverse((node.condition, node.center != HERE, place))
        });
        self.candidates = nodes;
    }

    /// The nodes of other centers that mirror those where the object is, or was thought to be (GEO-7).
    fn mapped(&self) -> Vec<u32> {
        let places = self.view.places(self.fingerprint);
        let numbers = places.iter().map(|place| &place.node).chain(&self.tried);
        let nodes: Vec<Node> = numbers.filter_map(|number| self.view.node(*number)).collect();
        let others = HERE + 1..self.view.centers();
        let mapped = others.flat_map(|center| {
            let view = &self.view;
            nodes.iter().filter_map(move |node| view.counterpart(node, center))
        });
        mapped.map(|node| node.number).collect()
    }

    /// The group of this center against other centers, which begin a moment later (GEO-9).
    async fn hedged(&mut self) -> Vec<Place> {
        let (view, fingerprint, tried) = (&self.view, self.fingerprint, &self.tried);
        let local = async { (multicast(view, fingerprint, tried).await, false) };
        let mapped: Vec<Place> = self.mapped().into_iter().map(|node| Place { node, disk: 0 }).collect();
        let others = async {
            if view.centers() == 1 {
                return (Vec::new(), false);
            }
            tokio::time::sleep(HEDGE_AFTER).await;
            if mapped.is_empty() { found_elsewhere(view, fingerprint).await } else { (mapped, false) }
        };
        let mut answers = FuturesUnordered::from_iter([local.boxed(), others.boxed()]);
        let mut doubts = false;
        while let Some((places, is_in_doubt)) = answers.next().await {
            if !places.is_empty() {
                return places;
            }
            doubts |= is_in_doubt;
        }
        drop(answers);
        self.is_in_doubt |= doubts;
        Vec::new()
    }

    /// Has other centers ask their groups; where that gives nothing, asks each of their nodes.
    async fn elsewhere(&mut self) -> Vec<Place> {
        let (places, is_in_doubt) = found_elsewhere(&self.view, self.fingerprint).await;
        self.is_in_doubt |= is_in_doubt;
        if !places.is_empty() || self.view.centers() == 1 {
            return places;
        }
        self.ask_each(|node| node.center != HERE).await
    }

    /// Asks nodes one by one; what is found is told to all (DOSM-6).
    async fn ask_each(&mut self, whom: impl Fn(&Node) -> bool) -> Vec<Place> {
        let nodes = self.view.nodes().into_iter().filter(whom).collect();
        let (found, silent) = census(&self.view, self.fingerprint, nodes).await;
        self.is_in_doubt |= !silent.is_empty();
        for (node, located) in &found {
            self.view.made(located.content, Place { node: node.number, disk: located.disk });
        }
        found.iter().map(|(node, located)| Place { node: node.number, disk: located.disk }).collect()
    }

    /// Whether a node knows a reference of the customer's though it has no copy: a copy that was moved by hand has
    /// left its references behind. Then every copy will do, and if there is none, one is missing.
    async fn vouch(&mut self) -> bool {
        if self.is_vouched {
            return false;
        }
        let input = EntitledIn { customer: self.customer, fingerprint: self.fingerprint };
        let (view, input) = (&self.view, &input);
        let ask = |node: Node| async move { view.ask::<op::Entitled>(&node, input, LOCATE_PATIENCE).await };
        let mut answers = stream::iter(view.nodes().into_iter().map(ask)).buffer_unordered(ASKED_AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(out) if out.entitled => {
                    drop(answers);
                    (self.is_vouched, self.is_in_doubt) = (true, true);
                    let tried = std::mem::take(&mut self.tried);
                    self.propose(&tried);
                    return true;
                }
                Ok(_) => {}
                Err(_) => self.is_in_doubt = true,
            }
        }
        false
    }

    async fn examine(&mut self, node: Node) -> Option<Found> {
        self.tried.push(node.number);
        let customer = (!self.is_vouched).then_some(self.customer);
        let input = DigestsIn { customer, fingerprint: self.fingerprint };
        let patience = if node.condition == Condition::Failed { LAST_PATIENCE } else { PATIENCE };
        let mut asked = None;
        for _ in 0..TRIES {
            let answer = self.view.links().ask::<op::Digests>(node.address, &input, patience).await;
            let is_final = !matches!(answer, Err(AskError::Broken(_)));
            asked = Some(answer);
            if is_final {
                break;
            }
        }
        match asked? {
            Ok(out) => {
                let blocks = BlockDigests::from_bytes(&out.content, &out.list).ok();
                let is_it = out.content.fingerprint == self.fingerprint;
                if let Some(blocks) = blocks.filter(|_| is_it) {
                    return Some(Found { node, content: out.content, blocks, customer });
                }
                tracing::error!(node = node.number, object = %self.fingerprint, "a node's digests are no object's");
                self.is_in_doubt = true;
            }
            Err(AskError::Said(Failure { status: Status::NotFound, .. })) => {
                self.view.mistaken(self.fingerprint, node.number);
            }
            Err(AskError::Said(failure)) => {
                tracing::debug!(node = node.number, %failure, "a node cannot give an object");
                // Perhaps for long: whoever has it is asked first from now on.
                self.view.mistaken(self.fingerprint, node.number);
                self.is_in_doubt = true;
            }
            Err(error) => {
                self.view.refuse(node.number, &error);
                self.is_in_doubt = true;
            }
        }
        None
    }
}

/// Asks the group of this center, several times; whoever has the object tells all (DOSM-5). Nodes that were tried do not
/// count as an answer.
pub async fn multicast(view: &View, fingerprint: Fingerprint, tried: &[u32]) -> Vec<Place> {
    if !view.beacon().reaches_anybody() {
        return Vec::new();
    }
    for patience in RESEND_AFTER {
        view.beacon().locate(&[fingerprint], &view.unicast_peers());
        let places = view.await_place(fingerprint, patience).await;
        if places.iter().any(|place| !tried.contains(&place.node)) {
            return places;
        }
    }
    Vec::new()
}

/// Where the groups of other centers say the object is, which is remembered; and whether one of them could not be asked.
async fn found_elsewhere(view: &View, fingerprint: Fingerprint) -> (Vec<Place>, bool) {
    let others = HERE + 1..view.centers();
    let answers = join_all(others.map(|center| elsewhere::find(view, center, fingerprint))).await;
    let is_in_doubt = answers.contains(&None);
    let places: Vec<Place> = answers.into_iter().flatten().flatten().collect();
    places.iter().for_each(|place| view.note(fingerprint, *place));
    (places, is_in_doubt)
}

/// Who of some nodes has an object; and the nodes that did not answer.
pub async fn census(
    view: &View,
    fingerprint: Fingerprint,
    nodes: Vec<Node>,
) -> (Vec<(Node, Located)>, Vec<Node>) {
    let input = LocateIn { ids: vec![fingerprint] };
    let ask = |node: Node| {
        let input = &input;
        async move {
            let answer = view.ask::<op::Locate>(&node, input, LOCATE_PATIENCE).await;
            (node, answer)
        }
    };
    let mut answers = stream::iter(nodes.into_iter().map(ask)).buffer_unordered(ASKED_AT_ONCE);
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    while let Some((node, answer)) = answers.next().await {
        match answer {
            Ok(out) => {
                let here = out.found.into_iter().find(|found| found.content.fingerprint == fingerprint);
                found.extend(here.map(|located| (node, located)));
            }
            Err(_) => silent.push(node),
        }
    }
    (found, silent)
}
