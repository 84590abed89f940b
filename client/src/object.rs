//! Objects: fetched, stored and given up through a DOSM.

use std::ops::Range;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use protocol::digest::{BLOCK_BYTES, BlockDigests, Content, Fingerprint};
use protocol::id::{ObjectId, Token};
use protocol::srl::{AccessMethod, ObjectName, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use protocol::vfs::xml::{Stored, decode_stored};

use crate::center::Center;
use crate::error::ClientError;
use crate::settings::Endpoint;
use crate::source::Source;
use crate::transport::{Answer, Exchange, Payload};

/// Most bytes of one [`Center::fetch_range`].
const RANGE_BYTES_MAX: u64 = 64 << 20;
/// Bytes that [`Center::fetch`] asks for at a time: whole blocks, to be verified.
pub(crate) const FETCH_BYTES: u64 = 4 * BLOCK_BYTES;
/// Requests that [`Center::fetch`] has under way, so that the line is not idle between two.
pub(crate) const FETCHES_AHEAD: usize = 2;
/// Most bytes of the answer to STORE.
const STORED_BYTES_MAX: usize = 16 << 10;

pub(crate) const UPLOAD_TOKEN: HeaderName = HeaderName::from_static("x-upload-token");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
pub(crate) const CONTENT_BLAKE3: HeaderName = HeaderName::from_static("x-content-blake3");

impl Center {
    /// Bytes `offset..offset + len` of an object, which must lie in it; at most 64 MiB. Not verified: the caller
    /// checks whole blocks against the object's [`BlockDigests`].
    ///
    /// ```no_run
    /// # use protocol::digest::{BLOCK_BYTES, Content};
    /// # async fn example(center: client::Center, content: Content) -> Result<(), client::ClientError> {
    /// // The second MiB of a film, verified.
    /// let digests = center.fetch_digests(&content).await?;
    /// let block = center.fetch_range(&content, BLOCK_BYTES, content.block_len(1)).await?;
    /// digests.verify(&content, 1, &block)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if the customer has no reference to the object.
    pub async fn fetch_range(&self, content: &Content, offset: u64, len: u64) -> Result<Bytes, ClientError> {
        let end = offset.checked_add(len).filter(|end| *end <= content.size && len <= RANGE_BYTES_MAX);
        let Some(end) = end else {
            return Err(ClientError::Invalid(format!("no range of {len} bytes at {offset}: {content:?}")));
        };
        if len == 0 {
            return Ok(Bytes::new());
        }
        let wanted = offset..end;
        let operation = SrlOperation::Fetch { object: ObjectName::Content(content.fingerprint) };
        let mut exchange = transfer(Method::GET, self.sign(operation).path(b""));
        exchange.headers.insert(RANGE, header(&format!("bytes={offset}-{}", end - 1))?);
        exchange.answer_bytes_max = len as usize;
        self.exchange(self.dosm(), &exchange, Duration::ZERO, |endpoint, answer| {
            check_range(endpoint, &answer, &wanted, content.size)?;
            Ok(answer.body)
        })
        .await
    }

    /// The block digests of an object, verified. Those of an object of at most one block are known without asking.
    ///
    /// ```no_run
    /// # use protocol::digest::Content;
    /// # async fn example(center: client::Center, content: Content) -> Result<(), client::ClientError> {
    /// let digests = center.fetch_digests(&content).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Corrupt`] if the center's list is not the object's.
    pub async fn fetch_digests(&self, content: &Content) -> Result<BlockDigests, ClientError> {
        if content.blocks() <= 1 {
            return Ok(BlockDigests::from_bytes(content, &[])?);
        }
        let bytes = usize::try_from(content.blocks() * 32).unwrap_or(usize::MAX);
        let operation = SrlOperation::FetchDigests { fingerprint: content.fingerprint };
        let mut exchange = transfer(Method::GET, self.sign(operation).path(b""));
        exchange.answer_bytes_max = bytes;
        let answer = self.exchange(self.dosm(), &exchange, Duration::ZERO, |_, answer| Ok(answer)).await?;
        Ok(BlockDigests::from_bytes(content, &answer.body)?)
    }

    /// The whole object in order, in pieces of some MiB, each verified before it is given out. A broken transfer goes
    /// on where it broke, at another DOSM if need be. Nothing follows an error: [`ClientError::Corrupt`] if the bytes
    /// are not the object's, otherwise as [`Center::fetch_range`].
    ///
    /// ```no_run
    /// use futures::TryStreamExt;
    /// use tokio::io::AsyncWriteExt;
    ///
    /// # use protocol::digest::Content;
    /// # async fn example(center: client::Center, content: Content) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut file = tokio::fs::File::create_new("film.mp4").await?;
    /// let mut pieces = std::pin::pin!(center.fetch(&content));
    /// while let Some(piece) = pieces.try_next().await? {
    ///     file.write_all(&piece).await?;
    /// }
    /// file.sync_all().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn fetch(
        &self,
        content: &Content,
    ) -> impl Stream<Item = Result<Bytes, ClientError>> + Send + 'static {
        let (center, content) = (self.clone(), *content);
        let digests = async move { center.fetch_digests(&content).await.map(|digests| (center, digests)) };
        stream::once(digests).flat_map(move |opened| match opened {
            Ok((center, digests)) => verified_pieces(center, content, digests).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        })
    }

    /// Stores an object, held by the reference `token` and not yet by any row. The same call may be made again, before
    /// and after success. What no row holds is given up after some hours: make one, as the [crate's page](crate) shows.
    ///
    /// ```no_run
    /// # use protocol::digest::Content;
    /// # async fn example(center: client::Center, content: Content) -> Result<(), client::ClientError> {
    /// let token = client::new_token();
    /// let stored = center.store(token, &content, client::Source::file("film.mp4".into())).await?;
    /// assert_eq!((stored.content, stored.token), (content, token));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] with code `digest-mismatch` if the source's bytes are not `content`; `collision`,
    /// `no-space` or `quota`; [`ClientError::Source`] if they cannot be read.
    pub async fn store(
        &self,
        token: Token,
        content: &Content,
        source: Source,
    ) -> Result<Stored, ClientError> {
        if content.size == 0 {
            return Ok(Stored { content: *content, token, file: None });
        }
        self.put(SrlOperation::Store { parent: ObjectId(0) }, token, content, source).await
    }

    /// Sends an object to where `operation` says.
    pub(crate) async fn put(
        &self,
        operation: SrlOperation,
        token: Token,
        content: &Content,
        source: Source,
    ) -> Result<Stored, ClientError> {
        let mut exchange = upload(self.sign(operation).path(b""), token, content, source)?;
        self.stamp(&mut exchange)?;
        self.exchange(self.dosm(), &exchange, Duration::ZERO, |endpoint, answer| {
            check_stored(endpoint, &answer, content, token)
        })
        .await
    }

    /// Gives up the reference `token`, whether or not it is there. One that a row holds stays.
    ///
    /// ```no_run
    /// # async fn example(center: client::Center, upload: protocol::vfs::Upload) -> Result<(), client::ClientError> {
    /// // The row was refused, so nobody wants the bytes.
    /// center.delete(&upload.content.fingerprint, upload.token).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Mostly [`ClientError::Unavailable`].
    pub async fn delete(&self, fingerprint: &Fingerprint, token: Token) -> Result<(), ClientError> {
        if *fingerprint == Content::EMPTY.fingerprint {
            return Ok(());
        }
        let operation = SrlOperation::Delete { object: ObjectName::Content(*fingerprint) };
        let mut exchange = transfer(Method::DELETE, self.sign(operation).path(b""));
        exchange.headers.insert(UPLOAD_TOKEN, header(&token.to_string())?);
        self.stamp(&mut exchange)?;
        self.exchange(self.dosm(), &exchange, Duration::ZERO, |_, _| Ok(())).await
    }

    /// Whether a DOSM answers, and accepts the customer's secret (NO_OP).
    ///
    /// ```no_run
    /// # async fn example(center: client::Center) -> Result<(), client::ClientError> {
    /// match center.probe().await {
    ///     Ok(()) => println!("it is there"),
    ///     Err(error) if error.is_unavailable() => println!("later: {error}"),
    ///     Err(error) => println!("never: {error}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Unavailable`] or [`ClientError::Refused`].
    pub async fn probe(&self) -> Result<(), ClientError> {
        let exchange = transfer(Method::GET, self.sign(SrlOperation::NoOp).path(b""));
        self.exchange(self.dosm(), &exchange, Duration::ZERO, |_, _| Ok(())).await
    }

    /// A URL by which anybody may fetch the object from the first DOSM until `expires` (seconds since the epoch, 0
    /// for never). `uri` is how the file shall be called there: it decides the content type.
    ///
    /// ```no_run
    /// # fn example(center: &client::Center, content: &protocol::digest::Content, now: u64) {
    /// let url = center.download_url(content, b"film.mp4", now + 3_600, protocol::srl::SrlVersion::HmacSha256);
    /// # }
    /// ```
    pub fn download_url(&self, content: &Content, uri: &[u8], expires: u64, version: SrlVersion) -> String {
        let object = ObjectName::Content(content.fingerprint);
        self.end_user_url(SrlOperation::Fetch { object }, uri, expires, version)
    }

    /// A URL by which anybody may do this at the first DOSM until `expires` (seconds since the epoch, 0 for never): a
    /// NO_OP, FETCH, FETCH_AUTH, or STORE as a file. What else there is, is for the holder of the secret alone, and the
    /// center refuses it. `uri` is the part that is not signed: of a STORE into a folder the file's name.
    ///
    /// ```no_run
    /// use protocol::srl::{ObjectName, SrlOperation, SrlVersion};
    ///
    /// # fn example(center: &client::Center, album: protocol::id::ObjectId, now: u64) {
    /// // Whoever has this may store one file into the album, under any name that is free.
    /// let upload = SrlOperation::Store { parent: album };
    /// let url = center.end_user_url(upload, b"cat.jpg", now + 600, SrlVersion::HmacSha256);
    /// // This fetches what your own file 7 is, for ever.
    /// let object = ObjectName::ClientFile(center.client_file(b"7"));
    /// let url = center.end_user_url(SrlOperation::Fetch { object }, b"cat.jpg", 0, SrlVersion::Md5);
    /// # }
    /// ```
    pub fn end_user_url(
        &self,
        operation: SrlOperation,
        uri: &[u8],
        expires: u64,
        version: SrlVersion,
    ) -> String {
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version,
            expires,
            access: AccessMethod::EndUser,
            customer: self.settings().customer,
            operation,
        };
        format!("{}{}", self.dosm().first(), request.sign(&self.secret()).path(uri))
    }
}

fn verified_pieces(
    center: Center,
    content: Content,
    digests: BlockDigests,
) -> impl Stream<Item = Result<Bytes, ClientError>> + Send {
    let offsets = (0..content.size).step_by(FETCH_BYTES as usize);
    let pieces = stream::iter(offsets).map(move |offset| {
        let center = center.clone();
        async move {
            let len = FETCH_BYTES.min(content.size - offset);
            center.fetch_range(&content, offset, len).await.map(|piece| (offset, piece))
        }
    });
    let verified = pieces.buffered(FETCHES_AHEAD).map(move |fetched| {
        let (offset, piece) = fetched?;
        for (index, block) in (offset / BLOCK_BYTES..).zip(piece.chunks(BLOCK_BYTES as usize)) {
            digests.verify(&content, index, block)?;
        }
        Ok(piece)
    });
    verified.scan(false, |failed, piece| {
        let item = if *failed { None } else { Some(piece) };
        *failed = matches!(item, Some(Err(_)));
        std::future::ready(item)
    })
}

/// An exchange that stores an object, announced with its digests.
pub(crate) fn upload(
    path: String,
    token: Token,
    content: &Content,
    source: Source,
) -> Result<Exchange, ClientError> {
    let mut exchange = transfer(Method::PUT, path);
    exchange.headers.insert(UPLOAD_TOKEN, header(&token.to_string())?);
    exchange.headers.insert(CONTENT_MD5, header(&STANDARD.encode(content.fingerprint.0))?);
    exchange.headers.insert(CONTENT_BLAKE3, header(&content.digest.to_string())?);
    exchange.payload = Payload::Object(content.size, source);
    exchange.answer_bytes_max = STORED_BYTES_MAX;
    Ok(exchange)
}

/// What was stored, which must be what was sent.
pub(crate) fn check_stored(
    endpoint: &Endpoint,
    answer: &Answer,
    content: &Content,
    token: Token,
) -> Result<Stored, ClientError> {
    match decode_stored(&answer.body) {
        Ok(stored) if (stored.content, stored.token) == (*content, token) => Ok(stored),
        Ok(_) => Err(wrong(endpoint, "it stored something else")),
        Err(error) => Err(wrong(endpoint, &error.to_string())),
    }
}

/// An exchange that moves an object's bytes, or none.
pub(crate) fn transfer(method: Method, path: String) -> Exchange {
    let headers = HeaderMap::new();
    Exchange { method, path, headers, payload: Payload::Nothing, answer_bytes_max: 0, is_transfer: true }
}

pub(crate) fn header(value: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(value).map_err(|_| ClientError::Invalid(format!("{value:?} is no HTTP header")))
}

/// A whole object may be answered to a request for all of it; anything else must say which part it is.
pub(crate) fn check_range(
    endpoint: &Endpoint,
    answer: &Answer,
    wanted: &Range<u64>,
    size: u64,
) -> Result<(), ClientError> {
    let expected = format!("bytes {}-{}/{size}", wanted.start, wanted.end - 1);
    let told = answer.headers.get(CONTENT_RANGE).map(HeaderValue::as_bytes);
    let right = match answer.status {
        StatusCode::PARTIAL_CONTENT => told == Some(expected.as_bytes()),
        StatusCode::OK => *wanted == (0..size),
        _ => false,
    };
    if !right {
        return Err(wrong(endpoint, &format!("wanted {expected}, got status {} {told:?}", answer.status)));
    }
    if answer.body.len() as u64 != wanted.end - wanted.start {
        return Err(wrong(endpoint, "its answer has another length than asked for"));
    }
    Ok(())
}

pub(crate) fn wrong(endpoint: &Endpoint, why: &str) -> ClientError {
    ClientError::Protocol { endpoint: endpoint.to_string(), why: why.to_owned() }
}
