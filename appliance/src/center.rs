//! The storage center as the port needs it, for one customer.
//!
//! A trait, because the translator is tested against a center in memory. Retries, endpoints and signatures are
//! [`client::Center`]'s matter; what it means to a file system that the center fails is decided here, in one table.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{ClientError, Source};
use nfs::filesystem::FsError;
use protocol::digest::{BlockDigests, Content, Fingerprint};
use protocol::id::Token;
use protocol::pair::Generation;
use protocol::vfs::{Answered, Operation, Request, VfsError, VfsErrorCode};
use tokio::time::Instant;

use crate::pair::role::Role;
use crate::traffic::Traffic;
use crate::wan::Throttle;

/// The change feed tries for so long to reach the center. Shortly, for it finds out on behalf of all other calls.
const FEED_DEADLINE: Duration = Duration::from_secs(2);

/// What the port asks of the center on behalf of one customer. Every call ends within the client's deadline.
pub trait StorageCenter: Send + Sync + 'static {
    /// One operation of the VFS.
    fn operate(&self, request: Request) -> impl Future<Output = Result<Answered, CenterError>> + Send;
    /// Bytes of an object; not verified.
    fn fetch_range(
        &self,
        content: &Content,
        offset: u64,
        len: u64,
    ) -> impl Future<Output = Result<Bytes, CenterError>> + Send;
    /// The block digests of an object, verified against `content`.
    fn fetch_digests(
        &self,
        content: &Content,
    ) -> impl Future<Output = Result<BlockDigests, CenterError>> + Send;
    /// Stores an object, held by the reference `token`. Repeating it has no second effect.
    fn store(
        &self,
        token: Token,
        content: &Content,
        source: Source,
    ) -> impl Future<Output = Result<(), CenterError>> + Send;
    /// Gives up the reference `token`.
    fn release(
        &self,
        fingerprint: &Fingerprint,
        token: Token,
    ) -> impl Future<Output = Result<(), CenterError>> + Send;
}

/// Why the center did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CenterError {
    /// The VFS refused the operation.
    #[error("{0}")]
    Vfs(VfsError),
    /// The customer has no reference to the object: it was replaced or removed meanwhile.
    #[error("the storage center has no such object for this customer")]
    NoObject,
    /// No answer in time from any endpoint; the same call may succeed later.
    #[error("{0}")]
    Unavailable(Arc<str>),
    /// A newer generation of the port's pair is in force: unless that is this port's own by now, it is not the active one
    /// any more, and answers nobody.
    #[error("the other storage port of the pair is active, in generation {0}")]
    Superseded(Generation),
    /// The center does not accept this port's secret.
    #[error("the secret is not accepted: {0}")]
    Refused(Arc<str>),
    /// No room for an upload: the customer's quota, or the cluster's disks.
    #[error("no room: {0}")]
    NoSpace(Arc<str>),
    /// The answer was not what was asked for, or bytes did not match their digest.
    #[error("{0}")]
    Wrong(Arc<str>),
    /// A local source of the bytes failed while they were sent.
    #[error("{0}")]
    Source(Arc<str>),
}

impl CenterError {
    /// The VFS's code, if it was the VFS that refused.
    pub fn code(&self) -> Option<VfsErrorCode> {
        match self {
            Self::Vfs(error) => Some(error.code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later, without anybody mending anything in the request.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_)) || self.code() == Some(VfsErrorCode::Unavailable)
    }

    /// Whether the object asked for is gone.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoObject) || self.code() == Some(VfsErrorCode::NotFound)
    }

    /// Whether the center knows this port but not its secret, or not its customer.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_)) || self.code() == Some(VfsErrorCode::Denied)
    }

    /// An answer of another kind than the operation has.
    pub fn unexpected_answer() -> Self {
        Self::Wrong("the storage center gave an answer of another kind".into())
    }
}

/// The one table from the center's failures to those of a file system.
impl From<CenterError> for FsError {
    fn from(error: CenterError) -> Self {
        match error {
            CenterError::Vfs(error) => match error.code {
                VfsErrorCode::NotFound => Self::NotFound,
                VfsErrorCode::Exists => Self::Exists,
                VfsErrorCode::NotEmpty => Self::NotEmpty,
                VfsErrorCode::NotFolder => Self::NotDirectory,
                VfsErrorCode::IsFolder => Self::IsDirectory,
                VfsErrorCode::QuotaExceeded => Self::QuotaExceeded,
                VfsErrorCode::Invalid => Self::Invalid,
                VfsErrorCode::NoSuchObject => Self::Io,
                VfsErrorCode::VersionMismatch
                | VfsErrorCode::Denied
                | VfsErrorCode::Unavailable
                | VfsErrorCode::Superseded(_) => Self::TryLater,
            },
            // A refused secret is the operator's to mend: clients wait meanwhile instead of losing writes.
            CenterError::Unavailable(_) | CenterError::Refused(_) | CenterError::Superseded(_) => {
                Self::TryLater
            }
            CenterError::NoSpace(_) => Self::NoSpace,
            CenterError::NoObject | CenterError::Wrong(_) | CenterError::Source(_) => Self::Io,
        }
    }
}

/// A center as the port asks it: that a newer generation is in force is heard by [`Role`], whoever asked, and what goes
/// over the WAN is counted, and takes no more of it than it may.
pub struct Fenced<C> {
    center: C,
    role: Arc<Role>,
    traffic: Arc<Traffic>,
    throttle: Arc<Throttle>,
}

impl<C> Fenced<C> {
    /// `center`, for the port that is `role`.
    pub const fn new(center: C, role: Arc<Role>, traffic: Arc<Traffic>, throttle: Arc<Throttle>) -> Self {
        Self { center, role, traffic, throttle }
    }

    /// The center itself.
    pub const fn inner(&self) -> &C {
        &self.center
    }

    fn heard<T>(&self, result: Result<T, CenterError>) -> Result<T, CenterError> {
        if let Err(CenterError::Superseded(generation)) = &result {
            self.role.hear_of(generation.0);
        }
        result
    }
}

impl<C: StorageCenter> StorageCenter for Fenced<C> {
    async fn operate(&self, request: Request) -> Result<Answered, CenterError> {
        // A long poll waits for news, which says nothing of the way.
        let is_question = !matches!(request.operation, Operation::Changes { .. });
        let asked = Instant::now();
        let answer = self.center.operate(request).await;
        if is_question && answer.is_ok() {
            self.traffic.answered(asked.elapsed());
        }
        self.heard(answer)
    }

    async fn fetch_range(&self, content: &Content, offset: u64, len: u64) -> Result<Bytes, CenterError> {
        self.throttle.fetch(len).await;
        let bytes = self.center.fetch_range(content, offset, len).await?;
        self.traffic.received(bytes.len() as u64);
        Ok(bytes)
    }

    async fn fetch_digests(&self, content: &Content) -> Result<BlockDigests, CenterError> {
        self.center.fetch_digests(content).await
    }

    async fn store(&self, token: Token, content: &Content, source: Source) -> Result<(), CenterError> {
        let stored = self.center.store(token, content, self.throttle.paced(source)).await;
        if stored.is_ok() {
            self.traffic.sent(content.size);
        }
        self.heard(stored)
    }

    async fn release(&self, fingerprint: &Fingerprint, token: Token) -> Result<(), CenterError> {
        self.heard(self.center.release(fingerprint, token).await)
    }
}

impl StorageCenter for client::Center {
    async fn operate(&self, request: Request) -> Result<Answered, CenterError> {
        if matches!(request.operation, Operation::Changes { .. }) {
            return Ok(Self::operate(&self.with_deadline(FEED_DEADLINE), request).await?);
        }
        Ok(Self::operate(self, request).await?)
    }

    async fn fetch_range(&self, content: &Content, offset: u64, len: u64) -> Result<Bytes, CenterError> {
        Ok(Self::fetch_range(self, content, offset, len).await?)
    }

    async fn fetch_digests(&self, content: &Content) -> Result<BlockDigests, CenterError> {
        Ok(Self::fetch_digests(self, content).await?)
    }

    async fn store(&self, token: Token, content: &Content, source: Source) -> Result<(), CenterError> {
        Self::store(self, token, content, source).await?;
        Ok(())
    }

    async fn release(&self, fingerprint: &Fingerprint, token: Token) -> Result<(), CenterError> {
        Ok(self.delete(fingerprint, token).await?)
    }
}

impl From<ClientError> for CenterError {
    fn from(error: ClientError) -> Self {
        let text: Arc<str> = error.to_string().into();
        match error {
            ClientError::Vfs(error) => Self::Vfs(error),
            ClientError::Unavailable { .. } => Self::Unavailable(text),
            ClientError::Superseded { generation } => Self::Superseded(generation),
            ClientError::Refused { ref code, .. } => match code.as_str() {
                "not-found" => Self::NoObject,
                "no-space" | "quota" => Self::NoSpace(text),
                "not-authentic" | "not-allowed" | "expired" => Self::Refused(text),
                "unavailable" => Self::Unavailable(text),
                _ => Self::Wrong(text),
            },
            ClientError::Source(_) => Self::Source(text),
            ClientError::Corrupt(_) | ClientError::Protocol { .. } | ClientError::Invalid(_) => {
                Self::Wrong(text)
            }
        }
    }
}
