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
use protocol::id::{ClientFile, ObjectId, Token};
use protocol::name::Name;
use protocol::pair::{Asker, Stamp};
use protocol::vfs::Upload;
use protocol::vfs::xml::{Stored, encode_stored};

use super::authenticator::Authenticator;
use super::body::{Body, complete, empty, gather};
use super::directory::{Directory, NewClientFile, NewFile};
use super::multipart::{Form, receive_form};
use super::refusal::Refusal;
use crate::host;
use crate::objects::{Announced, Objects, Upload as _};

const UPLOAD_TOKEN: &str = "x-upload-token";
/// In which generation a port of a pair asks.
const PORT_STAMP: &str = "x-port-stamp";
/// The BLAKE3 of the bytes, as 64 hex digits.
pub const CONTENT_BLAKE3: &str = "x-content-blake3";
const CONTENT_MD5: &str = "content-md5";

/// Stores objects and gives up references.
#[derive(Debug)]
pub struct Storer<D, O> {
    objects: O,
    directory: Arc<D>,
    authenticator: Arc<Authenticator<D>>,
}

/// Where a stored object goes.
#[derive(Clone, Debug)]
pub struct Destination<'request> {
    /// Who sends it.
    pub asker: Asker,
    /// What becomes of it.
    pub place: Place,
    /// The customer's part of the SRL: its last segment names the file of a folder.
    pub uri: &'request str,
    /// Whether an end user sends it: he is sent on to the customer's upload page.
    pub is_end_user: bool,
}

/// What becomes of a stored object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing: no row holds it, its token alone.
    Nowhere,
    /// A file of this folder.
    Folder(ObjectId),
    /// The file that the customer calls by an id of its own, in the place of another if need be.
    ClientFile {
        /// Which.
        file: ClientFile,
        /// Whether one that is there is replaced.
        replace: bool,
    },
}

/// A row to be made.
enum NewRow {
    File { parent: ObjectId, name: Name },
    ClientFile { file: ClientFile, replace: bool },
}

/// A row that was made.
#[derive(Clone, Copy)]
enum Made {
    File(ObjectId),
    ClientFile(ClientFile),
}

impl Destination<'_> {
    /// The row to be made, if any. `own_name` is the file's name where the request has one of its own.
    fn row(&self, own_name: Option<Name>) -> Result<Option<NewRow>, Refusal> {
        Ok(match self.place {
            Place::Nowhere => None,
            Place::Folder(parent) => {
                let name = own_name.map_or_else(|| name_of(self.uri), Ok)?;
                Some(NewRow::File { parent, name })
            }
            Place::ClientFile { file, replace } => Some(NewRow::ClientFile { file, replace }),
        })
    }

    /// The token as it was sent. An object without a row has nothing else to be known by.
    fn token(&self, sent: Option<Token>, sent_as: &str) -> Result<Token, Refusal> {
        match sent {
            Some(token) => Ok(token),
            None if self.place != Place::Nowhere => Ok(host::random_token()),
            None => Err(Refusal::Malformed(format!("the {sent_as} is missing"))),
        }
    }
}

impl<D: Directory, O: Objects> Storer<D, O> {
    /// Objects there, with rows made by this directory, for those whom the authenticator admits.
    pub fn new(objects: O, directory: Arc<D>, authenticator: Arc<Authenticator<D>>) -> Self {
        Self { objects, directory, authenticator }
    }

    /// PUT: the body is the object.
    pub async fn put(
        &self,
        to: Destination<'_>,
        headers: &HeaderMap,
        mut body: RequestBody,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        let token = to.token(upload_token(headers)?, "header X-Upload-Token")?;
        let row = to.row(None)?;
        let announced = announced(headers)?;
        self.authenticator.admit(&to.asker, now).await?;
        let incoming = self.receive(&mut body, announced.size.unwrap_or(0), now).await?;
        // The bytes may have come for long. What is dropped here leaves nothing.
        self.authenticator.admit(&to.asker, host::now_seconds()).await?;
        let content = incoming.finish(announced, to.asker.customer, token, now).await?;
        self.answer(to, row, Upload { content, token }).await
    }

    /// POST: a form with the object as its field `file` (SRL-8).
    pub async fn post(
        &self,
        to: Destination<'_>,
        headers: &HeaderMap,
        body: RequestBody,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        self.authenticator.admit(&to.asker, now).await?;
        let Form { incoming, token, name } = receive_form(&self.objects, headers, body, now).await?;
        let token = to.token(token, "field `token`")?;
        let row = to.row(name)?;
        self.authenticator.admit(&to.asker, host::now_seconds()).await?;
        let content = incoming.finish(Announced::default(), to.asker.customer, token, now).await?;
        self.answer(to, row, Upload { content, token }).await
    }

    /// DELETE: gives up one reference, whether or not it is there (REF-3), unless a file holds it. The VFS sees to it that
    /// every node hears of it, also of those that are away now.
    pub async fn delete(
        &self,
        asker: Asker,
        fingerprint: Fingerprint,
        headers: &HeaderMap,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        self.authenticator.admit(&asker, now).await?;
        let Asker { customer, stamp } = asker;
        let token = upload_token(headers)?
            .ok_or_else(|| Refusal::Malformed("the header X-Upload-Token is missing".to_string()))?;
        self.directory.give_up(Reference { fingerprint, customer, token }, stamp).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// DELETE of a file that the customer calls by an id of its own. With a token of its own it may be repeated.
    pub async fn delete_client_file(
        &self,
        asker: Asker,
        file: ClientFile,
        headers: &HeaderMap,
        now: u64,
    ) -> Result<Response<Body>, Refusal> {
        self.authenticator.admit(&asker, now).await?;
        let key = upload_token(headers)?.unwrap_or_else(host::random_token);
        self.directory.delete_client_file(asker, file, key).await?;
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
        row: Option<NewRow>,
        upload: Upload,
    ) -> Result<Response<Body>, Refusal> {
        let made = match row {
            None => None,
            Some(row) => Some(self.make_row(to.asker.clone(), row, upload).await?),
        };
        let file = match made {
            Some(Made::File(id)) => Some(id),
            Some(Made::ClientFile(_)) | None => None,
        };
        let stored = Stored { content: upload.content, token: upload.token, file };
        let document = encode_stored(&stored);
        let Some(made) = made else { return Ok(complete(StatusCode::OK, "application/xml", document)) };
        let Some(page) = self.page_after(&to, made).await else {
            return Ok(complete(StatusCode::CREATED, "application/xml", document));
        };
        let mut response = complete(StatusCode::SEE_OTHER, "application/xml", document);
        response.headers_mut().insert(header::LOCATION, page);
        Ok(response)
    }

    /// Where the sender goes next: the page that the customer registered, told which file was made (DOSM-18). The file is
    /// there whether or not the VFS can say, so he gets the usual answer if it cannot.
    async fn page_after(&self, to: &Destination<'_>, made: Made) -> Option<HeaderValue> {
        if !to.is_end_user {
            return None;
        }
        let asked = self.directory.upload_page(to.asker.customer).await;
        let page = asked.inspect_err(|reason| {
            tracing::warn!(customer = %to.asker.customer, reason, "an end user is not sent to the upload page");
        });
        let page = page.ok()??;
        let joint = if page.contains('?') { '&' } else { '?' };
        let file = match made {
            Made::File(id) => id.to_string(),
            Made::ClientFile(file) => format!("{file}.UFID"),
        };
        HeaderValue::try_from(format!("{page}{joint}file={file}")).ok()
    }

    /// A refused row leaves no reference, unless an earlier request with the same token made a row that holds it; one
    /// whose fate is not known leaves it to the collection of orphans.
    async fn make_row(&self, asker: Asker, row: NewRow, upload: Upload) -> Result<Made, Refusal> {
        let Asker { customer, stamp } = asker.clone();
        let made = match row {
            NewRow::File { parent, name } => {
                let file = NewFile { parent, name, upload };
                self.directory.create_file(asker, file).await.map(Made::File)
            }
            NewRow::ClientFile { file, replace } => {
                let new = NewClientFile { file, upload, replace };
                self.directory.store_client_file(asker, new).await.map(|()| Made::ClientFile(file))
            }
        };
        match made {
            Ok(made) => Ok(made),
            Err(error) => {
                if error.code != protocol::vfs::VfsErrorCode::Unavailable {
                    self.directory.give_up(Reference::of(customer, upload), stamp).await?;
                }
                Err(error.into())
            }
        }
    }
}

/// The stamp of a port of a pair.
///
/// # Errors
/// There is one that cannot be read.
pub fn stamp(headers: &HeaderMap) -> Result<Option<Stamp>, Refusal> {
    parsed(headers, PORT_STAMP, "a pair's name, a slash and a number", Stamp::parse)
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
