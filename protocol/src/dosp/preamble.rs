//! The first bytes of a connection, in the clear: which versions the caller speaks, and which of them is spoken
//! (DOSP-3). All of it also goes into the encrypted session's prologue, so that nobody can change it on the way.

use super::{Malformed, Reader};

const MAGIC: [u8; 4] = *b"DOSP";
const OK: [u8; 2] = *b"OK";

/// What the caller sends: the lowest and highest version it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Lowest version.
    pub lowest: u16,
    /// Highest version; not below the lowest.
    pub highest: u16,
}

impl Offer {
    /// Its length.
    pub const BYTES: usize = 8;

    /// Its bytes.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.lowest.to_le_bytes());
        bytes[6..].copy_from_slice(&self.highest.to_le_bytes());
        bytes
    }

    /// Reads it.
    ///
    /// # Errors
    /// Something else speaks here: close the connection without a word.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes);
        let magic: [u8; 4] = from.array()?;
        let (lowest, highest): (u16, u16) = (from.get()?, from.get()?);
        if magic != MAGIC || lowest > highest {
            return Err(Malformed::BadValue);
        }
        Ok(Self { lowest, highest })
    }

    /// The highest version that both speak, if there is one.
    pub fn choose(&self, other: &Self) -> Option<u16> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

/// What the called answers: the version that is spoken from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen(pub u16);

impl Chosen {
    /// Its length.
    pub const BYTES: usize = 4;

    /// Its bytes.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let [low, high] = self.0.to_le_bytes();
        [OK[0], OK[1], low, high]
    }

    /// Reads it as the answer to an offer.
    ///
    /// # Errors
    /// Not an answer, or not one of the versions offered: close the connection.
    pub fn decode(bytes: &[u8; Self::BYTES], offer: &Offer) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes);
        let ok: [u8; 2] = from.array()?;
        let version: u16 = from.get()?;
        if ok != OK || !(offer.lowest..=offer.highest).contains(&version) {
            return Err(Malformed::BadValue);
        }
        Ok(Self(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DOSP-3: the layout, both ways.
    #[test]
    fn offers_and_answers_have_their_form() {
        let offer = Offer { lowest: 1, highest: 0x203 };
        assert_eq!(offer.encode(), *b"DOSP\x01\0\x03\x02");
        assert_eq!(Offer::decode(&offer.encode()), Ok(offer));
        assert_eq!(Chosen(2).encode(), *b"OK\x02\0");
        assert_eq!(Chosen::decode(b"OK\x02\0", &offer), Ok(Chosen(2)));
        assert!(Chosen::decode(b"OK\x04\x02", &offer).is_err());
        assert!(Chosen::decode(b"NO\x02\0", &offer).is_err());
        assert!(Offer::decode(b"DOSQ\x01\0\x03\x02").is_err());
        assert!(Offer::decode(b"DOSP\x04\0\x03\0").is_err());
    }

    /// DOSP-3: of the versions that both speak, the highest.
    #[test]
    fn the_highest_common_version_is_chosen() {
        let offer = |lowest, highest| Offer { lowest, highest };
        assert_eq!(offer(1, 3).choose(&offer(2, 9)), Some(3));
        assert_eq!(offer(2, 9).choose(&offer(1, 3)), Some(3));
        assert_eq!(offer(1, 1).choose(&offer(2, 9)), None);
        assert_eq!(offer(1, 1).choose(&offer(1, 1)), Some(1));
    }
}
