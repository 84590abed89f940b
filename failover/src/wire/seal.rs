//! The tag: only the pair makes datagrams.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

use super::codec::{self, BYTES_MAX, Envelope, MAGIC, Malformed, TooLong, VERSION};
use crate::machine::event::{Member, Path};
use crate::machine::message::Message;

/// Shortest key of a pair.
pub const KEY_BYTES_MIN: usize = 16;

const TAG_BYTES: usize = 16;

/// Seals this port's datagrams, and opens its peer's.
#[derive(Clone)]
pub struct Seal {
    member: Member,
    key: Key,
    also: Option<Key>,
}

#[derive(Clone)]
struct Key {
    mac: Hmac<Sha256>,
    /// Which of the keys, for the reader.
    id: u8,
    /// Which pair: name and key.
    pair: u64,
}

/// A key of a pair that could be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the key of a pair has at least {KEY_BYTES_MIN} bytes: make one with `openssl rand -hex 32`")]
pub struct KeyTooShort;

/// Why a datagram is dropped. Nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Dropped {
    /// Not a datagram of this protocol, version and pair.
    #[error("no datagram of this pair")]
    Foreign,
    /// Nobody of this pair made it, or it was changed.
    #[error("the tag is wrong")]
    Forged,
    /// One's own, or sent on the other way.
    #[error("it was not meant for here")]
    Astray,
    /// Somebody of this pair made it, and it still cannot be understood.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

impl Seal {
    /// With `key` it seals; datagrams under `also` are opened too, so that a key is changed in steps: first each port
    /// accepts the new one, then each uses it, then the old one goes.
    ///
    /// # Errors
    /// One is too short.
    pub fn new(pair: &str, member: Member, key: &[u8], also: Option<&[u8]>) -> Result<Self, KeyTooShort> {
        let also = also.map(|key| Key::new(pair, key)).transpose()?;
        Ok(Self { member, key: Key::new(pair, key)?, also })
    }

    /// The datagram for that way.
    ///
    /// # Errors
    /// The message does not fit.
    pub fn seal(&self, path: Path, message: &Message) -> Result<Vec<u8>, TooLong> {
        let mut bytes = codec::encode(Envelope { pair: self.key.pair, path, key: self.key.id }, message)?;
        let tag = self.key.tag(&bytes);
        bytes.extend_from_slice(&tag);
        Ok(bytes)
    }

    /// What the peer sent on that way. Nothing of it is looked at before its tag is found right.
    ///
    /// # Errors
    /// It is to be dropped.
    pub fn open(&self, path: Path, bytes: &[u8]) -> Result<Message, Dropped> {
        if bytes.len() > BYTES_MAX {
            return Err(Dropped::Foreign);
        }
        let (signed, tag) = bytes.split_last_chunk::<TAG_BYTES>().ok_or(Dropped::Foreign)?;
        let body = signed
            .strip_prefix(&MAGIC)
            .and_then(|rest| rest.strip_prefix(&[VERSION]))
            .ok_or(Dropped::Foreign)?;
        let mut keys = [Some(&self.key), self.also.as_ref()].into_iter().flatten();
        let key = keys.find(|key| key.is_of(signed, tag)).ok_or(Dropped::Forged)?;
        let (envelope, message) = codec::decode(body)?;
        if envelope.pair != key.pair || envelope.key != key.id {
            return Err(Dropped::Foreign);
        }
        if envelope.path != path || message.sender == self.member {
            return Err(Dropped::Astray);
        }
        Ok(message)
    }
}

/// Says nothing of the keys.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("member", &self.member).finish_non_exhaustive()
    }
}

impl Key {
    fn new(pair: &str, key: &[u8]) -> Result<Self, KeyTooShort> {
        if key.len() < KEY_BYTES_MIN {
            return Err(KeyTooShort);
        }
        let root = Hmac::<Sha256>::new_from_slice(key).map_err(|_| KeyTooShort)?;
        let derive = |what: &str| root.clone().chain_update(what).chain_update(pair).finalize().into_bytes();
        let mac = Hmac::new_from_slice(&derive("port-failover datagram 1 ")).map_err(|_| KeyTooShort)?;
        let name = derive("port-failover name 1 ");
        let (number, rest) = name.split_at(8);
        let pair = number.iter().fold(0, |pair, byte| pair << 8 | u64::from(*byte));
        Ok(Self { mac, id: rest[0], pair })
    }

    fn tag(&self, bytes: &[u8]) -> [u8; TAG_BYTES] {
        let whole: [u8; 32] = self.mac.clone().chain_update(bytes).finalize().into_bytes().into();
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&whole[..TAG_BYTES]);
        tag
    }

    fn is_of(&self, bytes: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
        self.mac.clone().chain_update(bytes).verify_truncated_left(tag).is_ok()
    }
}
