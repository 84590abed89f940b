//! The bill of materials, of this workspace and of packages that are installed here. PORT-19.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::buildroot::python;
use e2e::daemon::binary;
use e2e::tools::{run, run_ok};
use image::sbom::document::{Product, text};
use image::sbom::{SbomError, collect};
use serde_json::Value;

const PRODUCT: Product = Product { version: "0.1.0", time: 1_700_000_000 };
/// Some of what ./test installs: with copyright files in both ways, an epoch in the version, and a source of another
/// name.
const PACKAGES: [&str; 5] = ["busybox-static", "libc6", "linux-image-amd64", "nftables", "libssl3"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn binaries() -> [PathBuf; 2] {
    [binary("storage-port"), binary("port-failover")]
}

fn bill() -> String {
    let crates = collect::crates_of(&root(), &binaries()).unwrap();
    text(PRODUCT, &crates, &collect::installed(PACKAGES).unwrap()).unwrap()
}

/// What other people's libraries find wrong.
fn faults(bill: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bill.json");
    fs::write(&file, bill).unwrap();
    let script = format!("{}/sbom/validate.py", env!("CARGO_MANIFEST_DIR"));
    let told = run(python().to_str().unwrap(), &[&script, file.to_str().unwrap()]);
    let said = format!("{}{}", String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert_eq!(told.status.success(), said.is_empty(), "{said}");
    said
}

fn named(bill: &str) -> BTreeSet<String> {
    let bill: Value = serde_json::from_str(bill).unwrap();
    let components = bill["components"].as_array().unwrap();
    components
        .iter()
        .map(|component| {
            format!("{}-{}", component["name"].as_str().unwrap(), component["version"].as_str().unwrap())
        })
        .collect()
}

/// PORT-19.
#[test]
fn the_bill_is_cyclonedx_with_a_licence_and_a_url_for_each() {
    let bill = bill();
    assert_eq!(faults(&bill), "");
    let named = named(&bill);
    for package in PACKAGES {
        let version = run_ok("dpkg-query", &["--show", "--showformat", "${Version}", package]);
        let name = format!("{package}-{}", String::from_utf8(version).unwrap());
        assert!(named.contains(&name), "{name} is not in the bill");
    }
    // Not what is only tested or built with, nor the center.
    for absent in ["proptest-", "syn-", "cc-", "center-", "rusqlite-"] {
        let found = named.iter().find(|name| {
            name.strip_prefix(absent)
                .is_some_and(|version| version.starts_with(|digit: char| digit.is_ascii_digit()))
        });
        assert_eq!(found, None);
    }
    assert!(!bill.contains(root().to_str().unwrap()), "a path of this machine is in the bill");
}

/// PORT-19. The debugger's names in the programs tell independently of cargo what is in them.
#[test]
fn every_crate_that_shows_in_the_programs_is_in_the_bill() {
    let named = named(&bill());
    let mut shown = BTreeSet::new();
    for binary in binaries() {
        let strings =
            run_ok("grep", &["-aoE", "/registry/src/[^/]+/[A-Za-z0-9_.+-]+/", binary.to_str().unwrap()]);
        let strings = String::from_utf8(strings).unwrap();
        shown.extend(
            strings.lines().map(|path| path.trim_end_matches('/').rsplit('/').next().unwrap().to_owned()),
        );
    }
    assert!(shown.len() > 50, "only {shown:?}: were the programs built otherwise?");
    let missing: Vec<_> = shown.difference(&named).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// PORT-19.
#[test]
fn the_same_sources_give_the_same_bill() {
    assert_eq!(bill(), bill());
}

/// A program of other sources is not told as if it were of these.
#[test]
fn a_program_of_other_sources_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("storage-port");
    fs::write(&program, "/home/x/.cargo/registry/src/index-1/tokio-0.0.1/src/lib.rs").unwrap();
    let refused = collect::crates_of(&root(), &[program]);
    assert!(
        matches!(refused, Err(SbomError::Foreign { ref missing, .. }) if missing == "tokio-0.0.1"),
        "{refused:?}"
    );
    let unknown = collect::installed(["no-such-package"]).unwrap_err().to_string();
    assert!(unknown.starts_with("dpkg-query fails: ") && unknown.contains("no-such-package"), "{unknown}");
}

#[test]
fn faults_of_a_bill_are_found() {
    let bill = bill();
    let finds = |old: &str, new: &str, said: &str| {
        assert!(bill.contains(old), "no {old:?}");
        let faults = faults(&bill.replacen(old, new, 1));
        assert!(faults.contains(said), "{new:?} for {old:?}: {said:?} is not in {faults:?}");
    };
    finds("\"CycloneDX\"", "\"CycloneXD\"", "schema:");
    finds("\"expression\": \"MIT\"", "\"expression\": \"MITT\"", "SPDX has no ['MITT']");
    finds("\"purl\": \"pkg:cargo/", "\"purl\": \"pkg:cargo/x", "another package's URL");
    finds("\"bom-ref\": \"crate:bytes@", "\"bom-ref\": \"crate:bites@", "what it depends on");
    finds(
        "  \"dependencies\": [",
        "  \"dependencies\": [], \"properties\": [], \"annotations\": [",
        "schema:",
    );
}
