//! Numbers, options, lists and texts as bytes, and the macros that spell a structure's layout once for both ways.
//!
//! ```text
//! u8 … u64    little-endian            bool, Option   one byte 0 or 1, then the value if 1
//! list        u32 count, the elements  bytes, text    u32 length, the bytes (UTF-8)
//! ```

use thiserror::Error;

use super::Message;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Malformed {
    /// The bytes end before the value does.
    #[error("the bytes end before the value does")]
    Truncated,
    /// A length or a number is over its limit.
    #[error("a length or a number is over its limit")]
    TooLong,
    /// A value that its type does not have.
    #[error("a value that its type does not have")]
    BadValue,
}

/// Reads values from the front of some bytes. Believes no length.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next value.
    pub fn get<M: Message>(&mut self) -> Result<M, Malformed> {
        M::decode(self)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*value)
    }

    /// The next list, text or bytes, which may have at most `max` elements or bytes.
    pub fn at_most<B: Bounded>(&mut self, max: usize) -> Result<B, Malformed> {
        B::decode(self, max)
    }

    /// How many of something the sender wants: at least 1.
    pub fn limit(&mut self, max: u32) -> Result<u32, Malformed> {
        match self.get()? {
            0 => Err(Malformed::BadValue),
            limit if limit > max => Err(Malformed::TooLong),
            limit => Ok(limit),
        }
    }

    /// A length in front of something of which each element takes at least one byte.
    fn length(&mut self, max: usize) -> Result<usize, Malformed> {
        let length = self.get::<u32>()? as usize;
        if length > max {
            return Err(Malformed::TooLong);
        }
        if length > self.rest.len() { Err(Malformed::Truncated) } else { Ok(length) }
    }

    /// The next `max` bytes at most, behind their length.
    fn bytes(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let length = self.length(max)?;
        let (value, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(value)
    }
}

/// A value of no fixed length: its limit belongs to the structure it stands in.
pub trait Bounded: Sized {
    /// Appends its bytes.
    fn encode(&self, to: &mut Vec<u8>, max: usize);

    /// Reads it from the front, if it is within its limit.
    fn decode(from: &mut Reader<'_>, max: usize) -> Result<Self, Malformed>;
}

/// A list: at most `max` elements.
impl<M: Message> Bounded for Vec<M> {
    fn encode(&self, to: &mut Vec<u8>, _max: usize) {
        (self.len() as u32).encode(to);
        self.iter().for_each(|element| element.encode(to));
    }

    fn decode(from: &mut Reader<'_>, max: usize) -> Result<Self, Malformed> {
        let length = from.length(max)?;
        let mut list = Self::with_capacity(length);
        for _ in 0..length {
            list.push(from.get()?);
        }
        Ok(list)
    }
}

/// Bytes: at most `max`.
impl Bounded for Box<[u8]> {
    fn encode(&self, to: &mut Vec<u8>, _max: usize) {
        encode_bytes(self, to);
    }

    fn decode(from: &mut Reader<'_>, max: usize) -> Result<Self, Malformed> {
        from.bytes(max).map(Into::into)
    }
}

/// A text for people: at most `max` bytes, and cut to them when it is written.
impl Bounded for String {
    fn encode(&self, to: &mut Vec<u8>, max: usize) {
        encode_bytes(cut(self, max).as_bytes(), to);
    }

    fn decode(from: &mut Reader<'_>, max: usize) -> Result<Self, Malformed> {
        let bytes = from.bytes(max)?;
        text(bytes, max)
    }
}

/// Appends bytes behind their length.
pub fn encode_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    (bytes.len() as u32).encode(to);
    to.extend_from_slice(bytes);
}

/// As much of a text as fits, in whole characters.
pub fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Bytes that must be a text of at most `max` bytes.
pub fn text(bytes: &[u8], max: usize) -> Result<String, Malformed> {
    if bytes.len() > max {
        return Err(Malformed::TooLong);
    }
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed::BadValue)
}

/// Nothing: the structure of an operation that needs none.
impl Message for () {
    fn encode(&self, _to: &mut Vec<u8>) {}

    fn decode(_from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(())
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Message for $number {
            fn encode(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }

            fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                from.array().map(Self::from_le_bytes)
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64);

impl Message for bool {
    fn encode(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        match from.get::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed::BadValue),
        }
    }
}

impl<M: Message> Message for Option<M> {
    fn encode(&self, to: &mut Vec<u8>) {
        self.is_some().encode(to);
        if let Some(value) = self {
            value.encode(to);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if from.get()? { from.get().map(Some) } else { Ok(None) }
    }
}

/// Fixed bytes: identifiers and digests.
impl<const N: usize> Message for [u8; N] {
    fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.array()
    }
}

/// `layout!(Name { field, list <= LIST_MAX })`: the fields of a structure in the order of the wire, the limit of each
/// that has no fixed length beside it.
macro_rules! layout {
    ($name:ident { $($field:ident $(<= $max:expr)?),* $(,)? }) => {
        impl $crate::dosp::Message for $name {
            fn encode(&self, to: &mut Vec<u8>) {
                $($crate::dosp::wire::layout!(@encode &self.$field, to $(, $max)?);)*
            }

            fn decode(
                from: &mut $crate::dosp::Reader<'_>,
            ) -> Result<Self, $crate::dosp::Malformed> {
                $(let $field = $crate::dosp::wire::layout!(@decode from $(, $max)?);)*
                Ok(Self { $($field),* })
            }
        }
    };
    (@encode $value:expr, $to:ident) => { $crate::dosp::Message::encode($value, $to) };
    (@encode $value:expr, $to:ident, $max:expr) => {
        $crate::dosp::wire::Bounded::encode($value, $to, $max)
    };
    (@decode $from:ident) => { $from.get()? };
    (@decode $from:ident, $max:expr) => { $from.at_most($max)? };
}
pub(super) use layout;

/// `choice!(Name { Case = 0, … })`: an enum of cases without fields as one byte; any other byte is malformed.
macro_rules! choice {
    ($name:ident { $($case:ident = $byte:literal),* $(,)? }) => {
        impl $crate::dosp::Message for $name {
            fn encode(&self, to: &mut Vec<u8>) {
                to.push(match self { $(Self::$case => $byte),* });
            }

            fn decode(
                from: &mut $crate::dosp::Reader<'_>,
            ) -> Result<Self, $crate::dosp::Malformed> {
                match from.get::<u8>()? {
                    $($byte => Ok(Self::$case),)*
                    _ => Err($crate::dosp::Malformed::BadValue),
                }
            }
        }
    };
}
pub(super) use choice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_checked_before_anything_is_allocated() {
        let lying = [0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new(&lying).at_most::<Vec<u64>>(10), Err(Malformed::TooLong));
        assert_eq!(Reader::new(&lying).at_most::<Vec<u64>>(usize::MAX), Err(Malformed::Truncated));
        assert_eq!(Reader::new(&lying).at_most::<Box<[u8]>>(usize::MAX), Err(Malformed::Truncated));
        assert_eq!(Reader::new(&[2, 0, 0, 0, 1, 2]).at_most::<Vec<u16>>(2), Err(Malformed::Truncated));
        assert_eq!(Reader::new(&[2, 0, 0, 0, 1, 2]).at_most::<Vec<u8>>(2), Ok(vec![1, 2]));
    }

    #[test]
    fn options_and_booleans_are_0_or_1() {
        assert_eq!(Option::<u16>::from_bytes(&[1, 2, 3]), Ok(Some(0x302)));
        assert_eq!(Option::<u16>::from_bytes(&[0, 2, 3]), Ok(None));
        assert_eq!(Option::<u16>::from_bytes(&[2, 2, 3]), Err(Malformed::BadValue));
        assert_eq!(bool::from_bytes(&[2]), Err(Malformed::BadValue));
        assert_eq!(bool::from_bytes(&[]), Err(Malformed::Truncated));
    }
}
