//! The bill of materials: every crate and every package that is in the image, with version, licence and where it is
//! from.
//!
//! - [`crates`] reads what `cargo tree` says of the two binaries, and checksums from `Cargo.lock`; pure.
//! - [`evidence`] finds in a program which crates it has, so that a program of another build is told; pure.
//! - [`debian`] reads what dpkg says of a package; pure.
//! - [`buildroot`] reads Buildroot's `make show-info`; pure.
//! - [`licence`] makes SPDX expressions of what each of them writes; pure.
//! - [`document`] puts it together as CycloneDX 1.6; pure.
//! - [`collect`] asks cargo and dpkg, and reads copyright files.
//!
//! The same input gives the same bytes: no serial number, no path of this machine, and as time `SOURCE_DATE_EPOCH`.
//! Nothing is asked over a network.

pub mod buildroot;
pub mod collect;
pub mod crates;
pub mod debian;
pub mod document;
pub mod evidence;
pub mod licence;

use licence::Licence;

/// A package that is in the image, whoever has made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name there.
    pub name: String,
    /// Its version there.
    pub version: String,
    /// A package URL: what scanners of vulnerabilities look for.
    pub purl: String,
    /// The name that the national vulnerability database has for it, where the packager says so.
    pub cpe: Option<String>,
    /// What it may be used under.
    pub licence: Licence,
}

/// Why there is no bill of materials.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// A program cannot be run.
    #[error("cannot run {program}: {error}; it is in Debian's package {package}")]
    Unrun {
        /// The program.
        program: &'static str,
        /// Whose it is.
        package: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// A program fails.
    #[error("{program} fails: {said}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Its last line.
        said: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unread {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Something that was read is not what it should be.
    #[error("{what} cannot be understood: {why}")]
    Strange {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A crate says nothing of its licence.
    #[error("the crate {0} names no licence: ask its author, or do without it")]
    Unlicensed(String),
    /// A program was made of other sources.
    #[error(
        "{program} has the crate {missing}, which these sources do not give it: build the program anew from them"
    )]
    Foreign {
        /// The program.
        program: String,
        /// `<name>-<version>`.
        missing: String,
    },
    /// A time before 1970 or too far in the future.
    #[error("SOURCE_DATE_EPOCH {0} is no time")]
    Time(i64),
}

/// A part of a package URL, escaped as its specification wants it.
fn escaped(part: &str) -> String {
    let mut escaped = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_in_a_url_is_escaped() {
        assert_eq!(escaped("1:1.35.0-4+deb12u1~b1"), "1%3A1.35.0-4%2Bdeb12u1~b1");
        assert_eq!(escaped("ü/@"), "%C3%BC%2F%40");
    }
}
