//! The site file while it is being written: values are put in and taken out, all else stays as it was. Pure.

use std::str::FromStr;

use toml_edit::{Array, DocumentMut, Item, Table, Value, value};

/// What a new file begins with.
const NEW: &str = "# The site file of a storage port, written by `storage-port setup`. docs/setup.md tells all its keys.\n\
                   schema = 1\n";

/// A site file that is being written.
#[derive(Clone, Debug)]
pub(super) struct Document(DocumentMut);

impl Document {
    /// Of a text; a new one if that is none, or no TOML.
    pub(super) fn of(text: Option<&str>) -> Self {
        let parsed = text.and_then(|text| text.parse().ok()).or_else(|| NEW.parse().ok());
        Self(parsed.unwrap_or_default())
    }

    /// As it is to be written.
    pub(super) fn text(&self) -> String {
        self.0.to_string()
    }

    /// A value that is a text.
    pub(super) fn text_of(&self, table: &str, key: &str) -> Option<&str> {
        self.0.get(table)?.get(key)?.as_str()
    }

    /// The same as what it is to be.
    pub(super) fn parsed<T: FromStr>(&self, table: &str, key: &str) -> Option<T> {
        self.text_of(table, key)?.parse().ok()
    }

    /// A value as an operator would type it: lists with spaces between.
    pub(super) fn typed(&self, table: &str, key: &str) -> Option<String> {
        match self.0.get(table)?.get(key)?.as_value()? {
            Value::String(text) => Some(text.value().clone()),
            Value::Integer(number) => Some(number.value().to_string()),
            Value::Array(list) => {
                let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                texts.filter(|texts| !texts.is_empty()).map(|texts| texts.join(" "))
            }
            _ => None,
        }
    }

    /// Whether there is such a table.
    pub(super) fn has(&self, table: &str) -> bool {
        self.0.contains_key(table)
    }

    /// Puts a value in; what stands beside it, a comment perhaps, stays.
    pub(super) fn set(&mut self, table: &str, key: &str, new: Value) {
        let below = self.0.entry(table).or_insert_with(|| Item::Table(Table::new()));
        if !below.is_table_like() {
            *below = Item::Table(Table::new());
        }
        let Some(below) = below.as_table_like_mut() else { return };
        match below.get_mut(key).and_then(Item::as_value_mut) {
            Some(old) => {
                let decor = old.decor().clone();
                *old = new;
                *old.decor_mut() = decor;
            }
            None => {
                below.insert(key, value(new));
            }
        }
    }

    /// The same of a list of texts.
    pub(super) fn set_list(&mut self, table: &str, key: &str, texts: &[String]) {
        self.set(table, key, Value::Array(Array::from_iter(texts.iter().map(String::as_str))));
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, table: &str, key: &str) {
        if let Some(below) = self.0.get_mut(table).and_then(Item::as_table_like_mut) {
            below.remove(key);
        }
    }

    /// Takes a table out.
    pub(super) fn remove_table(&mut self, table: &str) {
        self.0.remove(table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_about_stays_as_it_was() {
        let text = "schema = 1\n# mine\n[lan]\nnic = \"x\" # left port\n\n[advanced.storage-port.upload]\nquiet_ms = 9\n";
        let mut document = Document::of(Some(text));
        document.set("lan", "nic", "y".into());
        assert_eq!(document.text(), text.replace("\"x\"", "\"y\""));
        document.set_list("time", "ntp", &["a".to_owned(), "b".to_owned()]);
        assert_eq!(document.typed("time", "ntp").as_deref(), Some("a b"));
        document.remove("time", "ntp");
        document.remove_table("advanced");
        assert!(!document.has("advanced") && document.typed("time", "ntp").is_none());
        assert!(Document::of(Some("= broken")).text().contains("schema = 1"));
    }
}
