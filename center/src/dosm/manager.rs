//! From an SRL's operation to what is done (Table 4).

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming as RequestBody;
use protocol::id::ObjectId;
use protocol::srl::{AccessMethod, ObjectName, SignedSrl, SrlError, SrlOperation, SrlRequest};

use super::answer::Answer;
use super::authenticator::Authenticator;
use super::body::{Body, empty};
use super::cache::Cache;
use super::conditions::Fields;
use super::directory::Directory;
use super::fetch::{FetchRequest, Fetcher, Outgoing};
use super::refusal::Refusal;
use super::store::{Destination, Storer};
use crate::isn::Isn;

/// One object manager.
#[derive(Debug)]
pub struct ObjectManager<D> {
    authenticator: Arc<Authenticator<D>>,
    cache: Cache<Isn>,
    fetcher: Fetcher<Isn>,
    storer: Storer<D>,
}

impl<D: Directory> ObjectManager<D> {
    /// In front of this node, of which objects are fetched through the cache, and this directory.
    pub fn new(isn: Isn, cache: Cache<Isn>, directory: Arc<D>, authenticator: Arc<Authenticator<D>>) -> Self {
        let fetcher = Fetcher::new(cache.clone());
        Self { authenticator, cache, fetcher, storer: Storer::new(isn, directory) }
    }

    /// The answer to a GET or HEAD of this path, if it is an authentic FETCH and nobody need be asked: the same as
    /// [`Self::handle`] gives. `None` says nothing about the request.
    pub fn at_hand(
        &self,
        method: &Method,
        path: &str,
        fields: &impl Fields,
        now: u64,
    ) -> Option<(Answer, Outgoing<Isn>)> {
        let (permit, uri) = self.authenticator.at_hand(path, now)?;
        let (customer, expires) = (permit.customer, permit.expires);
        let fetch = FetchRequest { method, fields, uri, customer, expires, now };
        self.fetcher.at_hand(fetch, permit.object)
    }

    /// Answers a request for `/<encoded-request>/<certificate>/<customer-uri>`. Of the body nothing is read before
    /// the SRL is found authentic (DOSM-14). `now` in seconds since the epoch.
    pub async fn handle(&self, request: Request<RequestBody>, now: u64) -> Result<Response<Body>, Refusal> {
        let (parts, body) = request.into_parts();
        let (signed, uri) = SignedSrl::parse(parts.uri.path())?;
        let srl = self.authenticator.authenticate(&signed, now).await?;
        let (method, headers) = (&parts.method, &parts.headers);
        let (customer, expires) = (srl.customer, srl.expires);
        let fetch = FetchRequest { method, fields: headers, uri, customer, expires, now };
        match &srl.operation {
            SrlOperation::NoOp => allow(method, &[Method::GET, Method::HEAD], "GET, HEAD")
                .map(|()| empty(StatusCode::NO_CONTENT)),
            SrlOperation::Fetch { object } => {
                allow(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                match object {
                    ObjectName::Content(fingerprint) => self.fetcher.fetch(fetch, *fingerprint).await,
                    ObjectName::ClientFile(_) => Err(Refusal::NotFound),
                }
            }
            SrlOperation::FetchDigests { fingerprint } => {
                allow(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                self.fetcher.digests(customer, *fingerprint, now).await
            }
            SrlOperation::Store { parent } => {
                may_store(&srl, *parent)?;
                let to = Destination { customer, parent: *parent, uri };
                match *method {
                    Method::PUT => self.storer.put(to, headers, body, now).await,
                    Method::POST => self.storer.post(to, headers, body, now).await,
                    _ => Err(Refusal::Method("PUT, POST")),
                }
            }
            SrlOperation::Delete { fingerprint } => {
                allow(method, &[Method::DELETE], "DELETE")?;
                let deleted = self.storer.delete(customer, *fingerprint, headers, now).await;
                // Also after an error: the reference may be gone.
                self.cache.forget(*fingerprint);
                deleted
            }
            // No callback is registered for anybody, so nobody can be asked: closed (SRL-10). CONTROL is the
            // VFS's, at its own address.
            SrlOperation::FetchAuth { .. } | SrlOperation::Control { .. } => Err(SrlError::NotAllowed.into()),
        }
    }
}

/// Objects without a row are for storage ports, who make the row themselves.
fn may_store(srl: &SrlRequest, parent: ObjectId) -> Result<(), Refusal> {
    match srl.access {
        AccessMethod::EndUser if parent == ObjectId(0) => Err(SrlError::NotAllowed.into()),
        AccessMethod::EndUser | AccessMethod::StoragePort => Ok(()),
    }
}

fn allow(method: &Method, allowed: &[Method], listed: &'static str) -> Result<(), Refusal> {
    if allowed.contains(method) { Ok(()) } else { Err(Refusal::Method(listed)) }
}
