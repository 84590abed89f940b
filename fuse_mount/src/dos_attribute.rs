//! What CIFS clients say of an object beside what UNIX knows of it, as Samba asks for it and sets it: an extended attribute
//! with `xattr_DOSATTRIB` of Samba's `xattr.idl`. Pure.
//!
//! It is made of the object's attributes when it is read, and taken to pieces when it is set: what one front end is told
//! is what the others show. Numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..2 | an empty text, and filling |
//! | 2..4 | version |
//! | 4..8 | version again, and filling |
//! | 8..12 | which of the rest are said: 1 attributes, 0x10 the time of birth |
//! | 12..16 | attributes (MS-FSCC 2.6) |
//! | in version 5: 16..24 | time of birth (MS-DTYP 2.3.3) |
//! | in version 4: 16..32 | the same after eight bytes of which nothing is taken |
//! | in version 3: 16..52 | the same after twenty bytes of which nothing is taken, and eight more |

use nfs::filesystem::{Attributes, Marks, SetAttributes, SetTime};
use nfs::windows::{filetime, is_read_only, nobody_writes, time};

/// The attribute's name.
pub const NAME: &[u8] = b"user.DOSATTRIB";
/// Bytes of a value that is read.
pub const BYTES: usize = 24;
const VERSION: u16 = 5;
const HAS_ATTRIBUTES: u32 = 0x1;
const HAS_BIRTH: u32 = 0x10;

/// The value for an object of these attributes.
pub fn value(attributes: &Attributes) -> [u8; BYTES] {
    let read_only = if is_read_only(attributes) { Marks::READ_ONLY } else { 0 };
    let mut value = [0; BYTES];
    value[2..4].copy_from_slice(&VERSION.to_le_bytes());
    value[4..6].copy_from_slice(&VERSION.to_le_bytes());
    value[8..12].copy_from_slice(&(HAS_ATTRIBUTES | HAS_BIRTH).to_le_bytes());
    value[12..16].copy_from_slice(&(attributes.marks.bits() | read_only).to_le_bytes());
    value[16..24].copy_from_slice(&filetime(attributes.born).to_le_bytes());
    value
}

/// What is to be set of an object whose attributes are `now`, that it gets this value: nothing of what it has already.
/// `None` for what is no such value.
pub fn set(value: &[u8], now: &Attributes) -> Option<SetAttributes> {
    let version = u16::from_le_bytes(*value.get(2..4)?.as_array()?);
    let birth = match version {
        5 => 16,
        4 => 24,
        3 => 36,
        _ => return None,
    };
    let said = u32::from_le_bytes(*value.get(8..12)?.as_array()?);
    let mut set = SetAttributes::default();
    if said & HAS_ATTRIBUTES != 0 {
        let mut bits = u32::from_le_bytes(*value.get(12..16)?.as_array()?);
        // What is read-only by its mode is told so without a mark, and gets none by being told it back.
        if nobody_writes(now) {
            bits = bits & !Marks::READ_ONLY | now.marks.bits() & Marks::READ_ONLY;
        }
        set.marks = Some(Marks::new(bits)).filter(|marks| *marks != now.marks);
    }
    if said & HAS_BIRTH != 0 {
        let born = u64::from_le_bytes(*value.get(birth..birth + 8)?.as_array()?);
        if born != filetime(now.born) && born != guess(now) {
            set.born = SetTime::To(time(born));
        }
    }
    Some(set)
}

/// What Samba takes for the time of birth where it was told none: it says so of whatever it makes.
fn guess(now: &Attributes) -> u64 {
    filetime(now.accessed.min(now.modified).min(now.changed))
}

#[cfg(test)]
mod tests {
    use nfs::filesystem::{FileKind, Time};
    use proptest::prelude::*;

    use super::*;

    const BORN: Time = Time { seconds: 1_700_000_000, nanos: 123_456_700 };

    fn file(mode: u32, marks: u32) -> Attributes {
        let late = Time { seconds: BORN.seconds + 9, nanos: 0 };
        Attributes {
            kind: FileKind::Regular,
            mode,
            links: 1,
            uid: 1,
            gid: 1,
            size: 0,
            used: 0,
            fsid: 1,
            fileid: 2,
            accessed: Time { seconds: BORN.seconds - 1, nanos: 0 },
            modified: late,
            changed: late,
            born: BORN,
            marks: Marks::new(marks),
        }
    }

    /// As Samba 4.x writes them: PORT-11.
    #[test]
    fn what_samba_writes_is_read() {
        let now = file(0o644, Marks::ARCHIVE);
        let born = 132_000_000_000_000_000_u64;
        let head = |version: u8| [0, 0, version, 0, version, 0, 0, 0, 0x11, 0, 0, 0, 0x23, 0, 0, 0];
        let set_of = |rest: &[u8], version| set(&[&head(version), rest].concat(), &now);
        let expected = SetAttributes {
            marks: Some(Marks::new(Marks::ARCHIVE | Marks::HIDDEN | Marks::READ_ONLY)),
            born: SetTime::To(time(born)),
            ..SetAttributes::default()
        };
        let born = born.to_le_bytes();
        assert_eq!(set_of(&born, 5), Some(expected.clone()));
        assert_eq!(set_of(&[&[9; 8][..], &born].concat(), 4), Some(expected.clone()));
        assert_eq!(set_of(&[&[9; 20][..], &born, &[9; 8]].concat(), 3), Some(expected));
        for (rest, version) in [(&born[..7], 5), (&born, 4), (&born, 2), (&born, 6)] {
            assert_eq!(set_of(rest, version), None);
        }
    }

    #[test]
    fn what_is_so_already_is_not_set() {
        for now in [file(0o644, Marks::ARCHIVE), file(0o444, Marks::HIDDEN), file(0o755, 0)] {
            assert_eq!(set(&value(&now), &now), Some(SetAttributes::default()));
            // Samba's own guess says nothing.
            let guessed = Attributes { born: now.accessed, ..now.clone() };
            assert_eq!(set(&value(&guessed), &now), Some(SetAttributes::default()));
        }
    }

    /// A mark would stay when the mode has changed.
    #[test]
    fn what_nobody_may_write_gets_no_mark_for_it() {
        let now = file(0o444, Marks::HIDDEN);
        let mut value = value(&now);
        assert_eq!(value[12], 0x3);
        value[12] = 0x5;
        let set = set(&value, &now).unwrap();
        assert_eq!((set.marks, set.mode), (Some(Marks::new(Marks::SYSTEM)), None));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = set(&bytes, &file(0o644, 0));
        }
    }
}
