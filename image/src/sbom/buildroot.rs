//! Packages of a root file system that Buildroot has made, from its `make show-info`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::licence::Licence;
use super::{Package, SbomError, escaped};

/// What is of use of an entry of `show-info`.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "virtual", default)]
    is_virtual: bool,
    version: Option<String>,
    licenses: Option<String>,
    #[serde(default)]
    install_target: bool,
    #[serde(rename = "cpe-id")]
    cpe: Option<String>,
}

/// All packages that put something into the target, but the storage port itself, which is told by its crates.
///
/// # Errors
/// A text that is not `show-info`'s.
pub fn packages(show_info: &str) -> Result<Vec<Package>, SbomError> {
    let entries: BTreeMap<String, Entry> = serde_json::from_str(show_info).map_err(|error| {
        SbomError::Strange { what: "what Buildroot's show-info says", why: error.to_string() }
    })?;
    let mut packages = Vec::new();
    for (name, entry) in entries {
        let is_in_image =
            entry.kind == "target" && !entry.is_virtual && entry.install_target && name != "storage-port";
        // What has no version is only configuration: skeletons and the like.
        let Some(version) = entry.version.filter(|version| is_in_image && !version.is_empty()) else {
            continue;
        };
        packages.push(Package {
            purl: format!("pkg:generic/{}@{}", escaped(&name), escaped(&version)),
            name,
            cpe: entry.cpe,
            licence: Licence::of_buildroot(&entry.licenses.unwrap_or_default()),
            version,
        });
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_target_is_told_and_nothing_else() {
        let info = r#"{
            "busybox": {"type": "target", "virtual": false, "version": "1.38.0", "licenses": "GPL-2.0, bzip2-1.0.4",
                "install_target": true, "cpe-id": "cpe:2.3:a:busybox:busybox:1.38.0:*:*:*:*:*:*:*"},
            "host-busybox": {"type": "host", "virtual": false, "version": "1", "licenses": "GPL-2.0"},
            "linux": {"type": "target", "virtual": false, "version": "6.12.96", "licenses": "GPL-2.0", "install_target": true},
            "skeleton": {"type": "target", "virtual": false, "version": null, "licenses": null, "install_target": true},
            "linux-headers": {"type": "target", "virtual": false, "version": "6.12.96", "install_target": false},
            "openssl": {"type": "target", "virtual": true, "install_target": true},
            "rootfs-tar": {"type": "rootfs"},
            "storage-port": {"type": "target", "virtual": false, "version": "abc", "install_target": true}
        }"#;
        let packages = packages(info).unwrap();
        let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["busybox", "linux"]);
        assert_eq!(packages[0].purl, "pkg:generic/busybox@1.38.0");
        assert_eq!(packages[0].cpe.as_deref(), Some("cpe:2.3:a:busybox:busybox:1.38.0:*:*:*:*:*:*:*"));
        assert_eq!(packages[0].licence, Licence::Named(vec!["GPL-2.0".to_owned(), "bzip2-1.0.4".to_owned()]));
    }

    #[test]
    fn another_text_is_a_fault() {
        assert!(
            packages("make: *** No rule")
                .unwrap_err()
                .to_string()
                .starts_with("what Buildroot's show-info says")
        );
    }
}
