//! STORE and DELETE: objects in, references out (DOSM-14, VFS-17).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming as RequestBody;
use percent_encoding::percent_decode_str;
use protocol::digest::{Digest, Fingerprint};
use protocol::dosp::Reference;
use protocol::id::{CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::vfs::Upload;
use protocol::vfs::xml::{Stored, encode_stored};

use super::body::{Body, complete, empty, gather};
use super::directory::{Directory, NewFile};
use super::multipart::{Form, receive_form};
use super::refusal::Refusal;
use crate::host;
use crate::objects::{Announced, Objects, Upload as _};

const UPLOAD_TOKEN: &str = "x-upload-token";
const CONTENT_BLAKE3: &str = "x-content-blake3";
const CONTENT_MD5: &str = "content-md5";

/// Stores objects and gives up references.
#[derive(Debug)]
pub struct Storer<D, O> {
    objects: O,
    directory: Arc<D>,
}

/// Where a stored object goes.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'request> {
    /// Whose.
    pub customer: CustomerId,
    /// In which folder; 0 for an object without a row.
    pub parent: ObjectId,
    /// The customer's part of the SRL: its last segment names the file.
    pub uri: &'request str,
    /// Whether an end user sends it: he is sent on to the customer's upload page.
    pub is_end_user: bool,
}

impl Destination<'_> {
    fn is_file(&self) -> bool {
        self.parent != ObjectId(0)
    }
}

impl<D: Directory, O: Objects> Storer<D, O> {
    /// Objects there, with rows made by this directory.
    pub fn new(objects: O, directory: Arc<D>) -> Self {
        Self { objects, directory }
    }

    /// PUT: the body is the object.
    pub async fn put(
        &self,
        to: Destination<'_>,
        headers: &HeaderMap,
        mut body: RequestBody,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        let token = match upload_token(headers)? {
            Some(token) => token,
            None if to.is_file() => host::random_token(),
            None => return Err(Refusal::Malformed("the header X-Upload-Token is missing".to_string())),
        };
        let name = if to.is_file() { Some(name_of(to.uri)?) } else { None };
        let announced = announced(headers)?;
        let incoming = self.receive(&mut body, announced.size.unwrap_or(0), now).await?;
        let content = incoming.finish(announced, to.customer, token, now).await?;
        self.answer(to, name, Upload { content, token }).await
    }

    /// POST: a form with the object as its field `file` (SRL-8).
    pub async fn post(
        &self,
        to: Destination<'_>,
        headers: &HeaderMap,
        body: RequestBody,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        let Form { incoming, token, name } = receive_form(&self.objects, headers, body, now).await?;
        let token = match token {
            Some(token) => token,
            None if to.is_file() => host::random_token(),
            None => return Err(Refusal::Malformed("the field `token` is missing".to_string())),
        };
        let name = match name {
            Some(name) if to.is_file() => Some(name),
            None if to.is_file() => Some(name_of(to.uri)?),
            _ => None,
        };
        let content = incoming.finish(Announced::default(), to.customer, token, now).await?;
        self.answer(to, name, Upload { content, token }).await
    }

    /// DELETE: gives up one reference, whether or not it is there (REF-3), unless a file holds it. The VFS sees to it that
    /// every node hears of it, also of those that are away now.
    pub async fn delete(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        let token = upload_token(headers)?
            .ok_or_else(|| Refusal::Malformed("the header X-Upload-Token is missing".to_string()))?;
        self.directory.give_up(Reference { fingerprint, customer, token }).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// Takes the next bytes from the connection while the last ones are hashed and written.
    async fn receive(&self, body: &mut RequestBody, length: u64, now: u64) -> Result<O::Upload, Refusal> {
        let mut incoming = self.objects.receive(length, now).await?;
        let mut bytes: Bytes = gather(body).await?;
        while !bytes.is_empty() {
            let (written, next) = tokio::join!(incoming.write(bytes), gather(body));
            (incoming, bytes) = (written?, next?);
        }
        Ok(incoming)
    }

    async fn answer(
        &self,
        to: Destination<'_>,
        name: Option<Name>,
        upload: Upload,
    ) -> Result<Response<Body>, Refusal> {
        let file = match name {
            None => None,
            Some(name) => Some(self.make_row(to, name, upload).await?),
        };
        let stored = Stored { content: upload.content, token: upload.token, file };
        let document = encode_stored(&stored);
        let Some(file) = file else { return Ok(complete(StatusCode::OK, "application/xml", document)) };
        let Some(page) = self.page_after(to, file).await else {
            return Ok(complete(StatusCode::CREATED, "application/xml", document));
        };
        let mut response = complete(StatusCode::SEE_OTHER, "application/xml", document);
        response.headers_mut().insert(header::LOCATION, page);
        Ok(response)
    }

    /// Where the sender goes next: the page that the customer registered, told which file was made (DOSM-18). The file is
    /// there whether or not the VFS can say, so he gets the usual answer if it cannot.
    async fn page_after(&self, to: Destination<'_>, file: ObjectId) -> Option<HeaderValue> {
        if !to.is_end_user {
            return None;
        }
        let asked = self.directory.upload_page(to.customer).await;
        let page = asked.inspect_err(|reason| {
            tracing::warn!(customer = %to.customer, reason, "an end user is not sent to the upload page");
        });
        let page = page.ok()??;
        let joint = if page.contains('?') { '&' } else { '?' };
        HeaderValue::try_from(format!("{page}{joint}file={}", file.0)).ok()
    }

    /// A refused row leaves no reference, unless an earlier request with the same token made a row that holds it; one
    /// whose fate is not known leaves it to the collection of orphans.
    async fn make_row(&self, to: Destination<'_>, name: Name, upload: Upload) -> Result<ObjectId, Refusal> {
        let file = NewFile { parent: to.parent, name, upload };
        match self.directory.create_file(to.customer, file).await {
            Ok(id) => Ok(id),
            Err(error) => {
                if error.code != protocol::vfs::VfsErrorCode::Unavailable {
                    self.directory.give_up(Reference::of(to.customer, upload)).await?;
                }
                Err(error.into())
            }
        }
    }
}

fn upload_token(headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
    parsed(headers, UPLOAD_TOKEN, "32 hex digits", Token::parse)
}

fn announced(headers: &HeaderMap) -> Result<Announced, Refusal> {
    let md5 = |text: &str| Some(Fingerprint(STANDARD.decode(text).ok()?.try_into().ok()?));
    Ok(Announced {
        size: parsed(headers, header::CONTENT_LENGTH.as_str(), "a number", |text| text.parse().ok())?,
        fingerprint: parsed(headers, CONTENT_MD5, "the base64 of an MD5", md5)?,
        digest: parsed(headers, CONTENT_BLAKE3, "64 hex digits", Digest::parse)?,
    })
}

fn parsed<T>(
    headers: &HeaderMap,
    name: &'static str,
    form: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str().ok().and_then(parse) {
        Some(value) => Ok(Some(value)),
        None => Err(Refusal::Malformed(format!("the header {name} is not {form}"))),
    }
}

fn name_of(uri: &str) -> Result<Name, Refusal> {
    let last = uri.rsplit('/').next().unwrap_or(uri);
    let bytes: Vec<u8> = percent_decode_str(last).collect();
    Name::new(&bytes).map_err(|error| Refusal::Malformed(format!("the SRL names no file: {error}")))
}
