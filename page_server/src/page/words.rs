//! Times and rates for people. Pure.

use jiff::Timestamp;

use crate::amount;

/// So many seconds, in the two largest units.
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[first];
    let (whole, rest) = (seconds / unit, seconds % unit);
    match UNITS.get(first + 1) {
        Some((smaller, below)) if rest >= *smaller => format!("{whole} {name} {} {below}", rest / smaller),
        _ => format!("{whole} {name}"),
    }
}

/// How long ago something was.
pub fn ago(seconds: u64) -> String {
    format!("{} ago", span(seconds))
}

/// Bytes in a second.
pub fn per_second(bytes: f64) -> String {
    format!("{}/s", amount::bytes(bytes as u64))
}

/// A moment, by nanoseconds since the epoch.
pub fn when(nanoseconds: i64) -> String {
    let moment = Timestamp::from_nanosecond(nanoseconds.into());
    moment.map_or_else(|_| "-".to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        let told = [0, 59, 60, 3_599, 3_600, 3_661, 86_399, 90_061, 86_400 * 400].map(span);
        let wanted =
            ["0 s", "59 s", "1 min", "59 min 59 s", "1 h", "1 h 1 min", "23 h 59 min", "1 d 1 h", "400 d"];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_moment_is_told_in_universal_time() {
        assert_eq!(when(1_800_000_000_000_000_000), "2027-01-15 08:00:00 UTC");
        assert_eq!(per_second(2048.9), "2.0 KiB/s");
    }
}
