//! The document: CycloneDX 1.6.
//!
//! The fields of each object are in the order of the structures here, and everything that is a set is sorted, so the
//! text is the same whatever order things were found in.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::crates::Crates;
use super::licence::Licence;
use super::{Package, SbomError};

/// What the bill is of.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// The firmware's version.
    pub version: &'a str,
    /// `SOURCE_DATE_EPOCH`.
    pub time: i64,
}

const FIRMWARE: &str = "storage-port-firmware";

#[derive(Serialize)]
struct Bill<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    #[serde(rename = "bomFormat")]
    format: &'static str,
    #[serde(rename = "specVersion")]
    spec_version: &'static str,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    timestamp: String,
    lifecycles: [Lifecycle; 1],
    tools: Tools,
    component: Component<'a>,
}

#[derive(Serialize)]
struct Lifecycle {
    phase: &'static str,
}

#[derive(Serialize)]
struct Tools {
    components: [Tool; 1],
}

#[derive(Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Component<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash<'a>>,
    licenses: Vec<LicenceChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
}

#[derive(Serialize)]
struct Hash<'a> {
    alg: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum LicenceChoice<'a> {
    Expression(&'a str),
    License(NamedLicence<'a>),
}

#[derive(Serialize)]
struct NamedLicence<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(rename = "dependsOn", skip_serializing_if = "BTreeSet::is_empty")]
    uses: BTreeSet<String>,
}

/// The text of the document, ending with a line feed.
///
/// # Errors
/// [`SbomError::Time`].
pub fn text(product: Product, crates: &Crates, packages: &[Package]) -> Result<String, SbomError> {
    let timestamp = jiff::Timestamp::from_second(product.time).map_err(|_| SbomError::Time(product.time))?;
    let mut components = BTreeMap::new();
    let mut dependencies = BTreeMap::new();
    let mut parts: BTreeSet<String> = crates.roots.iter().map(super::crates::CrateId::reference).collect();
    for (id, found) in &crates.all {
        let reference = id.reference();
        let uses: BTreeSet<String> = found.uses.iter().map(super::crates::CrateId::reference).collect();
        dependencies.insert(reference.clone(), uses);
        let component = Component {
            kind: if crates.roots.contains(id) { "application" } else { "library" },
            reference: reference.clone(),
            name: &id.name,
            version: &id.version,
            hashes: found.sha256.iter().map(|content| Hash { alg: "SHA-256", content }).collect(),
            licenses: choices(&found.licence),
            cpe: None,
            purl: Some(found.purl(id)),
        };
        components.insert(reference, component);
    }
    for package in packages {
        let reference = format!("package:{}@{}", package.name, package.version);
        parts.insert(reference.clone());
        dependencies.insert(reference.clone(), BTreeSet::new());
        let component = Component {
            kind: "library",
            reference: reference.clone(),
            name: &package.name,
            version: &package.version,
            hashes: Vec::new(),
            licenses: choices(&package.licence),
            cpe: package.cpe.as_deref(),
            purl: Some(package.purl.clone()),
        };
        components.insert(reference, component);
    }
    dependencies.insert(FIRMWARE.to_owned(), parts);
    let bill = Bill {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        format: "CycloneDX",
        spec_version: "1.6",
        version: 1,
        metadata: Metadata {
            timestamp: timestamp.to_string(),
            lifecycles: [Lifecycle { phase: "build" }],
            tools: Tools {
                components: [Tool {
                    kind: "application",
                    name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                }],
            },
            component: Component {
                kind: "firmware",
                reference: FIRMWARE.to_owned(),
                name: "storage-port",
                version: product.version,
                hashes: Vec::new(),
                licenses: vec![LicenceChoice::Expression(env!("CARGO_PKG_LICENSE"))],
                cpe: None,
                purl: None,
            },
        },
        components: components.into_values().collect(),
        dependencies: dependencies
            .into_iter()
            .map(|(reference, uses)| Dependency { reference, uses })
            .collect(),
    };
    let text = serde_json::to_string_pretty(&bill)
        .map_err(|error| SbomError::Strange { what: "the document", why: error.to_string() })?;
    Ok(text + "\n")
}

fn choices(licence: &Licence) -> Vec<LicenceChoice<'_>> {
    match licence {
        Licence::Expression(expression) => vec![LicenceChoice::Expression(expression)],
        Licence::Named(names) => {
            names.iter().map(|name| LicenceChoice::License(NamedLicence { name })).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::crates::crates;

    fn package(name: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: "1".to_owned(),
            purl: format!("pkg:generic/{name}@1"),
            cpe: None,
            licence: Licence::Named(vec!["GPL-2".to_owned()]),
        }
    }

    #[test]
    fn order_does_not_matter_and_no_time_but_the_given_one_is_in_it() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\n";
        let there = crates("0 a v1.0.0\tISC\n1 b v1.0.0\tISC\n\n0 b v1.0.0\tISC\n", lock).unwrap();
        let back = crates("0 b v1.0.0\tISC\n\n0 a v1.0.0\tISC\n1 b v1.0.0\tISC\n", lock).unwrap();
        let product = Product { version: "0.1.0", time: 1_700_000_000 };
        let one = text(product, &there, &[package("x"), package("y"), package("x")]).unwrap();
        let two = text(product, &back, &[package("y"), package("x")]).unwrap();
        assert_eq!(one, two);
        assert!(one.contains("\"timestamp\": \"2023-11-14T22:13:20Z\""), "{one}");
        assert!(!one.contains("serialNumber"));
        let other = text(Product { time: 0, ..product }, &there, &[]).unwrap();
        assert!(other.contains("\"timestamp\": \"1970-01-01T00:00:00Z\""), "{other}");
        let never = Product { time: i64::MAX, ..product };
        assert!(matches!(text(never, &there, &[]), Err(SbomError::Time(i64::MAX))));
    }
}
