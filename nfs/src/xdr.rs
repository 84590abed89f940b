//! External data representation (RFC 4506): a decoder that borrows and an encoder that appends.
//!
//! The decoder allocates nothing and believes no length: each is checked against the protocol's limit and against the
//! bytes that are really there. Padding is skipped without a look, as RFC 4506 lets senders be careless.

use crate::filesystem::{Handle, Time};

/// Why bytes are not the XDR they should be. A call with one of these gets GARBAGE_ARGS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XdrError {
    /// The bytes end before the value does.
    #[error("the bytes end before the value does")]
    Truncated,
    /// A length is over the protocol's limit.
    #[error("a length is over the protocol's limit")]
    TooLong,
    /// A number names no case of its type.
    #[error("a number names no case of its type")]
    BadValue,
    /// Bytes are left behind the last value.
    #[error("bytes are left behind the last value")]
    Trailing,
}

/// A decoder's result.
pub type XdrResult<T> = Result<T, XdrError>;

/// The longest padding.
pub const PADDING: [u8; 3] = [0; 3];

/// Bytes to fill a value of `len` bytes up to a multiple of four.
pub const fn padding(len: usize) -> usize {
    len.wrapping_neg() & 3
}

/// Reads values from the front of a slice.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends decoding; refuses bytes left over.
    pub const fn end(&self) -> XdrResult<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(XdrError::Trailing) }
    }

    /// An unsigned 32-bit number.
    pub fn u32(&mut self) -> XdrResult<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// An unsigned 64-bit number ("unsigned hyper").
    pub fn u64(&mut self) -> XdrResult<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A boolean: 0 or 1, nothing else.
    pub fn bool(&mut self) -> XdrResult<bool> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(XdrError::BadValue),
        }
    }

    /// Opaque bytes of fixed length.
    pub fn array<const N: usize>(&mut self) -> XdrResult<[u8; N]> {
        const { assert!(N.is_multiple_of(4), "fixed opaques of this protocol need no padding") };
        let (value, rest) = self.rest.split_first_chunk().ok_or(XdrError::Truncated)?;
        self.rest = rest;
        Ok(*value)
    }

    /// Opaque bytes of variable length, at most `max`, with their padding.
    pub fn opaque(&mut self, max: usize) -> XdrResult<&'a [u8]> {
        let len = self.u32()? as usize;
        if len > max {
            return Err(XdrError::TooLong);
        }
        // `len` is at most 32 bits wide and checked before the sum, which therefore cannot overflow.
        if self.rest.len() < len || self.rest.len() - len < padding(len) {
            return Err(XdrError::Truncated);
        }
        let (value, rest) = self.rest.split_at(len);
        self.rest = &rest[padding(len)..];
        Ok(value)
    }

    /// A value behind a boolean that says whether it is there.
    pub fn optional<T>(&mut self, value: impl FnOnce(&mut Self) -> XdrResult<T>) -> XdrResult<Option<T>> {
        if self.bool()? { value(self).map(Some) } else { Ok(None) }
    }

    /// A file handle (`nfs_fh3`): at most 64 bytes.
    pub fn handle(&mut self) -> XdrResult<Handle> {
        let bytes = self.opaque(crate::filesystem::HANDLE_BYTES_MAX)?;
        Handle::new(bytes).ok_or(XdrError::BadValue)
    }

    /// A time (`nfstime3`): unsigned seconds and nanoseconds below a second.
    pub fn time(&mut self) -> XdrResult<Time> {
        let (seconds, nanos) = (self.u32()?, self.u32()?);
        if nanos >= 1_000_000_000 {
            return Err(XdrError::BadValue);
        }
        Ok(Time { seconds: i64::from(seconds), nanos })
    }
}

/// Appends values to a vector.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// Starts empty, with room for a reply of ordinary length.
    pub fn new() -> Self {
        Self::on(Vec::with_capacity(320))
    }

    /// Starts empty in memory that was used before.
    pub fn on(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was appended behind the first `len` bytes.
    pub fn behind(&self, len: usize) -> &[u8] {
        self.bytes.get(len..).unwrap_or_default()
    }

    /// Makes room for so many more bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Forgets all but the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Gives the bytes out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// An unsigned 32-bit number.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Unsigned 32-bit numbers, one behind the other.
    pub fn u32s<const N: usize>(&mut self, values: [u32; N]) {
        let mut words = [[0; 4]; N];
        words.iter_mut().zip(values).for_each(|(word, value)| *word = value.to_be_bytes());
        self.bytes.extend_from_slice(words.as_flattened());
    }

    /// An unsigned 64-bit number.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) {
        self.u32(u32::from(value));
    }

    /// Opaque bytes of fixed length, a multiple of four.
    pub fn array<const N: usize>(&mut self, value: &[u8; N]) {
        const { assert!(N.is_multiple_of(4), "fixed opaques of this protocol need no padding") };
        self.bytes.extend_from_slice(value);
    }

    /// Opaque bytes of variable length. They come from this server and are bounded by what produced them.
    pub fn opaque(&mut self, value: &[u8]) {
        self.u32(value.len() as u32);
        self.raw(value);
        self.pad(value.len());
    }

    /// Bytes as they are; the caller cares for length and padding.
    pub fn raw(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
    }

    /// The padding of an opaque of `len` bytes.
    pub fn pad(&mut self, len: usize) {
        self.bytes.extend_from_slice(&PADDING[..padding(len)]);
    }

    /// A value behind a boolean that says whether it is there.
    pub fn optional<T>(&mut self, value: Option<T>, encode: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            encode(self, value);
        }
    }

    /// A time (`nfstime3`). It cannot say what lies before 1970 or after 2106: such times become the nearest it can.
    pub fn time(&mut self, time: Time) {
        self.u32s(time_words(time));
    }
}

/// `nfstime3` word by word; see [`Encoder::time`].
pub fn time_words(time: Time) -> [u32; 2] {
    [time.seconds.clamp(0, i64::from(u32::MAX)) as u32, time.nanos]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_vectors_decode_and_encode() {
        let bytes = [
            0, 0, 0, 7, // u32
            0, 0, 0, 1, 0, 0, 0, 2, // u64
            0, 0, 0, 1, // true
            0, 0, 0, 5, b'h', b'e', b'l', b'l', b'o', 0, 0, 0, // opaque with padding
            0, 0, 0, 9, 0, 0, 0, 3, // time
        ];
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.u32(), Ok(7));
        assert_eq!(decoder.u64(), Ok(0x1_0000_0002));
        assert_eq!(decoder.bool(), Ok(true));
        assert_eq!(decoder.opaque(5), Ok(&b"hello"[..]));
        assert_eq!(decoder.time(), Ok(Time { seconds: 9, nanos: 3 }));
        assert_eq!(decoder.end(), Ok(()));

        let mut encoder = Encoder::new();
        encoder.u32(7);
        encoder.u64(0x1_0000_0002);
        encoder.bool(true);
        encoder.opaque(b"hello");
        encoder.time(Time { seconds: 9, nanos: 3 });
        assert_eq!(encoder.into_bytes(), bytes);
    }

    #[test]
    fn lengths_are_checked_against_the_limit_and_against_the_bytes() {
        let claims_4_gib = [0xff; 8];
        assert_eq!(Decoder::new(&claims_4_gib).opaque(64), Err(XdrError::TooLong));
        assert_eq!(Decoder::new(&claims_4_gib).opaque(usize::MAX), Err(XdrError::Truncated));
        assert_eq!(Decoder::new(&[0, 0, 0, 65]).handle(), Err(XdrError::TooLong));
        assert!(Decoder::new(&[0, 0, 0, 0]).handle().is_ok_and(|handle| handle.as_bytes().is_empty()));
        let without_padding = [0, 0, 0, 1, b'x'];
        assert_eq!(Decoder::new(&without_padding).opaque(1), Err(XdrError::Truncated));
    }

    #[test]
    fn values_outside_their_type_are_refused() {
        assert_eq!(Decoder::new(&[0, 0, 0, 2]).bool(), Err(XdrError::BadValue));
        assert_eq!(Decoder::new(&[0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0]).time(), Err(XdrError::BadValue));
        assert_eq!(Decoder::new(&[0, 0]).u32(), Err(XdrError::Truncated));
        assert_eq!(Decoder::new(&[0]).end(), Err(XdrError::Trailing));
    }

    #[test]
    fn times_the_wire_cannot_say_become_the_nearest() {
        let mut encoder = Encoder::new();
        encoder.time(Time { seconds: -5, nanos: 1 });
        encoder.time(Time { seconds: i64::MAX, nanos: 2 });
        assert_eq!(encoder.into_bytes(), [0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2]);
    }

    proptest! {
        #[test]
        fn an_opaque_comes_back_as_it_went(bytes: Vec<u8>) {
            let mut encoder = Encoder::new();
            encoder.opaque(&bytes);
            let encoded = encoder.into_bytes();
            prop_assert_eq!(encoded.len() % 4, 0);
            let mut decoder = Decoder::new(&encoded);
            prop_assert_eq!(decoder.opaque(bytes.len()), Ok(&bytes[..]));
            prop_assert_eq!(decoder.end(), Ok(()));
        }
    }
}
