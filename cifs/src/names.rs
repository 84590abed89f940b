//! Names in SMB: which can be shown, and which are one name for its clients. Pure.

use smb_server::SmbPath;

/// The name of an entry as clients see it; `None` if SMB cannot carry it (MS-FSCC 2.1.5.2).
pub(crate) fn shown(name: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(name).ok()?;
    let path: SmbPath = name.parse().ok()?;
    // A separator makes two names of it, `.` none.
    (path.components().len() == 1 && path.file_name() == Some(name)).then_some(name)
}

/// Whether two names differ in the case of their letters at most, as the server compares them too.
pub(crate) fn same(a: &str, b: &str) -> bool {
    let lower = |name: &str| name.chars().flat_map(char::to_lowercase).collect::<Vec<_>>();
    a == b || (a.is_ascii() && b.is_ascii() && a.eq_ignore_ascii_case(b)) || lower(a) == lower(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_smb_cannot_carry_are_not_shown() {
        let longest = "n".repeat(255);
        for good in ["a", "CON", "a.b", " a ", "…", "日本", "🦀", ".hidden", &longest] {
            assert_eq!(shown(good.as_bytes()), Some(good));
        }
        let long = "n".repeat(256);
        for bad in
            ["", ".", "..", "a/b", "/a", "\\a", "a\\b", "a:b", "a*", "?", "<", ">", "\"", "|", "\u{1}", &long]
        {
            assert_eq!(shown(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(shown(b"\xff"), None);
    }

    #[test]
    fn letters_are_the_same_in_either_case() {
        assert!(same("Read Me.TXT", "read me.txt") && same("ÄÖÜ", "äöü") && same("ДА", "да"));
        assert!(!same("a", "b") && !same("a", "a ") && !same("resume", "résumé"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_a_path_of_one_name(name in ".{0,40}") {
            if let Some(shown) = shown(name.as_bytes()) {
                let path: SmbPath = shown.parse().unwrap();
                prop_assert_eq!(path.components(), [name.clone()]);
            }
        }

        #[test]
        fn case_is_no_difference(name in "\\PC{0,40}") {
            prop_assert!(same(&name, &name));
            prop_assert!(same(&name.to_ascii_uppercase(), &name));
        }
    }
}
