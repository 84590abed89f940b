//! Files that the customer calls by ids of its own (UFID): in no folder, known by their SRLs alone (PRIV-2, PRIV-4).

use std::time::Duration;

use http::header::{CONTENT_LENGTH, ETAG, HeaderName};
use http::{HeaderMap, Method};
use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{ClientFile, Token};
use protocol::srl::{ObjectName, SrlOperation};
use protocol::vfs::xml::Stored;

use crate::center::Center;
use crate::error::ClientError;
use crate::object::{CONTENT_BLAKE3, UPLOAD_TOKEN, header, transfer, wrong};
use crate::source::Source;

impl Center {
    /// What the storage center calls the file that the customer calls `unique_file_id`: any bytes, of any length.
    ///
    /// ```no_run
    /// # fn example(center: &client::Center) {
    /// println!("{}.UFID", center.client_file(b"films/7"));
    /// # }
    /// ```
    pub fn client_file(&self, unique_file_id: &[u8]) -> ClientFile {
        ClientFile::named(self.settings().customer, unique_file_id)
    }

    /// Stores an object as such a file; in the place of what is stored as that file, if `replace` says so. The same
    /// call may be made again, before and after success.
    ///
    /// ```no_run
    /// # use protocol::digest::Content;
    /// # async fn example(center: client::Center, content: Content) -> Result<(), client::ClientError> {
    /// let (file, source) = (center.client_file(b"films/7"), client::Source::file("film.mp4".into()));
    /// let stored = center.store_client_file(file, false, client::new_token(), &content, source).await;
    /// match stored {
    ///     Err(client::ClientError::Refused { code, .. }) if code == "exists" => println!("there is a film 7"),
    ///     stored => println!("stored {}", stored?.content.fingerprint),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] with code `exists` if the file is there and not to be replaced; otherwise as
    /// [`Center::store`].
    pub async fn store_client_file(
        &self,
        file: ClientFile,
        replace: bool,
        token: Token,
        content: &Content,
        source: Source,
    ) -> Result<Stored, ClientError> {
        self.put(SrlOperation::StoreClientFile { file, replace }, token, content, source).await
    }

    /// What is stored as such a file now: to be fetched by [`Center::fetch`].
    ///
    /// ```no_run
    /// # async fn example(center: client::Center) -> Result<(), client::ClientError> {
    /// use futures::TryStreamExt;
    ///
    /// let content = center.find_client_file(center.client_file(b"films/7")).await?;
    /// let pieces: Vec<bytes::Bytes> = center.fetch(&content).try_collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if nothing is.
    pub async fn find_client_file(&self, file: ClientFile) -> Result<Content, ClientError> {
        let operation = SrlOperation::Fetch { object: ObjectName::ClientFile(file) };
        self.look(self.sign(operation).path(b""), |endpoint, answer| {
            let told = content_told(&answer.headers);
            told.ok_or_else(|| wrong(endpoint, "it does not tell what is stored as the file"))
        })
        .await
    }

    /// Removes such a file and gives up its contents. `key` is one that was never used, not even for storing it: under
    /// it the answer is remembered, so that the same call may be made again.
    ///
    /// ```no_run
    /// # async fn example(center: client::Center) -> Result<(), client::ClientError> {
    /// center.delete_client_file(center.client_file(b"films/7"), client::new_token()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::is_not_found`] if there is no such file.
    pub async fn delete_client_file(&self, file: ClientFile, key: Token) -> Result<(), ClientError> {
        let operation = SrlOperation::Delete { object: ObjectName::ClientFile(file) };
        let mut exchange = transfer(Method::DELETE, self.sign(operation).path(b""));
        exchange.headers.insert(UPLOAD_TOKEN, header(&key.to_string())?);
        self.stamp(&mut exchange)?;
        self.exchange(self.dosm(), &exchange, Duration::ZERO, |_, _| Ok(())).await
    }
}

fn content_told(headers: &HeaderMap) -> Option<Content> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let fingerprint = text(ETAG)?.strip_prefix('"')?.strip_suffix('"').and_then(Fingerprint::parse)?;
    let size = text(CONTENT_LENGTH)?.parse().ok()?;
    let digest = text(CONTENT_BLAKE3).and_then(Digest::parse)?;
    Some(Content { fingerprint, size, digest })
}
