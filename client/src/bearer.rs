//! What anybody can do who was given an SRL (LIB-2): the founding document's `download(SRL)`, and an upload.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use http::Method;
use http::header::{CONTENT_LENGTH, ETAG, IF_MATCH, RANGE};
use protocol::digest::{Content, DigestMismatch, Fingerprint, ObjectHasher};
use protocol::id::Token;
use protocol::vfs::xml::Stored;

use crate::error::ClientError;
use crate::object::{FETCH_BYTES, FETCHES_AHEAD, check_range, check_stored, header, transfer, upload, wrong};
use crate::pool::Pool;
use crate::settings::{CONNECT_TIMEOUT, Endpoint, SettingsError};
use crate::source::Source;
use crate::transport::{Answer, Exchange, Transport};

/// Uses SRLs that somebody else signed; needs no secret. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Bearer {
    transport: Arc<Transport>,
    deadline: Duration,
}

/// What an SRL fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The MD5 of its bytes.
    pub fingerprint: Fingerprint,
    /// How many they are.
    pub size: u64,
}

impl Bearer {
    /// Tries each call until `deadline`, or for as long as bytes move. HTTPS endpoints are known by these authorities
    /// (PEM), or else by the public ones.
    ///
    /// ```
    /// let bearer = client::Bearer::new(std::time::Duration::from_secs(10), None)?;
    /// # Ok::<(), client::SettingsError>(())
    /// ```
    ///
    /// # Errors
    /// [`SettingsError::BadCertificates`].
    pub fn new(deadline: Duration, ca_certificates: Option<&[u8]>) -> Result<Self, SettingsError> {
        Ok(Self { transport: Arc::new(Transport::new(CONNECT_TIMEOUT, ca_certificates)?), deadline })
    }

    /// What the SRL fetches, without fetching it.
    ///
    /// ```no_run
    /// # async fn example(bearer: client::Bearer, url: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let found = bearer.look(url).await?;
    /// println!("{} bytes with the MD5 {}", found.size, found.fingerprint);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the SRL is wrong or has expired; [`ClientError::is_not_found`] if there is no such
    /// object any more; [`ClientError::Invalid`] if that is no URL.
    pub async fn look(&self, url: &str) -> Result<Found, ClientError> {
        let (pool, path) = split(url)?;
        let looked = pool.look(&self.transport, self.deadline, path, |endpoint, answer| {
            let text = |name| answer.headers.get(name)?.to_str().ok();
            let fingerprint =
                || text(ETAG)?.strip_prefix('"')?.strip_suffix('"').and_then(Fingerprint::parse);
            let size = || text(CONTENT_LENGTH)?.parse().ok();
            let found = fingerprint().zip(size()).map(|(fingerprint, size)| Found { fingerprint, size });
            found.ok_or_else(|| wrong(endpoint, "it does not tell what the SRL fetches"))
        });
        looked.await
    }

    /// What [`Bearer::look`] found, in order, in pieces of some MiB. A broken transfer goes on where it broke.
    /// Without a secret there is no proof of a piece: the end of the stream is the proof of all. So use nothing
    /// before it ends without an error.
    ///
    /// ```no_run
    /// # async fn example(bearer: client::Bearer, url: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// use futures::TryStreamExt;
    /// use tokio::io::AsyncWriteExt;
    ///
    /// let found = bearer.look(url).await?;
    /// let mut file = tokio::fs::File::create_new("film.mp4.part").await?;
    /// let mut pieces = std::pin::pin!(bearer.download(url, found));
    /// while let Some(piece) = pieces.try_next().await? {
    ///     file.write_all(&piece).await?;
    /// }
    /// file.sync_all().await?;
    /// tokio::fs::rename("film.mp4.part", "film.mp4").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Corrupt`] behind the last byte if they are not those of the fingerprint; [`ClientError::Refused`]
    /// with code `precondition` if others have taken their place meanwhile: begin anew.
    pub fn download(
        &self,
        url: &str,
        found: Found,
    ) -> impl Stream<Item = Result<Bytes, ClientError>> + Send + use<> {
        let (bearer, url) = (self.clone(), url.to_owned());
        let pieces = stream::iter((0..found.size).step_by(FETCH_BYTES as usize)).map(move |offset| {
            let (bearer, url) = (bearer.clone(), url.clone());
            async move { bearer.piece(&url, found, offset).await }
        });
        let begun = (Box::pin(pieces.buffered(FETCHES_AHEAD)), ObjectHasher::new());
        stream::try_unfold(begun, move |(mut pieces, mut hasher)| async move {
            if let Some(piece) = pieces.try_next().await? {
                hasher.update(&piece);
                return Ok(Some((piece, (pieces, hasher))));
            }
            match hasher.finish().0.fingerprint == found.fingerprint {
                true => Ok(None),
                false => Err(DigestMismatch.into()),
            }
        })
    }

    /// Stores an object by an SRL that permits it. The same call may be made again, before and after success.
    ///
    /// ```no_run
    /// # async fn example(bearer: client::Bearer, url: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// # let content = protocol::digest::Content::EMPTY;
    /// let source = client::Source::file("film.mp4".into());
    /// let stored = bearer.upload(url, client::new_token(), &content, source).await?;
    /// println!("file {:?}", stored.file);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] with code `exists` if the name is taken; otherwise as
    /// [`Center::store`](crate::Center::store).
    pub async fn upload(
        &self,
        url: &str,
        token: Token,
        content: &Content,
        source: Source,
    ) -> Result<Stored, ClientError> {
        let (pool, path) = split(url)?;
        let exchange = upload(path, token, content, source)?;
        self.exchange(&pool, &exchange, |endpoint, answer| check_stored(endpoint, &answer, content, token))
            .await
    }

    async fn piece(&self, url: &str, found: Found, offset: u64) -> Result<Bytes, ClientError> {
        let (pool, path) = split(url)?;
        let wanted = offset..found.size.min(offset + FETCH_BYTES);
        let mut exchange = transfer(Method::GET, path);
        exchange.headers.insert(RANGE, header(&format!("bytes={offset}-{}", wanted.end - 1))?);
        exchange.headers.insert(IF_MATCH, header(&format!("\"{}\"", found.fingerprint))?);
        exchange.answer_bytes_max = FETCH_BYTES as usize;
        self.exchange(&pool, &exchange, |endpoint, answer| {
            check_range(endpoint, &answer, &wanted, found.size)?;
            Ok(answer.body)
        })
        .await
    }

    async fn exchange<T>(
        &self,
        pool: &Pool,
        exchange: &Exchange,
        read: impl Fn(&Endpoint, Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        pool.exchange(&self.transport, self.deadline, exchange, Duration::ZERO, read).await
    }
}

/// Where the SRL leads, and its path.
fn split(url: &str) -> Result<(Pool, String), ClientError> {
    // The SRL itself is not told: whoever reads it may use it.
    let parts =
        Endpoint::split(url).ok_or_else(|| ClientError::Invalid("that is no URL of an SRL".to_owned()))?;
    Ok((Pool::of(parts.0), parts.1))
}
