//! Which part of the storage center a request is for.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use ::http::{Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use metrics::server::PAGE_LASTS;
use page_server::Shelf;
use protocol::srl::SignedSrl;
use protocol::vfs::REQUEST_BYTES_MAX;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::dosm::cache::Piece;
use crate::dosm::{Authenticator, Body, Directory, ObjectManager, Outgoing, Refusal, complete, cors};
use crate::exposition::Exposition;
use crate::health::Health;
use crate::host;
use crate::http::{Handler, Head, Payload};
use crate::objects::Objects;
use crate::traffic::{Counted, MARK_ALONE, Traffic};
use crate::vfs::{Cluster, DirectoryManager, DocumentError};

/// Memory for request documents of all connections, in KiB. Beyond it, they wait for each other.
const DOCUMENTS_KIB: usize = 32 << 10;
/// Longest time for a request document to come.
const DOCUMENT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// All that is served at one address.
pub struct Router<D, O: Objects, C> {
    directories: Option<Arc<DirectoryManager<C>>>,
    objects: Option<ObjectManager<D, O>>,
    authenticator: Arc<Authenticator<D>>,
    /// With the last page that was made.
    metrics: Option<(Exposition, Shelf<Bytes>)>,
    health: Health,
    traffic: Option<Traffic>,
    documents: Semaphore,
    stop: CancellationToken,
}

impl<D: Directory, O: Objects, C: Cluster> Router<D, O, C> {
    /// In front of the parts that this process plays; requests to the VFS that still wait at `stop` are sent away.
    pub fn new(
        directories: Option<Arc<DirectoryManager<C>>>,
        objects: Option<ObjectManager<D, O>>,
        authenticator: Arc<Authenticator<D>>,
        metrics: Option<Exposition>,
        health: Health,
        traffic: Option<Traffic>,
        stop: CancellationToken,
    ) -> Self {
        let documents = Semaphore::new(DOCUMENTS_KIB);
        let metrics = metrics.map(|metrics| (metrics, Shelf::new(PAGE_LASTS)));
        Self { directories, objects, authenticator, metrics, health, traffic, documents, stop }
    }

    async fn route(&self, request: Request<Incoming>, peer: IpAddr) -> Result<Response<Body>, Refusal> {
        let path = request.uri().path();
        if path == "/health" {
            return Ok(self.health.answer(self.traffic.as_ref().map(Traffic::percent)));
        }
        if let ("/metrics", Some((metrics, shelf))) = (path, &self.metrics) {
            // Whoever can fetch an object can ask for it, and it takes a turn of every disk.
            let Ok(page) = shelf.get(async { Ok::<_, Infallible>(metrics().await.into()) }).await;
            return Ok(complete(StatusCode::OK, metrics::CONTENT_TYPE, page));
        }
        let Some(srl) = path.strip_prefix("/vfs/v1") else {
            let objects = self.objects.as_ref().ok_or(Refusal::OtherPart("object manager"))?;
            if *request.method() == Method::OPTIONS {
                return Ok(cors::preflight());
            }
            let elsewhere = (self.traffic.as_ref())
                .and_then(|traffic| traffic.elsewhere(peer, request.headers(), request.uri()));
            let under_way = self.traffic.as_ref().map(Traffic::begin);
            let done = objects.handle(request, elsewhere, host::now_seconds()).await;
            let mut response = done.unwrap_or_else(Refusal::into_response);
            cors::permit(response.headers_mut());
            return Ok(match under_way {
                Some(under_way) => Counted::response(response, under_way),
                None => response,
            });
        };
        let directories = self.directories.as_ref().ok_or(Refusal::OtherPart("directory manager"))?;
        if *request.method() != Method::POST {
            return Err(Refusal::Method("POST"));
        }
        let (srl, _) = SignedSrl::parse(srl)?;
        self.converse(directories, &srl, request).await
    }

    /// A request document to the VFS. Nothing of it is read before its SRL is found authentic.
    async fn converse(
        &self,
        directories: &DirectoryManager<C>,
        srl: &SignedSrl,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        self.authenticator.authenticate(srl, host::now_seconds()).await?;
        let mut memory = self.memory_for(&request).await?;
        let collected = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect();
        let collected = tokio::time::timeout(DOCUMENT_TIMEOUT, collected).await.map_err(|_| Refusal::Body)?;
        let document = collected.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Refusal::TooLarge(REQUEST_BYTES_MAX),
            None => Refusal::Body,
        })?;
        let document = document.to_bytes();
        // A document of unknown length came with the most it might have been. It may wait for changes for long.
        drop(memory.split(memory.num_permits().saturating_sub(document.len().div_ceil(1024))));
        let replies = tokio::select! {
            biased;
            replies = directories.handle(srl, &document, host::now()) => replies?,
            () = self.stop.cancelled() => return Err(Refusal::Unavailable("stopping".to_string())),
        };
        Ok(complete(StatusCode::OK, "application/xml", replies))
    }

    async fn memory_for(&self, request: &Request<Incoming>) -> Result<SemaphorePermit<'_>, Refusal> {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()).and_then(|length| length.parse().ok());
        let bytes = length.unwrap_or(REQUEST_BYTES_MAX).min(REQUEST_BYTES_MAX);
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(1024);
        self.documents.acquire_many(kib).await.map_err(|_| Refusal::Unavailable("stopping".to_string()))
    }
}

impl<D: Directory, O: Objects, C: Cluster> Handler for Router<D, O, C> {
    type Payload = Counted<Outgoing<O>>;

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
        self.route(request, peer).await.unwrap_or_else(Refusal::into_response)
    }

    fn at_hand(&self, head: &Head<'_>, peer: IpAddr, output: &mut Vec<u8>) -> Option<Counted<Outgoing<O>>> {
        let method = head.plain_method.as_ref()?;
        let (path, under_way) = match &self.traffic {
            None => (head.target, None),
            Some(traffic) => (for_here(traffic, head, peer)?, Some(traffic.begin())),
        };
        if !is_plain_path(path) {
            return None;
        }
        let objects = self.objects.as_ref()?;
        let (answer, body) = objects.at_hand(method, path, head, host::now_seconds())?;
        answer.write(head.version(), output);
        Some(Counted { body, under_way })
    }
}

/// The path of a request that is to be served here. Where to send any other is said on the long way.
fn for_here<'target>(traffic: &Traffic, head: &Head<'target>, peer: IpAddr) -> Option<&'target str> {
    match head.target.strip_suffix(MARK_ALONE) {
        Some(path) => Some(path),
        None => traffic.is_for_here(peer, head).then_some(head.target),
    }
}

/// A path that says what it says: no query, and nothing a URL may not contain (RFC 3986 §3.3).
fn is_plain_path(target: &str) -> bool {
    target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&byte))
}

impl<O: Objects> Payload for Counted<Outgoing<O>> {
    fn left(&self) -> u64 {
        self.body.left()
    }

    fn append_rest(&mut self, output: &mut Vec<u8>) -> bool {
        self.body.append_rest(output)
    }

    fn next_in_file(&mut self) -> Option<Piece> {
        self.body.next_in_file()
    }

    fn advance(&mut self, bytes: u64) {
        self.body.advance(bytes);
    }

    async fn next_in_memory(&mut self) -> Option<Bytes> {
        self.body.next_in_memory().await.ok()
    }
}

impl From<DocumentError> for Refusal {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Malformed(reason) => Self::Malformed(reason),
            DocumentError::Refused(error) => Self::Srl(error),
            DocumentError::Unavailable(error) => Self::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
