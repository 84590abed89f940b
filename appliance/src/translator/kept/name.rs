//! Names of kept versions of files: `report.2026-11-27T211323Z.v17.pdf`. Pure.
//!
//! In front of the file's ending, so that it opens as ever; without a `:`, which Windows does not take; with the time at
//! which it was deleted or overwritten, in UTC, by which versions of one name are in order; and with the version's
//! number, by which it is the only one of its name, and is found.

use protocol::id::{Timestamp, VersionId};
use protocol::name::NAME_BYTES_MAX;

/// Longest ending that is kept in its place: a longer one is hardly the name of a format.
const ENDING_BYTES_MAX: usize = 16;
const STAMP: &str = "%Y-%m-%dT%H%M%SZ";
/// Its shape, `d` for a digit.
const STAMP_SHAPE: &[u8] = b"dddd-dd-ddTddddddZ";

/// The name of the version `number` of a file or folder called `name`, which came to be at that time: at most 255 bytes,
/// for which the name is shortened, between characters if it is UTF-8.
pub(super) fn of(name: &[u8], at: Timestamp, number: VersionId) -> Vec<u8> {
    // Nanoseconds in 64 bits are years that jiff knows.
    let at = jiff::Timestamp::from_nanosecond(at.0.into()).unwrap_or_default();
    let mark = format!(".{}.v{}", at.strftime(STAMP), number.0);
    let (stem, ending) = split(name);
    let room = NAME_BYTES_MAX - mark.len() - ending.len();
    [shortened(stem, room), mark.as_bytes(), ending].concat()
}

/// Of which version this may be the name. That it is, only [`of`] it says.
pub(super) fn number(name: &[u8]) -> Option<VersionId> {
    let mut parts = name.rsplit(|byte| *byte == b'.');
    let [last, second, third] = [parts.next()?, parts.next()?, parts.next().unwrap_or_default()];
    let version = match is_stamp(second) {
        true => last,
        false if is_stamp(third) => second,
        false => return None,
    };
    let digits = std::str::from_utf8(version.strip_prefix(b"v")?).ok()?;
    digits.parse().ok().map(VersionId)
}

/// A name and its ending with the dot, if it has one: what is behind the last dot, but for the first byte's, and looks like
/// the name of a format.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let is_ending = |ending: &[u8]| {
        (1..=ENDING_BYTES_MAX).contains(&ending.len()) && ending.iter().all(u8::is_ascii_graphic)
    };
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0);
    let dot = dot.filter(|dot| is_ending(&name[dot + 1..]));
    name.split_at(dot.unwrap_or(name.len()))
}

fn shortened(stem: &[u8], room: usize) -> &[u8] {
    let is_inside = |at: &usize| stem[*at] & 0xc0 == 0x80;
    let end = match stem.len() <= room {
        true => stem.len(),
        // Bytes that are no UTF-8 may have no such place near.
        false => (room.saturating_sub(3)..=room).rev().find(|at| !is_inside(at)).unwrap_or(room),
    };
    &stem[..end]
}

fn is_stamp(part: &[u8]) -> bool {
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    part.len() == STAMP_SHAPE.len() && part.iter().zip(STAMP_SHAPE).all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::name::Name;

    use super::*;

    /// 2026-11-27 21:13:23 UTC and a little.
    const AT: Timestamp = Timestamp(1_795_814_003_987_654_321);

    fn named(name: &str) -> String {
        String::from_utf8(of(name.as_bytes(), AT, VersionId(17))).unwrap()
    }

    #[test]
    fn a_version_has_its_time_and_number_before_the_ending() {
        assert_eq!(named("report.pdf"), "report.2026-11-27T211323Z.v17.pdf");
        assert_eq!(named("a.tar.gz"), "a.tar.2026-11-27T211323Z.v17.gz");
        assert_eq!(named("Makefile"), "Makefile.2026-11-27T211323Z.v17");
        assert_eq!(named(".profile"), ".profile.2026-11-27T211323Z.v17");
        assert_eq!(named("ends with."), "ends with..2026-11-27T211323Z.v17");
        assert_eq!(named("No. of pages in all"), "No. of pages in all.2026-11-27T211323Z.v17");
    }

    #[test]
    fn a_long_name_is_shortened_between_characters() {
        let longest = format!("{}.pdf", "ü".repeat(125));
        let name = named(&longest);
        assert!(
            name.ends_with("ü.2026-11-27T211323Z.v17.pdf") && (254..=255).contains(&name.len()),
            "{name}"
        );
    }

    #[test]
    fn other_names_are_no_versions() {
        for name in ["report.pdf", "v17", ".v17", "a.v17.pdf", "2026-11-27T211323Z", "", ".", "a..v1"] {
            assert_eq!(number(name.as_bytes()), None, "{name}");
        }
        for name in ["a.2026-11-27T211323Z.17", "a.2026-11-27T211323Z.vx", "a.2026-11-27T21:13:23Z.v17.pdf"] {
            assert_eq!(number(name.as_bytes()), None, "{name}");
        }
    }

    /// A name of bytes as people's are, or with pieces that look like a version's.
    fn any_name() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            Just(b".2026-11-27T211323Z".to_vec()),
            Just(b".v17".to_vec()),
            Just(b".".to_vec()),
            "[a-zäö ]{0,90}".prop_map(String::into_bytes),
        ];
        prop::collection::vec(piece, 1..6)
            .prop_map(|pieces| pieces.concat())
            .prop_map(|name| name[..name.len().min(NAME_BYTES_MAX)].to_vec())
            .prop_filter("a name", |name| Name::new(name).is_ok())
    }

    proptest! {
        #[test]
        fn a_version_is_found_by_its_name(name in any_name(), at in any::<i64>(), version in any::<u64>()) {
            let made = of(&name, Timestamp(at), VersionId(version));
            prop_assert!(Name::new(&made).is_ok(), "{} bytes", made.len());
            prop_assert_eq!(number(&made), Some(VersionId(version)));
        }

        #[test]
        fn versions_of_one_name_are_in_order_of_time(
            name in any_name(),
            times in any::<[u32; 2]>(),
            versions in any::<[u64; 2]>(),
        ) {
            prop_assume!(times[0] < times[1]);
            let made = |which: usize| {
                let at = Timestamp(i64::from(times[which]) * 1_000_000_000);
                of(&name, at, VersionId(versions[which]))
            };
            // Unless it was shortened, to another length each.
            prop_assume!(name.len() < 200);
            prop_assert!(made(0) < made(1));
        }

        #[test]
        fn any_bytes_are_read(name in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = number(&name);
        }
    }
}
