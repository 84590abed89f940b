//! Identifiers, each its own type.

use std::fmt;

use md5::{Digest as _, Md5};

/// A customer of the storage center (the SRL's client id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerId(pub u32);

/// A folder or file of the VFS. Never given twice within a center, so it needs no generation; grows with creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u64);

/// 128 random or derived bits that make a request idempotent: a key under which an answer is remembered, or the
/// token by which one upload holds one reference to its object. Written as 32 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub [u8; 16]);

/// What a file is stored as that a customer calls by an id of its own (PRIV-4): MD5 of `client id ":" unique file id`.
/// Never the name of contents, which is the MD5 of their bytes. Written as 32 lowercase hex digits, and with `.UFID`
/// behind them where either may stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientFile(pub [u8; 16]);

/// Nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A version: what is kept of a file or folder that was deleted, or of contents that were overwritten. Never given twice
/// within a center; grows with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(pub u64);

/// Position in a customer's change feed: the number of its last change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPosition(pub u64);

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ClientFile {
    /// The file that the customer calls `unique_file_id`: any bytes, of any length.
    pub fn named(customer: CustomerId, unique_file_id: &[u8]) -> Self {
        Self(Md5::new().chain_update(format!("{customer}:")).chain_update(unique_file_id).finalize().into())
    }
}

impl fmt::Display for ClientFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::digest::write_hex(f, &self.0)
    }
}

impl fmt::Debug for ClientFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::digest::write_hex(f, &self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Token {
    /// Reads 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        crate::digest::parse_hex(text).map(Self)
    }
}
