//! The library calls of the founding document (LIB-2): file and directory operations against a storage center.
//!
//! From a secret to a file and back:
//!
//! ```no_run
//! use bytes::Bytes;
//! use client::{Bearer, Center, Settings, Source};
//! use futures::TryStreamExt;
//! use protocol::digest::ObjectHasher;
//! use protocol::id::CustomerId;
//! use protocol::name::Name;
//! use protocol::srl::{Secret, SrlVersion};
//! use protocol::vfs::{Answer, Existing, Operation, Request, Upload};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // 1. Who asks, and where: as `storage-center customer add` gave them.
//! let secret = Secret::from_file_content(&std::fs::read("customer-1.secret")?)?;
//! let urls = vec!["http://center.example:8080".to_owned()];
//! let center = Center::new(Settings::new(urls.clone(), urls, CustomerId(1), secret))?;
//!
//! // 2. Bytes first: stored under a token, they wait for a row.
//! let bytes = Bytes::from_static(b"Hello.");
//! let mut hasher = ObjectHasher::new();
//! hasher.update(&bytes);
//! let (content, _) = hasher.finish();
//! let token = client::new_token();
//! center.store(token, &content, Source::bytes(bytes)).await?;
//!
//! // 3. The row: a file of the root folder holds them from now on.
//! let root = center.operate(Request { key: None, operation: Operation::OpenRoot }).await?;
//! let Answer::Row(root) = root.answer else { return Err("the center answered something else".into()) };
//! let operation = Operation::CreateFile {
//!     parent: root.id,
//!     name: Name::new(b"hello.txt")?,
//!     metadata: Vec::new(),
//!     upload: Some(Upload { content, token }),
//!     existing: Existing::Replace,
//! };
//! center.operate(Request { key: None, operation }).await?;
//!
//! // 4. Back again, every byte verified; or by a URL, which anybody may use who is given it.
//! let pieces: Vec<Bytes> = center.fetch(&content).try_collect().await?;
//! let url = center.download_url(&content, b"hello.txt", 1_800_000_000, SrlVersion::Md5);
//! let bearer = Bearer::new(std::time::Duration::from_secs(10), None)?;
//! let found = bearer.look(&url).await?;
//! let same: Vec<Bytes> = bearer.download(&url, found).try_collect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | what | by |
//! |---|---|
//! | folders, names, metadata, quota, changes | [`Center::operate`], [`Center::vfs`]: see [`protocol::vfs::Operation`] |
//! | bytes in | [`Center::store`], [`Center::delete`] |
//! | bytes out | [`Center::fetch`], [`Center::fetch_range`], [`Center::fetch_digests`] |
//! | files under ids of your own, in no folder | [`Center::store_client_file`] and those beside it |
//! | a pair of ports: its lease, and whose changes count | [`Center::port_lease`], [`Center::set_stamp`] |
//! | URLs for others | [`Center::download_url`], [`Center::end_user_url`] |
//! | URLs from others | [`Bearer::look`], [`Bearer::download`], [`Bearer::upload`] |
//!
//! `examples/private_file_manager.rs` is a web site that needs URLs alone.
//!
//! [`Center`] speaks to any of several DDMs and DOSMs, signs every request, repeats what may be repeated (everything:
//! keys and tokens make each operation idempotent) until its deadline, and tells "the center cannot be reached" from
//! "the center refuses" ([`ClientError::is_unavailable`]). No byte of an object leaves [`Center::fetch`] unverified.
//!
//! Changes of one [`Center`] that come at the same time travel in one document.
//!
//! It caches nothing and keeps no state but its connections and what is on its way.

mod batch;
mod bearer;
mod center;
mod client_file;
mod error;
mod object;
mod pair;
mod pool;
mod random;
mod reason;
mod retry;
mod settings;
mod source;
mod transport;

pub use bearer::{Bearer, Found};
pub use center::Center;
pub use error::ClientError;
pub use settings::{Settings, SettingsError};
pub use source::Source;

/// A new idempotency key or upload token, drawn from the operating system's randomness.
///
/// ```
/// assert_ne!(client::new_token(), client::new_token());
/// ```
pub fn new_token() -> protocol::id::Token {
    random::token()
}
