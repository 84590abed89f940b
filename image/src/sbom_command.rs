//! `image sbom`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use image::build::{ORIGINS, VERSION};
use image::sbom::document::{self, Product};
use image::sbom::{SbomError, collect};

/// The bill of materials, beside the image.
const BILL: &str = "sbom.cdx.json";

#[derive(Args)]
pub struct Sbom {
    /// The folder that `build` was given as --out; the bill comes there.
    #[arg(long)]
    from: PathBuf,
    /// The folder with storage-port and port-failover, as they went into the image.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// The sources that they were built of.
    #[arg(long, default_value = ".")]
    sources: PathBuf,
    /// What Buildroot's `make show-info` says of a root file system of its own.
    #[arg(long)]
    show_info: Option<PathBuf>,
    /// Seconds since 1970, which the bill says it is of; by default the time of the commit.
    #[arg(long, env = "SOURCE_DATE_EPOCH")]
    pub time: Option<u64>,
}

/// Why there is no bill.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file of the image cannot be read or written.
    #[error("cannot read or write {}: {error}; say with --from where the image is", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is in the image cannot be told.
    #[error(transparent)]
    Sbom(#[from] SbomError),
}

/// Writes it, or leaves the one that was there.
pub fn run(arguments: &Sbom, time: u64) -> Result<PathBuf, Failure> {
    let Sbom { from, binaries, sources, show_info, .. } = arguments;
    let programs = ["storage-port", "port-failover"].map(|program| binaries.join(program));
    let crates = collect::crates_of(sources, &programs)?;
    let packages = match show_info {
        Some(show_info) => collect::of_buildroot(show_info)?,
        None => {
            let origins = read(&from.join(ORIGINS))?;
            let names: BTreeSet<&str> = origins.lines().filter_map(|line| line.split('\t').nth(1)).collect();
            collect::installed(names)?
        }
    };
    let version = read(&from.join(VERSION))?;
    let product = Product { version: version.trim(), time: time.try_into().unwrap_or(i64::MAX) };
    let text = document::text(product, &crates, &packages)?;
    let bill = from.join(BILL);
    write(&bill, &text).map_err(|error| Failure::File { path: bill.clone(), error })?;
    Ok(bill)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::File { path: path.to_owned(), error })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Whoever has the image may read it.
    let mode = fs::Permissions::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
