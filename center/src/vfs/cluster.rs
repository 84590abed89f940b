//! What the VFS asks of the storage cluster. The VFS knows no location (SYS-2): only whether a reference exists.

use std::future::Future;

use protocol::digest::{Content, Fingerprint};
use protocol::id::{CustomerId, Token};
use thiserror::Error;

/// The storage cluster as the VFS sees it.
pub trait Cluster: Send + Sync + 'static {
    /// Whether the cluster durably holds exactly these contents (size and digest too) with this customer's reference.
    /// A `true` also keeps the reference from being collected as an orphan for another grace time, because the row
    /// that needs it is about to be committed.
    fn has_reference(
        &self,
        customer: CustomerId,
        content: &Content,
        token: Token,
    ) -> impl Future<Output = Result<bool, ClusterError>> + Send;

    /// Gives up a reference, on every node that holds it. Succeeds when it is not there (REF-3).
    fn release(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
        token: Token,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Bytes that could still be stored, two copies counted.
    fn space(&self) -> impl Future<Output = Result<u64, ClusterError>> + Send;
}

/// The cluster could not answer; the same question may be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the storage cluster cannot answer: {0}")]
pub struct ClusterError(pub String);
