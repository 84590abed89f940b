//! Site files of older firmware. Pure.
//!
//! A step takes a document of one schema to the next; what it does not touch, comments too, stays as the operator wrote it.

use toml_edit::{DocumentMut, value};

use crate::fault::Fault;
use crate::site::SCHEMA;

/// From one schema to the next.
pub(crate) type Step = fn(&mut DocumentMut) -> Result<(), Fault>;

/// The schemas that can be read, and how to come from each to the next.
#[derive(Clone, Copy)]
pub(crate) struct Steps {
    /// The oldest.
    pub(crate) first: u32,
    /// From each of them to the next; the present one is behind the last.
    pub(crate) steps: &'static [Step],
}

/// The first schema that was shipped is the present one.
pub(crate) const STEPS: Steps = Steps { first: SCHEMA, steps: &[] };

/// What was found to be the schema of a file.
#[derive(Debug)]
pub(crate) enum Age {
    /// The present one.
    Present,
    /// An older one: its number, and the text in the present form.
    Older(u32, String),
    /// One that only a newer firmware reads.
    Newer(u32),
}

impl Steps {
    /// The schema that the last step leads to.
    pub(crate) fn present(&self) -> u32 {
        self.first + u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// Looks at a text, and brings it to the present form if it is older.
    pub(crate) fn migrate(&self, text: &str) -> Result<Age, Fault> {
        // What is no TOML is told by who reads it, with its line.
        let Ok(mut document) = text.parse::<DocumentMut>() else { return Ok(Age::Present) };
        let schema = document.get("schema").and_then(|schema| schema.as_integer());
        // So is one that does not say.
        let Some(schema) = schema.and_then(|schema| u32::try_from(schema).ok()) else {
            return Ok(Age::Present);
        };
        if schema > self.present() {
            return Ok(Age::Newer(schema));
        }
        if schema == self.present() {
            return Ok(Age::Present);
        }
        let Some(done) = schema.checked_sub(self.first).and_then(|done| usize::try_from(done).ok()) else {
            let text = format!("schema {schema} was never shipped: write schema = {}", self.present());
            return Err(Fault::at("schema", text));
        };
        for (step, to) in self.steps.iter().skip(done).zip(schema + 1..) {
            step(&mut document)?;
            // In its place: a comment beside it stays.
            document["schema"] = value(i64::from(to));
        }
        Ok(Age::Older(schema, document.to_string()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use toml_edit::Item;

    use super::*;

    /// A schema before the first: the LAN's table was called `clients`.
    fn from_0(document: &mut DocumentMut) -> Result<(), Fault> {
        let lan = document
            .remove("clients")
            .ok_or_else(|| Fault::at("[clients]", "the table is missing: add it"))?;
        document.insert("lan", lan);
        Ok(())
    }

    /// And after it a key had another unit.
    fn from_1(document: &mut DocumentMut) -> Result<(), Fault> {
        if let Some(Item::Table(lan)) = document.get_mut("lan") {
            lan["mtu"] = value(1500);
        }
        Ok(())
    }

    pub(crate) const TO_1: Steps = Steps { first: 0, steps: &[from_0] };
    const TO_2: Steps = Steps { first: 0, steps: &[from_0, from_1] };

    const OLD: &str =
        "schema = 0\n\n# Where the clients are.\n[clients]\nnic = \"52:54:00:00:00:01\" # left\n";

    #[test]
    fn each_step_is_taken_once_and_in_order() {
        assert_eq!((STEPS.present(), TO_1.present(), TO_2.present()), (SCHEMA, 1, 2));
        let Ok(Age::Older(0, text)) = TO_2.migrate(OLD) else { panic!("{:?}", TO_2.migrate(OLD)) };
        assert!(text.starts_with("schema = 2\n"), "{text}");
        assert!(
            text.contains("# Where the clients are.\n[lan]\nnic = \"52:54:00:00:00:01\" # left\nmtu = 1500"),
            "{text}"
        );
        let Ok(Age::Older(1, text)) = TO_2.migrate("schema = 1\n[lan]\n") else { panic!() };
        assert_eq!(text, "schema = 2\n[lan]\nmtu = 1500\n", "the first step is not taken again");
    }

    #[test]
    fn newer_present_and_unheard_of_schemas_are_told_apart() {
        assert!(matches!(TO_1.migrate("schema = 2"), Ok(Age::Newer(2))));
        assert!(matches!(TO_1.migrate("schema = 1"), Ok(Age::Present)));
        assert!(matches!(TO_1.migrate("[lan]"), Ok(Age::Present)), "for who reads it to tell");
        assert!(matches!(TO_1.migrate("= ="), Ok(Age::Present)), "for who reads it to tell");
        let never = STEPS.migrate("schema = 0").unwrap_err().to_string();
        assert!(never.contains("schema = 1"), "{never}");
        let missing = TO_1.migrate("schema = 0").unwrap_err().to_string();
        assert!(missing.contains("[clients]"), "{missing}");
    }
}
