//! What is wrong with a site file, told to people.

use std::fmt;

/// One thing that is wrong, or worth a look: a line that says where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The table and key, as they stand in the file: `[lan] address`.
    place: String,
    /// What is wrong; and what to do.
    text: String,
}

impl Fault {
    /// Of a key of a table; at the top of the file if `table` is empty.
    pub fn new(table: &str, key: &str, text: impl fmt::Display) -> Self {
        let place = match (table, key) {
            ("", key) => key.to_owned(),
            (table, "") => format!("[{table}]"),
            (table, key) => format!("[{table}] {key}"),
        };
        Self::at(place, text)
    }

    /// At a place that is told in other words.
    pub fn at(place: impl fmt::Display, text: impl fmt::Display) -> Self {
        Self { place: one_line(&place.to_string()), text: one_line(&text.to_string()) }
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong, and what to do.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// What an operator wrote may be anything: it stands escaped in a line, and can neither break it nor steer a terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_unseen(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Characters that turn the direction of what follows, or cannot be seen.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Shortens what an operator wrote for a message.
pub(crate) fn shown(text: &str) -> String {
    /// Longer than any good value that is worth quoting.
    const CHARS_MAX: usize = 80;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(CHARS_MAX).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_whatever_was_written() {
        let fault = Fault::new("lan", "nic", "`a\nb\x1b[2J\u{202e}`: no NIC");
        assert_eq!(fault.to_string(), "[lan] nic: `a\\nb\\u{1b}[2J\\u{202e}`: no NIC");
        assert_eq!(Fault::new("", "schema", "x").to_string(), "schema: x");
        assert_eq!(Fault::new("pair", "", "x").to_string(), "[pair]: x");
        assert_eq!(shown(&"é".repeat(100)).chars().count(), 81);
    }
}
