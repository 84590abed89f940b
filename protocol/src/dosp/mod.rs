//! The distributed object storage protocol (DOSP): what object managers, storage nodes and directory managers of one
//! cluster say to each other (DOSP-1 to DOSP-10, MC-1 to MC-10).
//!
//! Pure codecs: no sockets, no encryption, no clock. Numbers are little-endian. All lengths are checked against their
//! limits and against the bytes that are there before anything is allocated.
//!
//! ```text
//! connection   preamble in the clear (preamble), then messages inside an encrypted session
//! message      u32 length, then so many bytes
//! request      code u16 | request id u64 | In                      In  ≤ IN_BYTES_MAX
//! reply        request id u64 | status u8 | Out, or the reason     Out ≤ OUT_BYTES_MAX
//! chunk        12-byte header with CRC-32C | bytes (chunk)         after the request of STORE
//! data         a reply with a Head | Head's length of bytes | a reply with the Out     operations that are Streamed
//! datagram     header | In, reply or announcement | tag (datagram)
//! ```
//!
//! An operation is an In/Out pair and a code ([`Operation`]); [`operations`] lists them all. A later version may append
//! fields to an In or Out: what follows the known fields is ignored. It may not change what is there.

pub mod announcement;
pub mod chunk;
pub mod datagram;
pub mod heartbeat;
pub mod key;
pub mod operations;
pub mod preamble;
pub mod replay;
mod values;
mod wire;

pub use self::chunk::StoreHeader;
pub use self::key::{ClusterKey, DatagramKey};
pub use self::values::Reference;
pub use self::wire::{Malformed, Reader};

use self::wire::choice;

/// The version of the protocol that this is.
pub const VERSION: u16 = 1;
/// Most bytes of an In structure: a customer's document that is handed on, and some.
pub const IN_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + (64 << 10);
/// Most bytes of an Out or Head structure.
pub const OUT_BYTES_MAX: usize = 16 << 20;
/// Most bytes of a request: code, id, In.
pub const REQUEST_BYTES_MAX: usize = 2 + 8 + IN_BYTES_MAX;
/// Most bytes of a reply: id, status, Out.
pub const REPLY_BYTES_MAX: usize = REPLY_HEAD_BYTES + OUT_BYTES_MAX;
/// Bytes of a reply before its Out: id and status.
pub const REPLY_HEAD_BYTES: usize = 8 + 1;
/// Most bytes of one chunk of a STORE (DOSP-4).
pub const CHUNK_BYTES_MAX: u32 = 1 << 20;
/// Most fingerprints one LOCATE asks for (MC-6).
pub const IDS_MAX: usize = 32;
/// Most references in one KEEP, or in one answer of REFERENCES.
pub const REFERENCES_MAX: usize = 1_000;
/// Most rows one LACKING asks for.
pub const LACKING_MAX: usize = 256;
/// Most lines one GET CONTENTS gives: some 800 KB of text.
pub const CONTENTS_MAX: u32 = 10_000;
/// Most disks of a node.
pub const DISKS_MAX: usize = 48;
/// Most bytes of a digest list: that of an object of 512 GiB, in one Out with the object's content.
pub const DIGESTS_BYTES_MAX: usize = OUT_BYTES_MAX - 64;
/// Most live secrets of a customer; two while one is being replaced, else one.
pub const SECRETS_MAX: usize = 16;
/// Most things of a customer's that are revoked one by one.
pub const REVOKED_MAX: usize = 10_000;
/// Most customers told of in one answer of ACCESS NEWS.
pub const NEWS_MAX: usize = 1_000;
/// Most bytes of a secret.
pub const SECRET_BYTES_MAX: usize = 4_096;
/// Most bytes of the URL of a customer's upload page.
pub const UPLOAD_PAGE_BYTES_MAX: usize = 2_048;
/// Most bytes of the list of hosts that a customer's callbacks may lie on: some thirty of the longest names.
pub const CALLBACK_HOSTS_BYTES_MAX: usize = 8_192;
/// Most bytes of a storage center's name.
pub const CENTER_BYTES_MAX: usize = 64;
/// Most bytes of one entry of the directory's log; a larger transaction takes several.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Most entries in one answer of PULL DIRECTORY.
pub const ENTRIES_MAX: usize = 4_096;
/// Most generations told of in one answer of PULL DIRECTORY.
pub const GENERATIONS_MAX: usize = 1_024;
/// Most bytes of one piece of a copy of the directory.
pub const COPY_BYTES_MAX: usize = 4 << 20;
/// Most bytes of a document that is handed on: the most that a customer may send.
pub const DOCUMENT_BYTES_MAX: usize = crate::vfs::REQUEST_BYTES_MAX;
/// Most bytes of the replies to it.
pub const REPLIES_BYTES_MAX: usize = OUT_BYTES_MAX - 64;
/// Most bytes of a text that tells a person why something failed. A longer one is cut when it is written.
pub const REASON_BYTES_MAX: usize = 1_024;

/// A structure of the protocol, or a value in one.
pub trait Message: Sized {
    /// Appends its bytes. Who fills a list keeps to its limit: the other side refuses a longer one.
    fn encode(&self, to: &mut Vec<u8>);

    /// Reads it from the front.
    ///
    /// # Errors
    /// The bytes are no such structure.
    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Its bytes alone.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        bytes
    }

    /// Reads it from the front of `bytes` and ignores what follows: fields of a later version.
    ///
    /// # Errors
    /// The bytes are no such structure.
    fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::decode(&mut Reader::new(bytes))
    }
}

/// Something a peer can be asked to do: a pair of structures and a code (DOSP-2, DOSP-9).
///
/// A new operation is this, a function that asks at the client and one that answers at the daemon; nothing else.
pub trait Operation {
    /// Its number on the wire. Never given to another operation.
    const CODE: u16;
    /// Its name, for logs and metrics: lower case, words joined by `-`.
    const NAME: &'static str;
    /// What a request carries.
    type In: Message;
    /// What a reply carries.
    type Out: Message;
}

/// An operation that gives bytes: a reply with a Head, then as many bytes as the Head says, then a reply with the Out
/// (DOSP-5). If the first reply says a failure, nothing follows it; if the giver fails later, it closes the connection.
pub trait Streamed: Operation {
    /// What is told before the bytes.
    type Head: Message;

    /// How many bytes follow this Head.
    fn length(head: &Self::Head) -> u64;
}

/// How an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// No such object, or this customer has no reference to it.
    NotFound,
    /// The peer does not know the operation. The connection stays usable.
    Unsupported,
    /// The peer cannot do it now; it may be asked again.
    Unavailable,
    /// No disk has room.
    NoSpace,
    /// Another object has this fingerprint; nothing was merged.
    Collision,
    /// The bytes are not those announced; nothing was kept.
    Mismatch,
    /// The request is not what the operation takes. The connection stays usable.
    Malformed,
    /// The request makes no sense, or is not allowed now; asking again does not help.
    Refused,
}

/// The status byte of a reply that carries an Out. Those of failures begin at 1.
const SUCCESS: u8 = 0;

choice!(Status {
    NotFound = 1,
    Unsupported = 2,
    Unavailable = 3,
    NoSpace = 4,
    Collision = 5,
    Mismatch = 6,
    Malformed = 7,
    Refused = 8,
});

/// What a reply says instead of an Out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What a program decides by.
    pub status: Status,
    /// What a person reads; at most [`REASON_BYTES_MAX`] of it are sent.
    pub reason: String,
}

impl Failure {
    /// A failure with its reason.
    pub fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// A request as a daemon gets it: enough to find the operation's handler, which decodes the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// Which operation; perhaps one that nobody here knows.
    pub code: u16,
    /// What the reply has to repeat.
    pub id: u64,
    /// The In structure.
    pub rest: &'a [u8],
}

impl RequestHead<'_> {
    /// The In structure of an operation.
    ///
    /// # Errors
    /// Answer [`Status::Malformed`]; the connection stays usable.
    pub fn input<O: Operation>(&self) -> Result<O::In, Malformed> {
        O::In::from_bytes(self.rest)
    }
}

/// A request.
pub fn encode_request<O: Operation>(id: u64, input: &O::In) -> Vec<u8> {
    let mut bytes = Vec::new();
    O::CODE.encode(&mut bytes);
    id.encode(&mut bytes);
    input.encode(&mut bytes);
    bytes
}

/// Reads a request up to its In structure.
///
/// # Errors
/// It is too short to be answered, or longer than any may be: close the connection.
pub fn decode_request(bytes: &[u8]) -> Result<RequestHead<'_>, Malformed> {
    if bytes.len() > REQUEST_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let mut from = Reader::new(bytes);
    let (code, id) = (from.get()?, from.get()?);
    Ok(RequestHead { code, id, rest: from.rest() })
}

/// A reply: an Out (or Head), or why there is none.
pub fn encode_reply<M: Message>(id: u64, outcome: &Result<M, Failure>) -> Vec<u8> {
    let mut bytes = Vec::new();
    id.encode(&mut bytes);
    match outcome {
        Ok(out) => {
            bytes.push(SUCCESS);
            out.encode(&mut bytes);
        }
        Err(Failure { status, reason }) => {
            status.encode(&mut bytes);
            bytes.extend_from_slice(wire::cut(reason, REASON_BYTES_MAX).as_bytes());
        }
    }
    bytes
}

/// Reads a reply: the id of the request it answers, and the outcome.
///
/// # Errors
/// It is no reply of this operation: close the connection.
pub fn decode_reply<M: Message>(bytes: &[u8]) -> Result<(u64, Result<M, Failure>), Malformed> {
    if bytes.len() > REPLY_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let mut from = Reader::new(bytes);
    let id = from.get()?;
    if from.rest().first() == Some(&SUCCESS) {
        let _: u8 = from.get()?;
        return Ok((id, Ok(M::decode(&mut from)?)));
    }
    let status = from.get()?;
    let reason = wire::text(from.rest(), REASON_BYTES_MAX)?;
    Ok((id, Err(Failure { status, reason })))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DOSP-2: a request is code, id and In; a reply is id, status and Out or reason.
    #[test]
    fn requests_and_replies_have_their_form() {
        let request = encode_request::<operations::Verify>(
            7,
            &operations::VerifyIn { fingerprint: crate::digest::Fingerprint([0xab; 16]) },
        );
        assert_eq!(request, [&[23, 0, 7, 0, 0, 0, 0, 0, 0, 0][..], &[0xab; 16]].concat());
        let head = decode_request(&request).unwrap();
        assert_eq!((head.code, head.id), (23, 7));
        assert_eq!(head.input::<operations::Verify>().unwrap().fingerprint.0, [0xab; 16]);

        let good = encode_reply(7, &Ok(9u32));
        assert_eq!(good, [7, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(decode_reply::<u32>(&good), Ok((7, Ok(9))));
        let failure = Failure::new(Status::NoSpace, "no room");
        let bad = encode_reply(7, &Err::<u32, _>(failure.clone()));
        assert_eq!(bad, [&[7, 0, 0, 0, 0, 0, 0, 0, 4][..], b"no room"].concat());
        assert_eq!(decode_reply::<u32>(&bad), Ok((7, Err(failure))));
    }

    #[test]
    fn a_reply_with_an_unknown_status_is_malformed() {
        assert_eq!(decode_reply::<()>(&[0, 0, 0, 0, 0, 0, 0, 0, 9]), Err(Malformed::BadValue));
        assert_eq!(decode_reply::<()>(&[0; 8]), Err(Malformed::Truncated));
        assert_eq!(decode_reply::<()>(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]), Err(Malformed::BadValue));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let reason = "é".repeat(REASON_BYTES_MAX);
        let bytes = encode_reply(1, &Err::<(), _>(Failure::new(Status::Refused, format!("x{reason}"))));
        let (_, outcome) = decode_reply::<()>(&bytes).unwrap();
        assert_eq!(outcome.unwrap_err().reason.len(), REASON_BYTES_MAX - 1);
    }
}
