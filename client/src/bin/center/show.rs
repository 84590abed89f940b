//! Names, times and rows as a terminal may show them.

use std::borrow::Cow;
use std::fmt::Write as _;

use protocol::id::Timestamp;
use protocol::metadata::UnixMetadata;
use protocol::vfs::{Body, Kind, Row};

/// Text without anything that a terminal would obey: control characters and what is not UTF-8 are escaped.
pub(crate) fn plain(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes)
        && !text.contains(is_unsafe)
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unsafe(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that turn the direction of the text around.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `2026-11-22T18:59:11Z`.
pub(crate) fn time(time: Timestamp) -> String {
    let seconds = time.0.div_euclid(1_000_000_000);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Year, month and day of the Gregorian calendar, from days since 1970-01-01. Counts in years that begin in March, so
/// that the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let (january, number) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (era * 400 + year + january, number, day - first + 1)
}

/// The UNIX attributes of a row: those of its metadata, or the defaults of its kind.
pub(crate) fn unix(row: &Row) -> UnixMetadata {
    let mode = match row.kind() {
        Kind::Folder => 0o755,
        Kind::File => 0o644,
    };
    UnixMetadata::decode(&row.metadata, mode).unwrap_or_else(|_| UnixMetadata::default_with_mode(mode))
}

/// A row in a long listing.
pub(crate) fn line(row: &Row) -> String {
    let unix = unix(row);
    let (letter, size) = match (&row.body, &unix.symlink) {
        (Body::Folder { .. }, _) => ('d', 0),
        (Body::File { .. }, Some(target)) => ('l', target.len() as u64),
        (Body::File { content }, None) => ('-', content.size),
    };
    let target = unix.symlink.map_or(String::new(), |target| format!(" -> {}", plain(&target)));
    format!("{letter}{:04o} {size:>15} {} {}{target}", unix.mode, time(row.modified), name(row))
}

/// A row's name, `/` for a root.
pub(crate) fn name(row: &Row) -> Cow<'_, str> {
    row.name.as_ref().map_or(Cow::Borrowed("/"), |name| plain(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(plain("é x".as_bytes()), "é x");
        assert_eq!(plain(b"a\x1b[2J\n\xff"), "a\\u{1b}[2J\\n\\xff");
        assert_eq!(plain("\u{202e}gpj".as_bytes()), "\\u{202e}gpj");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(time(Timestamp(seconds * 1_000_000_000)), text);
        }
    }
}
