//! Values of this library as they stand in structures.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::wire::{encode_bytes, layout};
use super::{Malformed, Message, REASON_BYTES_MAX, Reader, SECRET_BYTES_MAX};
use crate::digest::{Content, Digest, Fingerprint};
use crate::id::{ClientFile, CustomerId, ObjectId, Token};
use crate::name::{NAME_BYTES_MAX, Name};
use crate::pair::{Asker, Generation, PAIR_NAME_BYTES_MAX, PairName, Stamp};
use crate::srl::{Mark, Secret};
use crate::vfs::{Upload, VfsError, VfsErrorCode};

/// Most bytes of a code's word.
const CODE_BYTES_MAX: usize = 32;

/// One customer's hold on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// To which object.
    pub fingerprint: Fingerprint,
    /// Whose.
    pub customer: CustomerId,
    /// Which upload's.
    pub token: Token,
}

impl Reference {
    /// The one that a customer's upload holds.
    pub const fn of(customer: CustomerId, upload: Upload) -> Self {
        Self { fingerprint: upload.content.fingerprint, customer, token: upload.token }
    }
}

layout!(Reference { fingerprint, customer, token });
layout!(Content { fingerprint, size, digest });
layout!(Upload { content, token });
layout!(Stamp { pair, generation });
layout!(Asker { customer, stamp });

macro_rules! newtypes {
    ($($name:ident),*) => {$(
        impl Message for $name {
            fn encode(&self, to: &mut Vec<u8>) {
                self.0.encode(to);
            }

            fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                from.get().map(Self)
            }
        }
    )*};
}
newtypes!(Fingerprint, Digest, Token, ClientFile, CustomerId, ObjectId, Mark, Generation);

impl Message for Name {
    fn encode(&self, to: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes: Box<[u8]> = from.at_most(NAME_BYTES_MAX)?;
        Self::new(&bytes).map_err(|_| Malformed::BadValue)
    }
}

impl Message for PairName {
    fn encode(&self, to: &mut Vec<u8>) {
        encode_bytes(self.as_str().as_bytes(), to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let text: String = from.at_most(PAIR_NAME_BYTES_MAX)?;
        Self::parse(&text).ok_or(Malformed::BadValue)
    }
}

impl Message for Secret {
    fn encode(&self, to: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes: Box<[u8]> = from.at_most(SECRET_BYTES_MAX)?;
        Self::new(bytes.into_vec()).map_err(|_| Malformed::BadValue)
    }
}

/// The family, 4 or 6, then address and port. A scope is this machine's matter and is not sent.
impl Message for SocketAddr {
    fn encode(&self, to: &mut Vec<u8>) {
        match self.ip() {
            IpAddr::V4(address) => {
                to.push(4);
                address.octets().encode(to);
            }
            IpAddr::V6(address) => {
                to.push(6);
                address.octets().encode(to);
            }
        }
        self.port().encode(to);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let address = match from.get::<u8>()? {
            4 => Ipv4Addr::from(from.array()?).into(),
            6 => Ipv6Addr::from(from.array()?).into(),
            _ => return Err(Malformed::BadValue),
        };
        Ok(Self::new(address, from.get()?))
    }
}

/// Its word; behind `superseded` the generation.
impl Message for VfsErrorCode {
    fn encode(&self, to: &mut Vec<u8>) {
        encode_bytes(self.as_str().as_bytes(), to);
        if let Some(generation) = self.generation() {
            generation.encode(to);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let word: String = from.at_most(CODE_BYTES_MAX)?;
        let has_generation = word == Self::Superseded(Generation(0)).as_str();
        let generation = has_generation.then(|| from.get()).transpose()?;
        Self::parse(&word, generation).ok_or(Malformed::BadValue)
    }
}

layout!(VfsError { code, message <= REASON_BYTES_MAX });

/// What the VFS said: one byte 0 and its answer, or 1 and its error. That it said an error is no failure of the
/// operation that carries it.
impl<M: Message> Message for Result<M, VfsError> {
    fn encode(&self, to: &mut Vec<u8>) {
        self.is_err().encode(to);
        match self {
            Ok(answer) => answer.encode(to),
            Err(error) => error.encode(to),
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if from.get()? { from.get().map(Err) } else { from.get().map(Ok) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_come_back() {
        for text in ["10.3.100.1:7400", "[2001:db8::7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from_bytes(&address.to_bytes()), Ok(address));
        }
        assert_eq!(SocketAddr::from_bytes(&[5, 1, 2, 3, 4, 0, 0]), Err(Malformed::BadValue));
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        assert_eq!(Name::from_bytes(&[2, 0, 0, 0, b'.', b'.']), Err(Malformed::BadValue));
        assert_eq!(Name::from_bytes(&[0, 1, 0, 0, b'x']), Err(Malformed::TooLong));
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert_eq!(Secret::from_bytes(&[&[15, 0, 0, 0][..], &[7; 15]].concat()), Err(Malformed::BadValue));
    }

    #[test]
    fn the_error_codes_of_the_vfs_fit() {
        for code in VfsErrorCode::ALL {
            assert_eq!(VfsErrorCode::from_bytes(&code.to_bytes()), Ok(code));
        }
        let superseded = VfsErrorCode::Superseded(Generation(7));
        assert_eq!(VfsErrorCode::from_bytes(&superseded.to_bytes()), Ok(superseded));
        assert_eq!(VfsErrorCode::from_bytes(&[1, 0, 0, 0, b'x']), Err(Malformed::BadValue));
    }
}
