//! Values on their way into and out of the database: four kinds, in the types of both engines.

/// A parameter, or the contents of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// A number; also yes (1) and no (0).
    Integer(i64),
    /// A number that no column holds. A statement that gets it is refused.
    OutOfRange,
    /// Bytes.
    Bytes(&'a [u8]),
    /// Text.
    Text(&'a str),
}

/// A [`Value`] that outlives what it was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedValue {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// A number that no column holds.
    OutOfRange,
    /// Bytes.
    Bytes(Box<[u8]>),
    /// Text.
    Text(Box<str>),
}

impl From<&Value<'_>> for OwnedValue {
    fn from(value: &Value<'_>) -> Self {
        match *value {
            Value::Null => Self::Null,
            Value::Integer(number) => Self::Integer(number),
            Value::OutOfRange => Self::OutOfRange,
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::Text(text) => Self::Text(text.into()),
        }
    }
}

impl<'a> From<&'a OwnedValue> for Value<'a> {
    fn from(value: &'a OwnedValue) -> Self {
        match value {
            OwnedValue::Null => Self::Null,
            OwnedValue::Integer(number) => Self::Integer(*number),
            OwnedValue::OutOfRange => Self::OutOfRange,
            OwnedValue::Bytes(bytes) => Self::Bytes(bytes),
            OwnedValue::Text(text) => Self::Text(text),
        }
    }
}

/// A list of parameters, each made a [`Value`].
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::vfs::engine::Value::from($value)),*] };
}
pub(in crate::vfs) use values;

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::OutOfRange, Self::Integer)
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        i64::try_from(number).map_or(Self::OutOfRange, Self::Integer)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, T::into)
    }
}

/// A type that a column can be read in.
pub trait FromValue<'a>: Sized {
    /// `None` when the value is of another kind, or out of the type's range.
    fn from_value(value: Value<'a>) -> Option<Self>;
}

impl FromValue<'_> for i64 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }
}

impl FromValue<'_> for u32 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue<'_> for u64 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromValue<'_> for bool {
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<const N: usize> FromValue<'_> for [u8; N] {
    fn from_value(value: Value<'_>) -> Option<Self> {
        <&[u8]>::from_value(value)?.try_into().ok()
    }
}

impl FromValue<'_> for Vec<u8> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        <&[u8]>::from_value(value).map(<[u8]>::to_vec)
    }
}

impl FromValue<'_> for String {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no column holds is told apart from every number, on the way in and on the way out.
    #[test]
    fn numbers_out_of_range_are_no_numbers() {
        let most = i64::MAX.unsigned_abs();
        assert_eq!(Value::from(most), Value::Integer(i64::MAX));
        assert_eq!(Value::from(most + 1), Value::OutOfRange);
        assert_eq!(u64::from_value(Value::Integer(-1)), None);
        assert_eq!(u32::from_value(Value::Integer(1 << 32)), None);
        assert_eq!(u32::from_value(Value::Integer((1 << 32) - 1)), Some(u32::MAX));
    }

    #[test]
    fn nothing_is_read_where_nothing_is_allowed() {
        assert_eq!(Option::<u64>::from_value(Value::Null), Some(None));
        assert_eq!(u64::from_value(Value::Null), None);
        assert_eq!(Option::<u64>::from_value(Value::Text("7")), None);
        assert_eq!(<[u8; 2]>::from_value(Value::Bytes(b"abc")), None);
    }
}
