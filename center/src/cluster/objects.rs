//! The cluster's objects as an object manager sees them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::digest::{Content, Fingerprint};
use protocol::id::CustomerId;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::centers::CenterNumber;
use super::order::Order;
use super::placement::{Candidate, choose};
use super::read::ClusterObject;
use super::search::Search;
use super::spread::Holder;
use super::upload::ClusterUpload;
use super::view::{Node, View};
use crate::objects::{FetchError, Objects, StoreError};

/// Uploads at once. Each holds some hundred KiB; the rest wait before their bytes are read.
const UPLOADS_MAX: usize = 256;

/// Objects on the nodes of a cluster. Clones share everything.
#[derive(Clone)]
pub struct ClusterObjects {
    shared: Arc<Shared>,
}

impl fmt::Debug for ClusterObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterObjects").field("copies", &self.copies()).finish_non_exhaustive()
    }
}

struct Shared {
    view: View,
    order: Order,
    copies: usize,
    rng: Mutex<StdRng>,
    uploads: Arc<Semaphore>,
    /// Objects are stored on one node for want of a second.
    is_degraded: AtomicBool,
}

impl ClusterObjects {
    /// Of the cluster seen through `view`, each object on `copies` nodes.
    pub fn new(view: View, order: Order, copies: usize, rng: StdRng) -> Self {
        let (rng, uploads) = (Mutex::new(rng), Arc::new(Semaphore::new(UPLOADS_MAX)));
        Self {
            shared: Arc::new(Shared {
                view,
                order,
                copies,
                rng,
                uploads,
                is_degraded: AtomicBool::new(false),
            }),
        }
    }

    /// The cluster as this process sees it.
    pub fn view(&self) -> &View {
        &self.shared.view
    }

    /// Nodes an object lies on.
    pub fn copies(&self) -> usize {
        self.shared.copies
    }

    /// Up to `count` nodes that take an object of `length` bytes, which `holding` nodes have already, or will have; these and
    /// the `excluded` are not among them.
    pub fn choose(&self, length: u64, count: usize, excluded: &[u32], holding: &[u32]) -> Vec<Node> {
        let nodes: Vec<Node> = self.view().nodes();
        let takes = |node: &&Node| {
            node.takes_objects() && !excluded.contains(&node.number) && !holding.contains(&node.number)
        };
        let candidate = |node: &Node| Candidate {
            node: node.number,
            center: node.center,
            bytes_free: node.bytes_free(),
            ops_per_second: node.heartbeat.ops_per_second,
            outstanding: node.heartbeat.outstanding,
        };
        let candidates: Vec<Candidate> = nodes.iter().filter(takes).map(candidate).collect();
        let with_center = |number: &u32| Some((*number, self.view().center_of_node(*number)?));
        let holders: Vec<Holder> = holding.iter().filter_map(with_center).collect();
        let counterpart = |number: u32, center: CenterNumber| {
            let node = nodes.iter().find(|node| node.number == number)?;
            self.view().counterpart(node, center).map(|counterpart| counterpart.number)
        };
        let mut rng = self.shared.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let chosen = choose(&candidates, &holders, length, count, counterpart, &mut *rng);
        chosen.iter().filter_map(|number| nodes.iter().find(|node| node.number == *number).cloned()).collect()
    }

    /// Says once when objects begin to be stored on one node only, and once when that is over.
    pub fn tell_degraded(&self, is_degraded: bool) {
        if self.shared.is_degraded.swap(is_degraded, Ordering::Relaxed) != is_degraded {
            if is_degraded {
                tracing::error!(
                    "only one storage node takes objects: both copies go to its disks, and to another node when there is one"
                );
            } else {
                tracing::info!("objects are stored on {} nodes again", self.copies());
            }
        }
    }
}

impl Objects for ClusterObjects {
    type Object = ClusterObject;
    type Upload = ClusterUpload;

    async fn open(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
    ) -> Result<ClusterObject, FetchError> {
        let view = self.view().clone();
        if fingerprint == Content::EMPTY.fingerprint {
            return ClusterObject::empty(view);
        }
        let search = Search::new(view.clone(), self.shared.order, customer, fingerprint);
        ClusterObject::open(view, search).await
    }

    async fn receive(&self, length: u64, _now: u64) -> Result<ClusterUpload, StoreError> {
        let began = Instant::now();
        let turn = Arc::clone(&self.shared.uploads).acquire_owned().await;
        let turn = turn.map_err(|_| StoreError::Unavailable("stopping".to_string()))?;
        ClusterUpload::begin(self.clone(), length, turn, began).await
    }
}
