//! The header in front of each chunk of a STORE (DOSP-4): the founding document's `DosdStoreHeader`, with a checksum.
//!
//! ```text
//! 0 size u32   4 last u8   5 zero x3   8 crc32c u32 of the chunk's bytes
//! ```

use super::{CHUNK_BYTES_MAX, Malformed, Reader};

/// How many bytes follow, and whether they are the last ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreHeader {
    /// Bytes that follow, at most [`CHUNK_BYTES_MAX`]; 0 only in the last.
    pub size: u32,
    /// No chunk follows this one.
    pub last: bool,
    /// CRC-32C of the bytes.
    pub crc32c: u32,
}

impl StoreHeader {
    /// Its length.
    pub const BYTES: usize = 12;

    /// The header of a chunk of at most [`CHUNK_BYTES_MAX`] bytes.
    pub fn of(chunk: &[u8], last: bool) -> Self {
        Self { size: chunk.len() as u32, last, crc32c: crc32c::crc32c(chunk) }
    }

    /// Whether this is the header of these bytes.
    pub fn matches(&self, chunk: &[u8]) -> bool {
        chunk.len() as u64 == u64::from(self.size) && crc32c::crc32c(chunk) == self.crc32c
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.size.to_le_bytes());
        bytes[4] = u8::from(self.last);
        bytes[8..].copy_from_slice(&self.crc32c.to_le_bytes());
        bytes
    }

    /// Reads it.
    ///
    /// # Errors
    /// A chunk over the limit, an empty one that is not the last, or no header at all. Where the next one would begin
    /// is not known: close the connection.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes);
        let (size, last): (u32, bool) = (from.get()?, from.get()?);
        let zeros: [u8; 3] = from.array()?;
        if size > CHUNK_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        if zeros != [0; 3] || (size == 0 && !last) {
            return Err(Malformed::BadValue);
        }
        Ok(Self { size, last, crc32c: from.get()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DOSP-4: the layout, both ways.
    #[test]
    fn a_header_has_twelve_bytes() {
        let header = StoreHeader::of(b"123456789", true);
        // The check value of CRC-32C.
        assert_eq!(header.encode(), [9, 0, 0, 0, 1, 0, 0, 0, 0x83, 0x92, 0x06, 0xe3]);
        assert_eq!(StoreHeader::decode(&header.encode()), Ok(header));
        assert!(header.matches(b"123456789"));
        assert!(!header.matches(b"123456788") && !header.matches(b"12345678"));
    }

    /// DOSP-4: a chunk has at most 1 MiB; only the last may be empty.
    #[test]
    fn a_chunk_has_its_limits() {
        let header = |size, last| StoreHeader { size, last, crc32c: 0 }.encode();
        assert!(StoreHeader::decode(&header(CHUNK_BYTES_MAX, false)).is_ok());
        assert_eq!(StoreHeader::decode(&header(CHUNK_BYTES_MAX + 1, false)), Err(Malformed::TooLong));
        assert!(StoreHeader::decode(&header(0, true)).is_ok());
        assert_eq!(StoreHeader::decode(&header(0, false)), Err(Malformed::BadValue));
        let mut odd = header(1, true);
        odd[6] = 1;
        assert_eq!(StoreHeader::decode(&odd), Err(Malformed::BadValue));
    }
}
