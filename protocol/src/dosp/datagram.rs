//! One datagram (MC-1, MC-10): the same structures as point to point, behind a signed header.
//!
//! ```text
//!  0 magic "DOSM"    4 version u8   5 kind u8     6 code u16
//!  8 sender u32     12 boot u64    20 sequence u64   28 unix ms u64
//! 36 body ≤ 1,200    .. tag 16: the first half of BLAKE3, keyed, of all before it
//! ```
//!
//! The body of a request is an In; that of a reply is a reply as point to point ([`super::encode_reply`]), whose id is
//! the request's sequence; that of an announcement is an [`Announcement`]. An answer that does not fit is one
//! of status REFUSED: any failure told by datagram means "ask point to point" (MC-8).
//!
//! A right tag says that some process of the cluster made the datagram, some time: whether it is new is for
//! [`super::replay`] to say.
//!
//! [`Announcement`]: super::announcement::Announcement

use subtle::ConstantTimeEq;
use thiserror::Error;

use super::wire::{choice, layout};
use super::{DatagramKey, Malformed, Message, REPLY_HEAD_BYTES, Reader};

/// Most bytes of a body.
pub const BODY_BYTES_MAX: usize = 1_200;
/// Bytes of a datagram beside its body.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;
/// Most bytes of a datagram: within the smallest MTU met, so that none is cut.
pub const BYTES_MAX: usize = OVERHEAD_BYTES + BODY_BYTES_MAX;
/// Objects that fit into one answer of LOCATE: each has a content, a disk and whether it is leaving.
pub const LOCATED_MAX: usize = (BODY_BYTES_MAX - REPLY_HEAD_BYTES - 4) / (16 + 8 + 32 + 4 + 1);

const MAGIC: [u8; 4] = *b"DOSM";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 36;
const TAG_BYTES: usize = 16;

/// Who sends what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Question, answer or news.
    pub kind: Kind,
    /// Of which operation or announcement.
    pub code: u16,
    /// The sender's number in the cluster.
    pub sender: u32,
    /// Which run of the sender: greater with each start of it, as the time of the start is.
    pub boot: u64,
    /// Which datagram of this run: greater with each.
    pub sequence: u64,
    /// When it was sent, in milliseconds since the epoch.
    pub sent_ms: u64,
}

/// What a datagram is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Wants an answer.
    Request,
    /// Is one.
    Reply,
    /// Wants none.
    Announce,
}

choice!(Kind { Request = 0, Reply = 1, Announce = 2 });
layout!(Header { kind, code, sender, boot, sequence, sent_ms });

/// The body does not fit; ask, or answer, point to point (MC-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the body is longer than {BODY_BYTES_MAX} bytes")]
pub struct TooLong;

/// Why a datagram is dropped. Nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Dropped {
    /// Not a datagram of this protocol and version.
    #[error("no datagram of this protocol")]
    Foreign,
    /// Nobody of this cluster made it, or it was changed.
    #[error("the tag is wrong")]
    Forged,
    /// Somebody of this cluster made it, and it still cannot be understood.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

/// A datagram with this body.
///
/// # Errors
/// The body does not fit.
pub fn encode(key: &DatagramKey, header: &Header, body: &[u8]) -> Result<Vec<u8>, TooLong> {
    if body.len() > BODY_BYTES_MAX {
        return Err(TooLong);
    }
    let mut bytes = Vec::with_capacity(OVERHEAD_BYTES + body.len());
    MAGIC.encode(&mut bytes);
    VERSION.encode(&mut bytes);
    header.encode(&mut bytes);
    bytes.extend_from_slice(body);
    let tag = key.tag(&bytes);
    tag.encode(&mut bytes);
    Ok(bytes)
}

/// The header and body of a datagram whose tag is right. Nothing else of it is looked at before.
///
/// # Errors
/// It is to be dropped.
pub fn decode<'a>(key: &DatagramKey, bytes: &'a [u8]) -> Result<(Header, &'a [u8]), Dropped> {
    if !(OVERHEAD_BYTES..=BYTES_MAX).contains(&bytes.len()) {
        return Err(Dropped::Foreign);
    }
    let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(Dropped::Foreign)?;
    let mut from = Reader::new(signed);
    if from.array() != Ok(MAGIC) || from.get() != Ok(VERSION) {
        return Err(Dropped::Foreign);
    }
    if !bool::from(key.tag(signed).ct_eq(tag)) {
        return Err(Dropped::Forged);
    }
    let header = from.get()?;
    Ok((header, from.rest()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dosp::ClusterKey;

    fn key() -> DatagramKey {
        ClusterKey::new([7; 32]).datagram_key("main")
    }

    fn header() -> Header {
        Header { kind: Kind::Announce, code: 64, sender: 11, boot: 5, sequence: 9, sent_ms: 1_000 }
    }

    #[test]
    fn a_datagram_comes_back_as_it_was_sent() {
        let bytes = encode(&key(), &header(), b"body").unwrap();
        assert_eq!(bytes.len(), OVERHEAD_BYTES + 4);
        assert_eq!(decode(&key(), &bytes), Ok((header(), &b"body"[..])));
    }

    /// MC-8: what is over 1,200 bytes is not sent by datagram, and not taken.
    #[test]
    fn a_body_has_its_limit() {
        let longest = encode(&key(), &header(), &[1; BODY_BYTES_MAX]).unwrap();
        assert_eq!(longest.len(), BYTES_MAX);
        assert!(decode(&key(), &longest).is_ok());
        assert_eq!(encode(&key(), &header(), &[1; BODY_BYTES_MAX + 1]), Err(TooLong));
        let mut longer = longest[..longest.len() - TAG_BYTES].to_vec();
        longer.push(1);
        longer.extend(key().tag(&longer));
        assert_eq!(decode(&key(), &longer), Err(Dropped::Foreign));
    }

    /// MC-10: a datagram with any byte changed, or of another key or cluster, is dropped.
    #[test]
    fn forged_datagrams_are_dropped() {
        let bytes = encode(&key(), &header(), b"body").unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&key(), &changed).is_err(), "byte {at}");
            assert!(decode(&key(), &bytes[..at]).is_err(), "cut at {at}");
        }
        let other = ClusterKey::new([7; 32]).datagram_key("other");
        assert_eq!(decode(&other, &bytes), Err(Dropped::Forged));
    }

    #[test]
    fn an_unknown_kind_is_malformed() {
        let mut bytes = encode(&key(), &header(), b"").unwrap();
        bytes.truncate(HEADER_BYTES);
        bytes[5] = 3;
        bytes.extend(key().tag(&bytes));
        assert_eq!(decode(&key(), &bytes), Err(Dropped::Malformed(Malformed::BadValue)));
    }
}
