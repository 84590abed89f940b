//! Updates: RAUC's signed bundles of the kind `verity`, of which a box reads no byte that is not signed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::build::{SLOT, VERSION};
use crate::layout::BOARD;
use crate::tool::{RAUC, ToolError};

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be read or written.
    #[error("cannot read or write {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An older result is in the way.
    #[error("{} exists already: give another --out, or remove it", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// RAUC failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// RAUC's description of an update.
pub fn manifest(board: &str, version: &str) -> String {
    format!(
        "[update]\ncompatible={board}\nversion={version}\n\n[bundle]\nformat=verity\n\n[image.system]\nfilename={SLOT}\n"
    )
}

/// Makes an update of what [`crate::build`] left in the folder `from`, signed.
///
/// # Errors
/// See [`BundleError`].
pub fn make(from: &Path, out: &Path, certificate: &Path, key: &Path) -> Result<(), BundleError> {
    let path = from.join(VERSION);
    let version = fs::read_to_string(&path).map_err(failed(&path))?;
    make_for(BOARD, version.trim(), &from.join(SLOT), out, certificate, key)
}

/// The same with any board, version and slot.
///
/// # Errors
/// See [`BundleError`].
pub fn make_for(
    board: &str,
    version: &str,
    slot: &Path,
    out: &Path,
    certificate: &Path,
    key: &Path,
) -> Result<(), BundleError> {
    fresh(out)?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = tempfile::Builder::new().prefix(".bundle-").tempdir_in(folder).map_err(failed(folder))?;
    let contents = work.path().join("contents");
    fs::create_dir(&contents).map_err(failed(&contents))?;
    let (image, description) = (contents.join(SLOT), contents.join("manifest.raucm"));
    fs::hard_link(slot, &image).or_else(|_| fs::copy(slot, &image).map(drop)).map_err(failed(slot))?;
    fs::write(&description, manifest(board, version)).map_err(failed(&description))?;
    let run = RAUC.with(["bundle"]).and(option("cert", certificate)).and(option("key", key));
    run.and(&contents).and(out).output()?;
    Ok(())
}

/// Replaces the signature of an update. Of `keyring` is who signed it so far, of `trusted` who signs it now: what boxes
/// that are to take it were built with.
///
/// # Errors
/// See [`BundleError`]; one is that nobody of `keyring` has signed it, another that `trusted` does not have the signer.
pub fn sign(
    bundle: &Path,
    keyring: &Path,
    trusted: &Path,
    out: &Path,
    certificate: &Path,
    key: &Path,
) -> Result<(), BundleError> {
    fresh(out)?;
    let run = RAUC.with(["resign"]).and(option("cert", certificate)).and(option("key", key));
    let run = run.and(option("keyring", keyring)).and(option("signing-keyring", trusted));
    run.and(bundle).and(out).output()?;
    Ok(())
}

fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

fn fresh(out: &Path) -> Result<(), BundleError> {
    if out.exists() { Err(BundleError::Exists { path: out.to_owned() }) } else { Ok(()) }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BundleError + use<> {
    let path = path.to_owned();
    move |error| BundleError::File { path, error }
}
