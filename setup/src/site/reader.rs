//! Reading one table of a site file: a value of each kind, or a fault, and on with the next.

use std::fmt::Display;
use std::str::FromStr;

use toml::{Table, Value};

use crate::fault::{Fault, shown};

/// Most entries of a list of plain values.
const LIST_MAX: usize = 64;

/// A table that is being read.
pub(super) struct Reader<'a> {
    place: String,
    table: &'a Table,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Reader<'a> {
    /// `place` is what the table is called in faults: `lan`.
    pub(super) fn new(place: impl Into<String>, table: &'a Table, faults: &'a mut Vec<Fault>) -> Self {
        Self { place: place.into(), table, faults }
    }

    /// Whether there is anything under a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Tells a fault of a key.
    pub(super) fn fault(&mut self, key: &str, text: impl Display) {
        self.faults.push(Fault::new(&self.place, key, text));
    }

    /// A text that must be there; `None` was told.
    pub(super) fn required<T: FromStr<Err: Display>>(&mut self, key: &str, example: &str) -> Option<T> {
        match self.optional(key, example) {
            Ok(None) => {
                self.missing(key, example);
                None
            }
            Ok(value) => value,
            Err(Told) => None,
        }
    }

    /// Tells that a key is missing.
    pub(super) fn missing(&mut self, key: &str, example: &str) {
        self.fault(key, format_args!("missing: write {key} = {example}"));
    }

    /// A text that may be there.
    pub(super) fn optional<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
        example: &str,
    ) -> Result<Option<T>, Told> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let Some(text) = value.as_str() else {
            return Err(self.other_kind(key, example));
        };
        self.parsed(key, text).map(Some)
    }

    /// A list of texts, or one text in place of a list of one; empty if it is not there.
    pub(super) fn list<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
        example: &str,
    ) -> Result<Vec<T>, Told> {
        let texts = match self.table.get(key) {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => Some(vec![text.as_str()]),
            Some(Value::Array(values)) => values.iter().map(Value::as_str).collect(),
            Some(_) => None,
        };
        let Some(texts) = texts else { return Err(self.other_kind(key, example)) };
        if texts.len() > LIST_MAX {
            self.fault(key, format_args!("{} entries: give {LIST_MAX} at most", texts.len()));
            return Err(Told);
        }
        // Each that is wrong is told.
        let values: Vec<_> = texts.into_iter().map(|text| self.parsed(key, text)).collect();
        values.into_iter().collect()
    }

    /// A whole number that may be there.
    pub(super) fn number<N: TryFrom<i64> + Display>(
        &mut self,
        key: &str,
        min: N,
        max: N,
    ) -> Result<Option<N>, Told>
    where
        N: PartialOrd,
    {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let number = value.as_integer().and_then(|number| N::try_from(number).ok());
        match number.filter(|number| (&min..=&max).contains(&number)) {
            Some(number) => Ok(Some(number)),
            None => {
                self.fault(key, format_args!("write a whole number from {min} to {max}, without quotes"));
                Err(Told)
            }
        }
    }

    /// `true` or `false`, if it is there.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, Told> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(*flag)),
            Some(_) => {
                self.fault(key, "write true or false, without quotes");
                Err(Told)
            }
        }
    }

    /// A table below this one; empty if it is not there.
    pub(super) fn below(&mut self, key: &str) -> Option<Table> {
        match self.table.get(key) {
            None => Some(Table::new()),
            Some(Value::Table(table)) => Some(table.clone()),
            Some(_) => {
                let text = format!("is no table: write [{}.{key}] on a line of its own", self.place);
                self.fault(key, text);
                None
            }
        }
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str, text: &str) -> Result<T, Told> {
        text.parse().map_err(|error: T::Err| {
            self.fault(key, format_args!("`{}`: {error}", shown(text)));
            Told
        })
    }

    fn other_kind(&mut self, key: &str, example: &str) -> Told {
        self.fault(key, format_args!("has another kind of value: write {key} = {example}"));
        Told
    }
}

/// A fault was told already.
#[derive(Debug)]
pub(super) struct Told;
