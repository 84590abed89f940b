//! Debian's packages.

use super::licence::Licence;
use super::{Package, SbomError, escaped};

/// What `dpkg-query --show --showformat` must be given.
pub const FORMAT: &str = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n";

/// A package, from a line of `dpkg-query` and the text of its copyright file. `release` is Debian's, such as `12`.
///
/// # Errors
/// A line that is none of its.
pub fn package(line: &str, copyright: &str, release: &str) -> Result<Package, SbomError> {
    let strange = || SbomError::Strange { what: "what `dpkg-query` says", why: format!("the line {line:?}") };
    let fields: Vec<&str> = line.trim_end_matches('\n').split('\t').collect();
    let [name, version, architecture, source, source_version] = fields[..] else { return Err(strange()) };
    if fields.iter().any(|field| field.is_empty()) {
        return Err(strange());
    }
    // Where binary and source have one name and version it goes without saying.
    let upstream = match (source == name, source_version == version) {
        (true, true) => String::new(),
        (_, true) => format!("&upstream={}", escaped(source)),
        (_, false) => format!("&upstream={}", escaped(&format!("{source}@{source_version}"))),
    };
    Ok(Package {
        name: name.to_owned(),
        version: version.to_owned(),
        purl: format!(
            "pkg:deb/debian/{}@{}?arch={}&distro=debian-{}{upstream}",
            escaped(name),
            escaped(version),
            escaped(architecture),
            escaped(release),
        ),
        cpe: None,
        licence: Licence::of_debian(copyright),
    })
}

/// The release in a text such as `/etc/os-release`.
pub fn release(os_release: &str) -> Option<&str> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_ID="))?;
    Some(value.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_url_leads_to_the_source() {
        let line = "busybox-static\t1:1.35.0-4+deb12u1+b1\tamd64\tbusybox\t1:1.35.0-4+deb12u1\n";
        let busybox = package(line, "common-licenses/GPL-2", "12").unwrap();
        assert_eq!(
            busybox.purl,
            "pkg:deb/debian/busybox-static@1%3A1.35.0-4%2Bdeb12u1%2Bb1?arch=amd64&distro=debian-12\
             &upstream=busybox%401%3A1.35.0-4%2Bdeb12u1"
        );
        assert_eq!(busybox.licence, Licence::Named(vec!["GPL-2".to_owned()]));
        let nftables = package("nftables\t1.0.6-2\tamd64\tnftables\t1.0.6-2\n", "", "12").unwrap();
        assert_eq!(nftables.purl, "pkg:deb/debian/nftables@1.0.6-2?arch=amd64&distro=debian-12");
    }

    #[test]
    fn another_line_is_a_fault() {
        for line in ["", "a\tb\n", "a\t\tamd64\ta\t1\n", "a\t1\tamd64\ta\t1\tmore\n"] {
            assert!(package(line, "", "12").is_err(), "{line:?}");
        }
    }

    #[test]
    fn the_release_is_found() {
        assert_eq!(release("NAME=\"Debian\"\nVERSION_ID=\"12\"\n"), Some("12"));
        assert_eq!(release("NAME=\"Debian\"\n"), None);
    }
}
