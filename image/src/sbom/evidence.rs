//! Which crates a program is surely made of: where it would panic, it has the path of the source, and in the path of
//! Cargo's registry stand the crate's name and version. Not every crate can panic, so this says who must be in the
//! bill, not who need not.

use std::collections::BTreeSet;

use super::crates::{CrateId, Crates};

/// `…/registry/src/<host>-<hash>/<name>-<version>/…`
const REGISTRY: &[u8] = b"/registry/src/";
/// Longer than any name with its version.
const NAME_MAX: usize = 200;

/// Names of crates with their versions, as `<name>-<version>`.
pub fn crates_in(program: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = program;
    while let Some(at) = rest.windows(REGISTRY.len()).position(|window| window == REGISTRY) {
        rest = &rest[at + REGISTRY.len()..];
        let path = &rest[..rest.len().min(2 * NAME_MAX)];
        let mut parts = path.splitn(3, |byte| *byte == b'/');
        let (Some(index), Some(name), Some(_)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if index.is_empty() || name.len() > NAME_MAX {
            continue;
        }
        if let Ok(name) = std::str::from_utf8(name)
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
        {
            found.insert(name.to_owned());
        }
    }
    found
}

/// One of these that is not among the crates.
pub fn missing<'a>(found: &'a BTreeSet<String>, crates: &Crates) -> Option<&'a str> {
    let known: BTreeSet<String> =
        crates.all.keys().map(|CrateId { name, version }| format!("{name}-{version}")).collect();
    found.iter().find(|name| !known.contains(*name)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_registry_are_found_among_other_bytes() {
        let program = b"\x00\xff/home/x/.cargo/registry/src/index.example-1949cf8c6b5b557f/tokio-1.47.1/src/task.rs\
            /r/registry/src/i/ring-0.17.14/src/lib.rs\x00/registry/src//registry/src/i/\xff\xfe/x/registry/src/end";
        let found: Vec<String> = crates_in(program).into_iter().collect();
        assert_eq!(found, ["ring-0.17.14", "tokio-1.47.1"]);
        assert!(crates_in(b"").is_empty());
    }

    #[test]
    fn a_crate_that_is_not_told_is_found() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n";
        let crates = super::super::crates::crates("0 a v1.0.0\tISC\n", lock).unwrap();
        assert_eq!(missing(&["a-1.0.0".to_owned()].into(), &crates), None);
        assert_eq!(missing(&["a-1.0.0".to_owned(), "b-1.0.0".to_owned()].into(), &crates), Some("b-1.0.0"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_searched(program in proptest::collection::vec(0_u8.., 0..400)) {
            let _ = crates_in(&[REGISTRY, &program[..], REGISTRY, b"i/", &program[..]].concat());
        }
    }
}
