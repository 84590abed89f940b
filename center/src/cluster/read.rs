//! An object of the cluster being read: from one copy as long as that goes well, then from the next (DOSM-8).

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content};
use protocol::dosp::operations::{self as op, RetrieveRangeIn, VerifyIn};
use protocol::id::CustomerId;

use super::link::{AskError, Stream};
use super::search::{Found, Search};
use super::view::{Node, View};
use crate::objects::{FetchError, Readable};

/// Longest time for a node to begin to send: the second of two tries at another copy is due then.
const BEGIN_PATIENCE: Duration = Duration::from_millis(500);
/// Longest time for the next block to come once it has begun.
const BLOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Longest time for a node to read a whole object against its digest.
const VERIFY_PATIENCE: Duration = Duration::from_secs(600);

/// An open object.
pub struct ClusterObject {
    view: View,
    content: Content,
    blocks: BlockDigests,
    /// How to find another copy; `None` for the empty object.
    search: Option<Search>,
    node: Option<Node>,
    customer: Option<CustomerId>,
    expected: Range<u64>,
    stream: Option<Running>,
}

impl fmt::Debug for ClusterObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterObject").field("content", &self.content).finish_non_exhaustive()
    }
}

struct Running {
    stream: Stream,
    /// The block that comes next.
    next: u64,
}

impl ClusterObject {
    /// The first copy that `search` finds.
    pub async fn open(view: View, mut search: Search) -> Result<Self, FetchError> {
        let Found { node, content, blocks, customer } = search.next().await?;
        let expected = 0..content.blocks();
        let (search, node) = (Some(search), Some(node));
        Ok(Self { view, content, blocks, search, node, customer, expected, stream: None })
    }

    /// The empty object, which nobody needs to be asked for.
    pub fn empty(view: View) -> Result<Self, FetchError> {
        let content = Content::EMPTY;
        let blocks = BlockDigests::from_bytes(&content, &[]).map_err(|_| FetchError::Unavailable)?;
        let (search, node, customer, stream) = (None, None, None, None);
        Ok(Self { view, content, blocks, search, node, customer, expected: 0..0, stream })
    }

    /// The block from the copy at hand, unchecked.
    async fn receive(&mut self, node: &Node, index: u64) -> Result<Bytes, AskError> {
        let fits = |running: &Running| running.next == index;
        let mut running = match self.stream.take().filter(fits) {
            Some(running) => running,
            None => self.begin(node, index).await?,
        };
        let bytes = running.stream.read(self.content.block_len(index), BLOCK_PATIENCE).await?;
        running.next += 1;
        if running.stream.left() > 0 {
            self.stream = Some(running);
        } else {
            running.stream.finish::<()>(BLOCK_PATIENCE).await?;
        }
        Ok(bytes)
    }

    /// Asks for all that is expected from the block on.
    async fn begin(&self, node: &Node, index: u64) -> Result<Running, AskError> {
        let end = if self.expected.contains(&index) { self.expected.end } else { index + 1 };
        let input = RetrieveRangeIn {
            customer: self.customer,
            fingerprint: self.content.fingerprint,
            offset: index * BLOCK_BYTES,
            length: (end - index) * BLOCK_BYTES,
        };
        let opened = self.view.links().open::<op::RetrieveRange>(node.address, &input, BEGIN_PATIENCE);
        let (head, stream) = opened.await?;
        if head.content != self.content {
            return Err(protocol::dosp::Malformed::BadValue.into());
        }
        Ok(Running { stream, next: index })
    }

    /// A copy with wrong bytes: the node shall look at it, put it aside and see to another.
    fn report(&self, node: &Node, index: u64) {
        let fingerprint = self.content.fingerprint;
        tracing::error!(node = node.number, object = %fingerprint, block = index, "a node gave wrong bytes");
        self.view.mistaken(fingerprint, node.number);
        let (view, address) = (self.view.clone(), node.address);
        tokio::spawn(async move {
            let input = VerifyIn { fingerprint };
            if let Err(error) = view.links().ask::<op::Verify>(address, &input, VERIFY_PATIENCE).await {
                tracing::warn!(%address, object = %fingerprint, %error, "a damaged copy is put aside later");
            }
        });
    }
}

impl Readable for ClusterObject {
    fn content(&self) -> &Content {
        &self.content
    }

    fn block_digests(&self) -> Vec<u8> {
        self.blocks.as_bytes()
    }

    /// It comes from another machine.
    fn file(&self) -> Option<&Arc<File>> {
        None
    }

    fn expect(&mut self, blocks: Range<u64>) {
        self.expected = blocks.start..blocks.end.min(self.content.blocks());
    }

    async fn read_block(&mut self, index: u64) -> Result<Bytes, FetchError> {
        if self.content.size == 0 {
            return Ok(Bytes::new());
        }
        while let Some(node) = self.node.clone() {
            match self.receive(&node, index).await {
                Ok(bytes) if self.blocks.verify(&self.content, index, &bytes).is_ok() => return Ok(bytes),
                Ok(_) => self.report(&node, index),
                Err(error @ AskError::Broken(_)) => self.view.refuse(node.number, &error),
                Err(error) => tracing::warn!(node = node.number, %error, "a copy cannot be read"),
            }
            self.stream = None;
            self.node = None;
            let Some(search) = &mut self.search else { break };
            search.disappointed();
            let Found { node, content, customer, .. } = search.next().await?;
            // Two contents of one fingerprint are never both stored; if they were, they would not be mixed.
            if content == self.content {
                (self.node, self.customer) = (Some(node), customer);
            }
        }
        Err(FetchError::Unavailable)
    }
}
