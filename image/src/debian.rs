//! The fallback's root file system: programs, libraries and modules of the Debian packages that are installed where the
//! image is built.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::closure::{ClosureError, Files, closure};
use crate::modules::{self, Lists, NoModule};
use crate::packages::{LIBRARY_FOLDERS, PACKAGES};
use crate::tool::{DPKG_QUERY, ToolError};
use crate::tree::Tree;

/// Where dpkg keeps which files a package has.
const FILE_LISTS: &str = "/var/lib/dpkg/info";

/// Why the packages do not make a root file system.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// A program is not there.
    #[error("cannot read {}: {error}; install Debian's package {package}", path.display())]
    Program {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        error: io::Error,
        /// Whose it is.
        package: String,
    },
    /// A library is not there.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// The kernel lacks something.
    #[error(transparent)]
    Modules(#[from] NoModule),
    /// There is no kernel.
    #[error("no kernel in {}: install Debian's package linux-image-amd64", folder.display())]
    NoKernel {
        /// Where.
        folder: PathBuf,
    },
    /// A file is nobody's.
    #[error("{path} belongs to no Debian package; the image must tell whose its files are")]
    Nobodys {
        /// Which.
        path: String,
    },
    /// dpkg does not answer.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

/// A file of the image that came from a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Where it is in the image.
    pub path: String,
    /// Its package.
    pub package: String,
    /// The package's version.
    pub version: String,
}

/// A kernel that is installed.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its image.
    pub image: PathBuf,
    /// Its release, such as `6.1.0-56-amd64`.
    pub release: String,
}

impl Kernel {
    /// The newest of those in `/boot` that is no cloud or real-time one.
    ///
    /// # Errors
    /// There is none.
    pub fn newest() -> Result<Self, DebianError> {
        let folder = PathBuf::from("/boot");
        let found = fs::read_dir(&folder).into_iter().flatten().flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let release = name.strip_prefix("vmlinuz-")?.to_owned();
            let is_plain = release.ends_with("-amd64") && !release.contains("cloud") && !release.contains("-rt-");
            is_plain.then(|| (version_key(&release), Self { image: entry.path(), release }))
        });
        let newest = found.max_by(|(one, _), (other, _)| one.cmp(other));
        newest.map(|(_, kernel)| kernel).ok_or(DebianError::NoKernel { folder })
    }

    fn modules(&self) -> PathBuf {
        Path::new("/lib/modules").join(&self.release)
    }
}

/// Numbers of a release compare as numbers.
fn version_key(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

/// The machine's own files.
struct Host;

impl Files for Host {
    fn contents(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(path).ok()
    }
}

/// Puts the packages' programs into the tree, `own` (path and contents) beside them, and all libraries.
///
/// # Errors
/// See [`DebianError`].
pub fn programs(tree: &mut Tree, own: &[(&str, Vec<u8>)]) -> Result<Vec<Origin>, DebianError> {
    let mut programs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for taken in PACKAGES {
        for &path in taken.programs {
            let contents = fs::read(path).map_err(|error| DebianError::Program {
                path: path.into(),
                error,
                package: taken.package.to_owned(),
            })?;
            programs.insert(path.to_owned(), contents);
        }
    }
    let mut paths: Vec<String> = programs.keys().cloned().collect();
    programs.extend(own.iter().map(|(path, contents)| ((*path).to_owned(), contents.clone())));
    let libraries = closure(&programs, &Host, &LIBRARY_FOLDERS)?;
    paths.extend(libraries.keys().cloned());
    for (path, contents) in programs.into_iter().chain(libraries) {
        tree.file(&path, 0o755, contents);
    }
    origins(&paths)
}

/// Links to BusyBox for all that nobody else has put there.
///
/// # Errors
/// It does not run.
pub fn applets(tree: &mut Tree) -> Result<(), DebianError> {
    const BUSYBOX: crate::tool::Tool = crate::tool::Tool { program: "/bin/busybox", package: "busybox-static" };
    for path in BUSYBOX.with(["--list-full"]).text()?.lines().filter(|path| !path.is_empty()) {
        let path = path.trim_start_matches("usr/");
        let name = path.rsplit('/').next().unwrap_or(path);
        // Another package's program comes first, wherever it lies.
        let taken = ["usr/bin", "usr/sbin"].iter().any(|folder| tree.get(&format!("{folder}/{name}")).is_some());
        if !taken && path.contains("bin/") {
            let up = if path.starts_with("sbin/") { "../bin/busybox" } else { "busybox" };
            tree.link(path, up);
        }
    }
    if tree.get("usr/sbin/init").is_none() {
        tree.link("sbin/init", "../bin/busybox");
    }
    Ok(())
}

/// Puts the kernel's modules into the tree.
///
/// # Errors
/// See [`DebianError`].
pub fn modules(tree: &mut Tree, kernel: &Kernel) -> Result<Vec<Origin>, DebianError> {
    let folder = kernel.modules();
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|error| DebianError::Program {
            path,
            error,
            package: format!("linux-image-{}", kernel.release),
        })
    };
    let text = |name: &str| read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (needs, builtin) = (text("modules.dep")?, text("modules.builtin")?);
    let (wants, aliases) = (text("modules.softdep")?, text("modules.alias")?);
    let lists = Lists { needs: &needs, builtin: &builtin, wants: &wants, aliases: &aliases };
    let chosen = modules::choose(&lists, modules::FIRST.into_iter().chain(modules::LATER))?;
    let at = format!("lib/modules/{}", kernel.release);
    for path in &chosen.paths {
        tree.file(&format!("{at}/{path}"), 0o644, read(path)?);
    }
    for (name, contents) in [
        ("modules.dep", chosen.needs.as_str()),
        ("modules.alias", &chosen.aliases),
        ("modules.builtin", &builtin),
        ("modules.softdep", &wants),
    ] {
        tree.file(&format!("{at}/{name}"), 0o644, contents.as_bytes().to_vec());
    }
    let package = format!("linux-image-{}", kernel.release);
    let version = version_of(&package)?;
    let origin = |path: String| Origin { path, package: package.clone(), version: version.clone() };
    let image = origin(format!("vmlinuz-{}", kernel.release));
    Ok(chosen.paths.iter().map(|path| origin(format!("{at}/{path}"))).chain([image]).collect())
}

/// Whose these files are.
fn origins(paths: &[String]) -> Result<Vec<Origin>, DebianError> {
    // Of a merged-usr system dpkg's lists have either name of a folder, so both are looked for.
    let owners = owners();
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    let mut origins = Vec::new();
    for path in paths {
        let real = fs::canonicalize(path).map(|real| real.to_string_lossy().into_owned());
        let known = [Some(path.clone()), real.ok()].into_iter().flatten();
        let package = known
            .map(|path| path.strip_prefix("/usr").map(str::to_owned).unwrap_or(path))
            .find_map(|path| owners.get(&path))
            .ok_or_else(|| DebianError::Nobodys { path: path.clone() })?;
        let version = match versions.get(package) {
            Some(version) => version.clone(),
            None => versions.entry(package.clone()).or_insert(version_of(package)?).clone(),
        };
        origins.push(Origin { path: path.clone(), package: package.clone(), version });
    }
    origins.sort();
    Ok(origins)
}

/// All installed files, without `/usr` before them, with their packages.
fn owners() -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    for entry in fs::read_dir(FILE_LISTS).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(package) = name.strip_suffix(".list") else { continue };
        let package = package.split(':').next().unwrap_or(package);
        // Most of dpkg's lists are documents and locales, which no image has.
        for path in fs::read_to_string(entry.path()).unwrap_or_default().lines() {
            let path = path.strip_prefix("/usr").unwrap_or(path);
            if ["/bin/", "/sbin/", "/lib"].iter().any(|folder| path.starts_with(folder)) {
                owners.insert(path.to_owned(), package.to_owned());
            }
        }
    }
    owners
}

fn version_of(package: &str) -> Result<String, DebianError> {
    let versions = DPKG_QUERY.with(["--show", "--showformat=${Version}\\n", package]).text()?;
    Ok(versions.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_their_numbers() {
        assert!(version_key("6.1.0-56-amd64") > version_key("6.1.0-9-amd64"));
        assert!(version_key("6.12.1-1-amd64") > version_key("6.1.200-1-amd64"));
    }
}
