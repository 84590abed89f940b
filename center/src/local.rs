//! The parts of a storage center in one process, as each sees the others: no sockets between them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use protocol::digest::{Content, Fingerprint};
use protocol::dosp::Reference;
use protocol::dosp::operations::{AccessNewsOut, AccessOut, DiskReport};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::pair::{Asker, Stamp};
use protocol::vfs::{Answer, Existing, Operation, Request, VfsError};

use crate::bucket::Bucket;
use crate::dosm::cache::Cache;
use crate::dosm::{Directory, NewClientFile, NewFile};
use crate::host;
use crate::isn::Isn;
use crate::objects::{Objects, Unavailable};
use crate::reconcile::Holders;
use crate::vfs::{Cluster, ClusterError, DirectoryManager, MetaStore};

/// A storage node of this process: on disks ([`Isn`]) or in a bucket ([`Bucket`]).
pub trait LocalNode: Objects + Holders {
    /// Whether the customer's upload `token` holds exactly this content, for somebody who is about to rely on it: a
    /// reference that is getting old is renewed, so that it is not taken for an orphan meanwhile.
    fn keep_reference(
        &self,
        customer: CustomerId,
        content: Content,
        token: Token,
        now: u64,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// Gives up a reference; not an error if it is not there (REF-3).
    fn give_up(&self, reference: Reference, now: u64)
    -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Bytes that can still be stored.
    fn bytes_free(&self) -> u64;

    /// Whether it can give any object at all.
    fn gives_objects(&self) -> bool;

    /// Seconds that something nobody refers to is kept.
    fn orphan_grace_seconds(&self) -> u64;

    /// Removes what has had no reference for its grace (REF-2). Answers how much it removed.
    fn collect(&self, now: u64) -> impl Future<Output = Result<u64, Unavailable>> + Send;

    /// All that an operator is shown of each disk, or of the bucket.
    fn reports(&self) -> impl Future<Output = Vec<DiskReport>> + Send;
}

impl LocalNode for Isn {
    async fn keep_reference(
        &self,
        customer: CustomerId,
        content: Content,
        token: Token,
        now: u64,
    ) -> Result<bool, Unavailable> {
        Isn::keep_reference(self, customer, content, token, now).await
    }

    async fn give_up(&self, reference: Reference, now: u64) -> Result<(), Unavailable> {
        Isn::give_up(self, reference, now).await
    }

    fn bytes_free(&self) -> u64 {
        Isn::bytes_free(self)
    }

    fn gives_objects(&self) -> bool {
        Isn::gives_objects(self)
    }

    fn orphan_grace_seconds(&self) -> u64 {
        self.settings().orphan_grace_seconds
    }

    async fn collect(&self, now: u64) -> Result<u64, Unavailable> {
        Isn::collect(self, now).await
    }

    async fn reports(&self) -> Vec<DiskReport> {
        self.disk_reports().await
    }
}

impl LocalNode for Bucket {
    async fn keep_reference(
        &self,
        customer: CustomerId,
        content: Content,
        token: Token,
        now: u64,
    ) -> Result<bool, Unavailable> {
        Bucket::keep_reference(self, customer, content, token, now).await
    }

    async fn give_up(&self, reference: Reference, now: u64) -> Result<(), Unavailable> {
        Bucket::give_up(self, reference, now).await
    }

    fn bytes_free(&self) -> u64 {
        Bucket::bytes_free(self)
    }

    fn gives_objects(&self) -> bool {
        true // Whether the bucket answers, each request finds out for itself.
    }

    fn orphan_grace_seconds(&self) -> u64 {
        Bucket::orphan_grace_seconds(self)
    }

    async fn collect(&self, now: u64) -> Result<u64, Unavailable> {
        Bucket::collect(self, now).await
    }

    async fn reports(&self) -> Vec<DiskReport> {
        vec![self.report()]
    }
}

/// The storage node as the VFS sees it.
#[derive(Clone, Debug)]
pub struct LocalCluster<N: LocalNode> {
    node: N,
    cache: Option<Cache<N>>,
}

impl<N: LocalNode> LocalCluster<N> {
    /// This node; the cache in front of it, if there is one, is told of released references (DOSM-19).
    pub const fn new(node: N, cache: Option<Cache<N>>) -> Self {
        Self { node, cache }
    }
}

impl<N: LocalNode> Cluster for LocalCluster<N> {
    async fn has_reference(
        &self,
        customer: CustomerId,
        content: &Content,
        token: Token,
    ) -> Result<bool, ClusterError> {
        let kept = self.node.keep_reference(customer, *content, token, host::now_seconds()).await;
        kept.map_err(|error| ClusterError(error.to_string()))
    }

    async fn release(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
        token: Token,
    ) -> Result<(), ClusterError> {
        let reference = Reference { fingerprint, customer, token };
        let released = self.node.give_up(reference, host::now_seconds()).await;
        // Also after an error: the reference may be gone.
        self.cache.iter().for_each(|cache| cache.forget(fingerprint));
        released.map_err(|error| ClusterError(error.to_string()))
    }

    async fn space(&self) -> Result<u64, ClusterError> {
        Ok(self.node.bytes_free())
    }
}

/// Longest wait for a change of anybody's access: below the patience of those who ask.
const NEWS_WAIT: Duration = Duration::from_secs(2);

/// The VFS as the object manager sees it.
pub struct LocalDirectory<C> {
    store: MetaStore,
    manager: Arc<DirectoryManager<C>>,
}

impl<C: Cluster> LocalDirectory<C> {
    /// Rows by this manager, secrets from this store.
    pub fn new(store: MetaStore, manager: Arc<DirectoryManager<C>>) -> Self {
        Self { store, manager }
    }
}

impl<C: Cluster> Directory for LocalDirectory<C> {
    async fn access(&self, customer: CustomerId) -> Result<AccessOut, String> {
        self.store.access(customer).await.map_err(|error| error.to_string())
    }

    async fn access_news(&self, since: u64) -> Result<AccessNewsOut, String> {
        self.store.access_news(since, NEWS_WAIT).await.map_err(|error| error.to_string())
    }

    async fn create_file(&self, asker: Asker, file: NewFile) -> Result<ObjectId, VfsError> {
        let NewFile { parent, name, upload } = file;
        let operation = Operation::CreateFile {
            parent,
            name,
            metadata: Vec::new(),
            upload: Some(upload),
            existing: Existing::Refuse,
        };
        let request = Request { key: Some(upload.token), operation };
        let answered = self.manager.perform(asker, request, host::now()).await?;
        match answered.answer {
            Answer::Changed(changed) => changed.row.map(|row| row.id).ok_or_else(no_row),
            _ => Err(no_row()),
        }
    }

    async fn store_client_file(&self, asker: Asker, file: NewClientFile) -> Result<(), VfsError> {
        let NewClientFile { file, upload, replace } = file;
        self.manager.store_client_file(asker, file, upload, replace, host::now()).await
    }

    async fn find_client_file(&self, customer: CustomerId, file: ClientFile) -> Result<Content, VfsError> {
        self.manager.find_client_file(customer, file, host::now()).await
    }

    async fn delete_client_file(&self, asker: Asker, file: ClientFile, key: Token) -> Result<(), VfsError> {
        self.manager.delete_client_file(asker, file, key, host::now()).await
    }

    async fn upload_page(&self, customer: CustomerId) -> Result<Option<String>, String> {
        self.store.upload_page(customer).await.map_err(|error| error.to_string())
    }

    async fn callback_hosts(&self, customer: CustomerId) -> Result<String, String> {
        let hosts = self.store.callback_hosts(customer).await.map_err(|error| error.to_string())?;
        Ok(hosts.unwrap_or_default())
    }

    async fn give_up(&self, reference: Reference, stamp: Option<Stamp>) -> Result<(), VfsError> {
        self.manager.give_up(reference, stamp, host::now()).await?;
        self.manager.await_release(reference).await;
        Ok(())
    }
}

fn no_row() -> VfsError {
    VfsError::unavailable("the VFS made no row")
}
