//! From an SRL's operation to what is done (Table 4).

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming as RequestBody;
use protocol::digest::Fingerprint;
use protocol::id::{ClientFile, CustomerId, ObjectId};
use protocol::pair::Asker;
use protocol::srl::{AccessMethod, ObjectName, SignedSrl, SrlError, SrlOperation, SrlRequest};

use super::answer::{Answer, Keeping};
use super::authenticator::Authenticator;
use super::body::{Body, empty};
use super::cache::Cache;
use super::callback::Callbacks;
use super::conditions::Fields;
use super::directory::Directory;
use super::fetch::{FetchRequest, Fetcher, Outgoing};
use super::refusal::Refusal;
use super::store::{CONTENT_BLAKE3, Destination, Place, Storer, stamp};
use super::usage::{Usage, UsageLog};
use crate::host;
use crate::objects::Objects;

/// One object manager.
#[derive(Debug)]
pub struct ObjectManager<D, O: Objects> {
    authenticator: Arc<Authenticator<D>>,
    directory: Arc<D>,
    cache: Cache<O>,
    callbacks: Callbacks<D>,
    fetcher: Fetcher<O>,
    storer: Storer<D, O>,
    usage: Option<UsageLog>,
}

impl<D: Directory, O: Objects> ObjectManager<D, O> {
    /// In front of these objects, which are fetched through the cache, and this directory.
    pub fn new(
        objects: O,
        cache: Cache<O>,
        directory: Arc<D>,
        authenticator: Arc<Authenticator<D>>,
        callbacks: Callbacks<D>,
        usage: Option<UsageLog>,
    ) -> Self {
        let fetcher = Fetcher::new(cache.clone());
        let storer = Storer::new(objects, Arc::clone(&directory), Arc::clone(&authenticator));
        Self { authenticator, directory, cache, callbacks, fetcher, storer, usage }
    }

    /// The answer to a GET or HEAD of this path, if it is an authentic FETCH and nobody need be asked: the same as
    /// [`Self::handle`] gives. `None` says nothing about the request.
    pub fn at_hand(
        &self,
        method: &Method,
        path: &str,
        fields: &impl Fields,
        now: u64,
    ) -> Option<(Answer, Outgoing<O>)> {
        let (permit, uri) = self.authenticator.at_hand(path, now)?;
        let (customer, keeping) = (permit.customer, Keeping::Until(permit.expires));
        let fetch = FetchRequest { method, fields, uri, customer, keeping, now };
        let (answer, outgoing) = self.fetcher.at_hand(fetch, permit.object)?;
        let (status, bytes) = (answer.status(), outgoing.left());
        self.record(customer, "fetch", Some(permit.object), status, bytes);
        Some((answer, outgoing))
    }

    /// Answers a request for `/<encoded-request>/<certificate>/<customer-uri>`. Of the body nothing is read before
    /// the SRL is found authentic (DOSM-14). An end user's download or upload is sent to `elsewhere`, if that is given,
    /// and served there (SYS-13). `now` in seconds since the epoch.
    pub async fn handle(
        &self,
        request: Request<RequestBody>,
        elsewhere: Option<HeaderValue>,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        let (parts, body) = request.into_parts();
        let (signed, uri) = SignedSrl::parse(parts.uri.path())?;
        let srl = self.authenticator.authenticate(&signed, now).await?;
        if let Some(elsewhere) = elsewhere.filter(|_| may_go_elsewhere(&srl, &parts.method)) {
            return Ok(moved(elsewhere));
        }
        let done = self.perform(&srl, uri, &parts, body, now).await;
        let status = done.as_ref().map_or_else(Refusal::status, Response::status);
        let (operation, object) = describe(&srl.operation);
        let moved = match (&srl.operation, &done) {
            (_, Err(_)) => 0,
            (SrlOperation::Store { .. } | SrlOperation::StoreClientFile { .. }, Ok(_)) => {
                content_length(&parts.headers)
            }
            _ if parts.method == Method::HEAD => 0,
            (_, Ok(response)) => content_length(response.headers()),
        };
        self.record(srl.customer, operation, object, status, moved);
        done
    }

    /// Writes the request down (SYS-7).
    fn record(
        &self,
        customer: CustomerId,
        operation: &'static str,
        object: Option<Fingerprint>,
        status: StatusCode,
        bytes: u64,
    ) {
        if let Some(usage) = &self.usage {
            let (at_ms, status) = (host::now_ms(), status.as_u16());
            usage.record(Usage { at_ms, customer, operation, object, status, bytes });
        }
    }

    /// The data cache.
    pub fn cache(&self) -> Cache<O> {
        self.cache.clone()
    }

    async fn perform(
        &self,
        srl: &SrlRequest,
        uri: &str,
        parts: &Parts,
        body: RequestBody,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        let (method, headers) = (&parts.method, &parts.headers);
        let (customer, keeping) = (srl.customer, Keeping::Until(srl.expires));
        let fetch = FetchRequest { method, fields: headers, uri, customer, keeping, now };
        match &srl.operation {
            SrlOperation::NoOp => allow(method, &[Method::GET, Method::HEAD], "GET, HEAD")
                .map(|()| empty(StatusCode::NO_CONTENT)),
            SrlOperation::Fetch { object } => {
                allow(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                self.fetch(&fetch, object).await
            }
            SrlOperation::FetchDigests { fingerprint } => {
                allow(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                self.fetcher.digests(customer, *fingerprint, now).await
            }
            SrlOperation::Store { parent } => {
                may_store(srl, *parent)?;
                let place = if *parent == ObjectId(0) { Place::Nowhere } else { Place::Folder(*parent) };
                self.store(srl, place, uri, parts, body, now).await
            }
            SrlOperation::StoreClientFile { file, replace } => {
                let place = Place::ClientFile { file: *file, replace: *replace };
                self.store(srl, place, uri, parts, body, now).await
            }
            SrlOperation::Delete { object: ObjectName::ClientFile(file) } => {
                allow(method, &[Method::DELETE], "DELETE")?;
                self.storer.delete_client_file(asker(srl, headers)?, *file, headers, now).await
            }
            SrlOperation::Delete { object: ObjectName::Content(fingerprint) } => {
                allow(method, &[Method::DELETE], "DELETE")?;
                let deleted = self.storer.delete(asker(srl, headers)?, *fingerprint, headers, now).await;
                // Also after an error: the reference may be gone.
                self.cache.forget(*fingerprint);
                deleted
            }
            SrlOperation::FetchAuth { object, callback } => {
                allow(method, &[Method::GET, Method::HEAD], "GET, HEAD")?;
                if !self.callbacks.permit(customer, callback).await {
                    return Err(Refusal::NotPermitted);
                }
                self.fetch(&FetchRequest { keeping: Keeping::Never, ..fetch }, object).await
            }
            // The VFS's, at its own address.
            SrlOperation::Control { .. } => Err(SrlError::NotAllowed.into()),
        }
    }

    async fn store(
        &self,
        srl: &SrlRequest,
        place: Place,
        uri: &str,
        parts: &Parts,
        body: RequestBody,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        let is_end_user = srl.access == AccessMethod::EndUser;
        let asker = asker(srl, &parts.headers)?;
        let to = Destination { asker, place, uri, is_end_user };
        match parts.method {
            Method::PUT => self.storer.put(to, &parts.headers, body, now).await,
            Method::POST => self.storer.post(to, &parts.headers, body, now).await,
            _ => Err(Refusal::Method("PUT, POST")),
        }
    }

    async fn fetch<F: Fields>(
        &self,
        request: &FetchRequest<'_, F>,
        object: &ObjectName,
    ) -> Result<Response<Body>, Refusal> {
        match object {
            ObjectName::Content(fingerprint) => self.fetcher.fetch(request, *fingerprint).await,
            ObjectName::ClientFile(file) => self.fetch_client_file(request, *file).await,
        }
    }

    /// The bytes of a file that the customer calls by an id of its own (PRIV-3). It is looked up for each request,
    /// and a cache has to ask each time, because others may have been stored as that file since. With the
    /// fingerprint, which is the ETag, goes the digest, so that a client knows what it is about to fetch.
    async fn fetch_client_file<F: Fields>(
        &self,
        request: &FetchRequest<'_, F>,
        file: ClientFile,
    ) -> Result<Response<Body>, Refusal> {
        let keeping = match request.keeping {
            Keeping::Never => Keeping::Never,
            Keeping::Until(_) | Keeping::Checked => Keeping::Checked,
        };
        let request = &FetchRequest { keeping, ..*request };
        let mut content = self.directory.find_client_file(request.customer, file).await?;
        let mut fetched = self.fetcher.fetch(request, content.fingerprint).await;
        if let Err(Refusal::NotFound) = fetched {
            // Others were stored in their place just now, and these are given up.
            content = self.directory.find_client_file(request.customer, file).await?;
            fetched = self.fetcher.fetch(request, content.fingerprint).await;
        }
        let mut response = fetched?;
        if let Ok(digest) = HeaderValue::try_from(content.digest.to_string()) {
            response.headers_mut().insert(CONTENT_BLAKE3, digest);
        }
        Ok(response)
    }
}

/// Browsers and others who follow a redirection; a storage port knows its centers itself.
fn may_go_elsewhere(srl: &SrlRequest, method: &Method) -> bool {
    use SrlOperation::{Fetch, FetchAuth, Store};
    let moves_object = match srl.operation {
        Fetch { .. } | FetchAuth { .. } => [Method::GET, Method::HEAD].contains(method),
        Store { .. } => [Method::PUT, Method::POST].contains(method),
        _ => false,
    };
    moves_object && srl.access == AccessMethod::EndUser
}

/// To be asked again there, by the same method; this time, for the next may be another's.
fn moved(elsewhere: HeaderValue) -> Response<Body> {
    let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, elsewhere);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An operation and its object, for the usage log.
fn describe(operation: &SrlOperation) -> (&'static str, Option<Fingerprint>) {
    match operation {
        SrlOperation::NoOp => ("no-op", None),
        SrlOperation::Fetch { object: ObjectName::Content(fingerprint) } => ("fetch", Some(*fingerprint)),
        SrlOperation::Fetch { object: ObjectName::ClientFile(_) } => ("fetch", None),
        SrlOperation::FetchDigests { fingerprint } => ("fetch-digests", Some(*fingerprint)),
        SrlOperation::FetchAuth { object: ObjectName::Content(fingerprint), .. } => {
            ("fetch-auth", Some(*fingerprint))
        }
        SrlOperation::FetchAuth { object: ObjectName::ClientFile(_), .. } => ("fetch-auth", None),
        SrlOperation::Store { .. } | SrlOperation::StoreClientFile { .. } => ("store", None),
        SrlOperation::Delete { object: ObjectName::Content(fingerprint) } => ("delete", Some(*fingerprint)),
        SrlOperation::Delete { object: ObjectName::ClientFile(_) } => ("delete", None),
        SrlOperation::Control { .. } => ("control", None),
    }
}

/// 0 where it is not told.
fn content_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// Who asks for a change. Only a customer's own programs can be ports of a pair.
fn asker(srl: &SrlRequest, headers: &HeaderMap) -> Result<Asker, Refusal> {
    let stamp = match srl.access {
        AccessMethod::StoragePort => stamp(headers)?,
        AccessMethod::EndUser => None,
    };
    Ok(Asker { customer: srl.customer, stamp })
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

#[cfg(test)]
mod tests {
    use super::super::usage::OPERATIONS;
    use super::*;

    /// SYS-7: what is written into the usage log can be billed from.
    #[test]
    fn every_operation_is_known_to_the_usage_log() {
        let fingerprint = Fingerprint([1; 16]);
        let operations = [
            SrlOperation::NoOp,
            SrlOperation::Fetch { object: ObjectName::Content(fingerprint) },
            SrlOperation::FetchDigests { fingerprint },
            SrlOperation::FetchAuth { object: ObjectName::Content(fingerprint), callback: String::new() },
            SrlOperation::Store { parent: ObjectId(1) },
            SrlOperation::StoreClientFile { file: ClientFile([1; 16]), replace: false },
            SrlOperation::Delete { object: ObjectName::Content(fingerprint) },
        ];
        for operation in operations {
            assert!(OPERATIONS.contains(&describe(&operation).0), "{operation:?}");
        }
    }
}
