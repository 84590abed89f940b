//! What one transaction did, as bytes: the rows it touched as they are since, by table, and the counters of ids. Pure.
//!
//! ```text
//! image     u16 tables, each: name | u16 columns | u32 rows, each: u8 1 and the columns, or u8 0 and the keys (gone)
//!           u16 counters, each: name of a table | u64 the highest id it ever gave
//! value     u8 0 nothing; 1 number, u64; 2 bytes, 3 text: u32 length and so many bytes
//! name      u32 length and so many bytes
//! ```
//!
//! Numbers are little-endian. To put in an image twice is the same as once.

use protocol::dosp::{Malformed, Message, Reader};

use crate::vfs::engine::OwnedValue;

/// Longest name of a table.
const NAME_BYTES_MAX: usize = 64;
/// Longest value; a transaction is shorter.
const VALUE_BYTES_MAX: usize = 64 << 20;

/// All of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Tables with rows that were touched.
    pub tables: Vec<Touched>,
    /// The highest id that a table ever gave.
    pub last_ids: Vec<(String, i64)>,
}

/// The rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Which table.
    pub table: String,
    /// So many of its columns, from the first.
    pub columns: u16,
    /// Each once.
    pub rows: Vec<Row>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// It has these columns now.
    Is(Vec<OwnedValue>),
    /// There is none with these keys.
    Gone(Vec<OwnedValue>),
}

impl Image {
    /// Its bytes. Text longer than a text may be cannot be in a row.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        (self.tables.len() as u16).encode(&mut to);
        for Touched { table, columns, rows } in &self.tables {
            encode_bytes(table.as_bytes(), &mut to);
            columns.encode(&mut to);
            (rows.len() as u32).encode(&mut to);
            for row in rows {
                let (is, values) = match row {
                    Row::Is(values) => (true, values),
                    Row::Gone(keys) => (false, keys),
                };
                is.encode(&mut to);
                values.iter().for_each(|value| encode_value(value, &mut to));
            }
        }
        (self.last_ids.len() as u16).encode(&mut to);
        for (table, id) in &self.last_ids {
            encode_bytes(table.as_bytes(), &mut to);
            id.cast_unsigned().encode(&mut to);
        }
        to
    }

    /// Reads it; `keys` tells how many columns name a row of a table, `None` if there is no such table.
    ///
    /// # Errors
    /// The bytes are no image.
    pub fn decode(bytes: &[u8], keys: impl Fn(&str) -> Option<usize>) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes);
        let mut image = Self::default();
        for _ in 0..from.get::<u16>()? {
            let table: String = from.at_most(NAME_BYTES_MAX)?;
            let keys = keys(&table).ok_or(Malformed::BadValue)?;
            let columns: u16 = from.get()?;
            let mut rows = Vec::new();
            for _ in 0..from.get::<u32>()? {
                rows.push(match from.get()? {
                    true => Row::Is(decode_values(&mut from, columns.into())?),
                    false => Row::Gone(decode_values(&mut from, keys)?),
                });
            }
            image.tables.push(Touched { table, columns, rows });
        }
        for _ in 0..from.get::<u16>()? {
            let table: String = from.at_most(NAME_BYTES_MAX)?;
            image.last_ids.push((table, from.get::<u64>()?.cast_signed()));
        }
        if from.rest().is_empty() { Ok(image) } else { Err(Malformed::TooLong) }
    }
}

fn encode_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    (bytes.len() as u32).encode(to);
    to.extend_from_slice(bytes);
}

fn encode_value(value: &OwnedValue, to: &mut Vec<u8>) {
    match value {
        OwnedValue::Null | OwnedValue::OutOfRange => to.push(0),
        OwnedValue::Integer(number) => {
            to.push(1);
            number.cast_unsigned().encode(to);
        }
        OwnedValue::Bytes(bytes) => {
            to.push(2);
            encode_bytes(bytes, to);
        }
        OwnedValue::Text(text) => {
            to.push(3);
            encode_bytes(text.as_bytes(), to);
        }
    }
}

fn decode_values(from: &mut Reader<'_>, count: usize) -> Result<Vec<OwnedValue>, Malformed> {
    (0..count).map(|_| decode_value(from)).collect()
}

fn decode_value(from: &mut Reader<'_>) -> Result<OwnedValue, Malformed> {
    Ok(match from.get::<u8>()? {
        0 => OwnedValue::Null,
        1 => OwnedValue::Integer(from.get::<u64>()?.cast_signed()),
        2 => OwnedValue::Bytes(from.at_most(VALUE_BYTES_MAX)?),
        3 => OwnedValue::Text(from.at_most::<String>(VALUE_BYTES_MAX)?.into()),
        _ => return Err(Malformed::BadValue),
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = OwnedValue> {
        prop_oneof![
            Just(OwnedValue::Null),
            any::<i64>().prop_map(OwnedValue::Integer),
            vec(any::<u8>(), 0..40).prop_map(|bytes| OwnedValue::Bytes(bytes.into())),
            "\\PC{0,20}".prop_map(|text| OwnedValue::Text(text.into())),
        ]
    }

    fn row() -> impl Strategy<Value = Row> {
        prop_oneof![vec(value(), 3).prop_map(Row::Is), vec(value(), 2).prop_map(Row::Gone)]
    }

    fn image() -> impl Strategy<Value = Image> {
        let touched =
            ("[a-z]{1,9}", vec(row(), 0..5)).prop_map(|(table, rows)| Touched { table, columns: 3, rows });
        (vec(touched, 0..4), vec(("[a-z]{1,9}", any::<i64>()), 0..3))
            .prop_map(|(tables, last_ids)| Image { tables, last_ids })
    }

    proptest! {
        /// VFS-22: an image comes back as it was; cut anywhere, or with something behind it, it is none.
        #[test]
        fn images_come_back_whole_or_not_at_all(image in image(), cut in any::<prop::sample::Index>()) {
            let mut bytes = image.encode();
            prop_assert!(Image::decode(&bytes[..cut.index(bytes.len())], |_| Some(2)).is_err());
            prop_assert_eq!(Image::decode(&bytes, |_| Some(2)), Ok(image));
            bytes.push(0);
            prop_assert!(Image::decode(&bytes, |_| Some(2)).is_err());
        }

        /// VFS-22: whatever another center sends is read or refused.
        #[test]
        fn any_bytes_are_an_image_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Image::decode(&bytes, |_| Some(1));
        }
    }

    #[test]
    fn a_table_that_nobody_knows_is_refused() {
        let image =
            Image { tables: vec![Touched { table: "x".into(), columns: 1, rows: vec![] }], last_ids: vec![] };
        assert_eq!(Image::decode(&image.encode(), |_| None), Err(Malformed::BadValue));
    }
}
