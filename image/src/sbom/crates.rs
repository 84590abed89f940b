//! The crates of the two binaries, as cargo tells them.
//!
//! `cargo tree` resolves features for the packages it is asked for, as a build of them does: exact where the binaries
//! were built by themselves, and with more crates where the whole workspace was built and features of all of it
//! united. It is asked for normal dependencies of the target alone: what runs on the builder (build scripts and what
//! they use, procedural macros) is not in the image.

use std::collections::{BTreeMap, BTreeSet};

use super::licence::Licence;
use super::{SbomError, escaped};

/// What `cargo tree --format` must be given: a space after the depth, and a tab before the licence.
pub const FORMAT: &str = " {p}\t{l}";

/// Name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrateId {
    /// As in `Cargo.toml`.
    pub name: String,
    /// The same.
    pub version: String,
}

impl CrateId {
    /// How it is referred to inside the document.
    pub fn reference(&self) -> String {
        format!("crate:{}@{}", self.name, self.version)
    }
}

/// A crate that is in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// What it may be used under.
    pub licence: Licence,
    /// The sha256 of its archive in the registry; none for crates of the workspace.
    pub sha256: Option<String>,
    /// What it uses.
    pub uses: BTreeSet<CrateId>,
}

impl Crate {
    /// A package URL. Crates of the workspace are not in the registry, and others there have their names: as
    /// `pkg:cargo` they would be taken for those.
    pub fn purl(&self, id: &CrateId) -> String {
        let kind = if self.sha256.is_some() { "cargo" } else { "generic/storage-port" };
        format!("pkg:{kind}/{}@{}", escaped(&id.name), escaped(&id.version))
    }
}

/// All crates, and which of them are binaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crates {
    /// Each once.
    pub all: BTreeMap<CrateId, Crate>,
    /// What cargo was asked for.
    pub roots: BTreeSet<CrateId>,
}

impl Crates {
    /// Only what these roots use.
    pub fn of(mut self, names: &[&str]) -> Self {
        self.roots.retain(|id| names.contains(&id.name.as_str()));
        let mut waiting: Vec<CrateId> = self.roots.iter().cloned().collect();
        let mut reached = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if let Some(found) = self.all.get(&id).filter(|_| !reached.contains(&id)) {
                waiting.extend(found.uses.iter().cloned());
                reached.insert(id);
            }
        }
        self.all.retain(|id, _| reached.contains(id));
        self
    }
}

/// Reads what `cargo tree --prefix depth --format FORMAT` says, and takes checksums from `Cargo.lock`.
///
/// # Errors
/// A line that is none of its, a crate that the lock file does not have, or one without a licence.
pub fn crates(tree: &str, lock: &str) -> Result<Crates, SbomError> {
    let checksums = checksums(lock);
    let mut all: BTreeMap<CrateId, Crate> = BTreeMap::new();
    let mut roots = BTreeSet::new();
    // Whose dependency the next deeper line is.
    let mut above: Vec<CrateId> = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let strange =
            || SbomError::Strange { what: "what `cargo tree` says", why: format!("the line {line:?}") };
        let (depth, rest) = line.split_once(' ').ok_or_else(strange)?;
        let depth: usize = depth.parse().map_err(|_| strange())?;
        let (package, licence) = rest.split_once('\t').ok_or_else(strange)?;
        let mut words = package.split(' ');
        let (name, version) = words.next().zip(words.next()).ok_or_else(strange)?;
        let version = version.strip_prefix('v').ok_or_else(strange)?;
        let id = CrateId { name: name.to_owned(), version: version.to_owned() };
        let checksum = checksums.get(&(name, version)).ok_or_else(|| SbomError::Strange {
            what: "Cargo.lock",
            why: format!("it has no {name} {version}"),
        })?;

        // A crate that was told before has this behind it.
        let licence = licence.trim_end().trim_end_matches("(*)");
        let licence =
            Licence::of_crate(licence).ok_or_else(|| SbomError::Unlicensed(format!("{name} {version}")))?;
        let sha256 = checksum.map(str::to_owned);
        all.entry(id.clone()).or_insert_with(|| Crate { licence, sha256, uses: BTreeSet::new() });

        if depth > above.len() {
            return Err(strange());
        }
        above.truncate(depth);
        match above.last() {
            None => {
                roots.insert(id.clone());
            }
            Some(user) => {
                if let Some(user) = all.get_mut(user) {
                    user.uses.insert(id.clone());
                }
            }
        }
        above.push(id);
    }
    if roots.is_empty() {
        return Err(SbomError::Strange {
            what: "what `cargo tree` says",
            why: "it names no crate".to_owned(),
        });
    }
    Ok(Crates { all, roots })
}

/// Of each package in a lock file its checksum, which those of the workspace do not have.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), Option<&str>> {
    let value = |block: &'_ str, key: &str| -> Option<usize> { block.find(&format!("\n{key} = \"")) };
    let mut checksums = BTreeMap::new();
    for block in lock.split("[[package]]").skip(1) {
        let text = |key: &str| {
            let start = value(block, key)? + key.len() + 5;
            let rest = &block[start..];
            rest.find('"').map(|end| &rest[..end])
        };
        if let (Some(name), Some(version)) = (text("name"), text("version")) {
            checksums.insert((name, version), text("checksum"));
        }
    }
    checksums
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n\
        [[package]]\nname = \"own\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n\n\
        [[package]]\nname = \"a\"\nversion = \"1.2.3+x\"\nsource = \"registry\"\nchecksum = \"aa\"\n\n\
        [[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"registry\"\nchecksum = \"bb\"\n";

    fn id(name: &str, version: &str) -> CrateId {
        CrateId { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn crates_and_who_uses_them_are_read() {
        let tree = "0 own v0.1.0 (/somewhere/own)\tMIT OR Apache-2.0\n1 a v1.2.3+x\tMIT/Apache-2.0\n2 b v2.0.0\tISC\n\
            1 b v2.0.0\tISC\n\n0 a v1.2.3+x\tMIT/Apache-2.0 (*)\n";
        let crates = crates(tree, LOCK).unwrap();
        assert_eq!(crates.roots, [id("a", "1.2.3+x"), id("own", "0.1.0")].into());
        let own = &crates.all[&id("own", "0.1.0")];
        assert_eq!(own.uses, [id("a", "1.2.3+x"), id("b", "2.0.0")].into());
        assert_eq!(
            (own.sha256.as_deref(), own.purl(&id("own", "0.1.0")).as_str()),
            (None, "pkg:generic/storage-port/own@0.1.0")
        );
        let a = &crates.all[&id("a", "1.2.3+x")];
        assert_eq!(a.uses, [id("b", "2.0.0")].into());
        assert_eq!(a.licence, Licence::Expression("MIT OR Apache-2.0".to_owned()));
        assert_eq!(
            (a.sha256.as_deref(), a.purl(&id("a", "1.2.3+x")).as_str()),
            (Some("aa"), "pkg:cargo/a@1.2.3%2Bx")
        );
        assert_eq!(crates.all.len(), 3);
    }

    #[test]
    fn what_other_roots_use_can_be_left_out() {
        let tree = "0 own v0.1.0\tMIT\n1 a v1.2.3+x\tMIT\n\n0 a v1.2.3+x\tMIT (*)\n\n0 b v2.0.0\tISC\n";
        let crates = crates(tree, LOCK).unwrap().of(&["own"]);
        assert_eq!(crates.roots, [id("own", "0.1.0")].into());
        assert_eq!(crates.all.into_keys().collect::<Vec<_>>(), [id("a", "1.2.3+x"), id("own", "0.1.0")]);
    }

    #[test]
    fn a_crate_without_licence_or_lock_is_a_fault() {
        let faults = [
            ("0 b v2.0.0\t\n", "the crate b 2.0.0 names no licence"),
            ("0 b v2.0.0\t (*)\n", "the crate b 2.0.0 names no licence"),
            ("0 b v3.0.0\tISC\n", "Cargo.lock cannot be understood: it has no b 3.0.0"),
            ("1 b v2.0.0\tISC\n", "what `cargo tree` says cannot be understood"),
            ("b v2.0.0\tISC\n", "what `cargo tree` says cannot be understood"),
            ("", "it names no crate"),
        ];
        for (tree, said) in faults {
            let error = crates(tree, LOCK).unwrap_err().to_string();
            assert!(error.contains(said), "{tree:?}: {error}");
        }
    }
}
