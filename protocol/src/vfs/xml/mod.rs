//! XML form of requests and replies (VFS-3, VFS-19), and of the HTTP interface's own answers.
//!
//! The schema is closed: an unknown element or attribute is an error that names it. Documents are UTF-8, without a
//! DTD, processing instructions or entities beyond XML's five, and bounded in size and depth. What is not plain text
//! travels in plain text: names percent-encoded where they must be, metadata in base64.

mod element;
mod http;
mod names;
mod pairs;
mod replies;
mod requests;
mod rows;
mod versions;
mod writer;

use thiserror::Error;

pub use http::{ErrorDocument, Stored, decode_error, decode_stored, encode_error, encode_stored};
pub use replies::{decode_replies, encode_replies};
pub use requests::{decode_requests, encode_requests};

/// Most bytes of a reply document: room for a full OPEN FOLDER answer whose rows have all the metadata they may.
pub const REPLIES_BYTES_MAX: usize = 128 << 20;

/// Why a document was refused. The texts name the offender, shortened and escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum XmlError {
    /// Longer than its kind of document may be.
    #[error("the document is longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// Not well-formed, or with something that no document of ours has.
    #[error("{0}")]
    Malformed(String),
    /// An element that is not known there.
    #[error("unknown element `{element}` in `{parent}`")]
    UnknownElement {
        /// It.
        element: String,
        /// Where.
        parent: String,
    },
    /// An attribute that is not known there.
    #[error("unknown attribute `{attribute}` of `{element}`")]
    UnknownAttribute {
        /// It.
        attribute: String,
        /// Where.
        element: String,
    },
    /// Something is not there.
    #[error("`{element}` has no `{missing}`")]
    Missing {
        /// Where.
        element: String,
        /// An attribute or an element.
        missing: &'static str,
    },
    /// An attribute's value has not its form.
    #[error("attribute `{attribute}` of `{element}` has a bad value")]
    BadValue {
        /// Whose.
        attribute: &'static str,
        /// Where.
        element: String,
    },
    /// More or fewer operations than a document may have.
    #[error("a document has 1 to {} operations", super::OPERATIONS_MAX)]
    OperationCount,
}
