//! Asks cargo and dpkg what is in the image.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::crates::{self, Crates};
use super::{Package, SbomError, buildroot, debian, evidence};

/// The two binaries of a port: crates of the workspace.
const BINARIES: [&str; 2] = ["appliance", "failover"];
/// What the image runs on.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The crates of the two binaries, which were built of the workspace at `root`, without the network. What the binaries
/// tell themselves decides whether they were built alone or with the whole workspace.
///
/// # Errors
/// See [`SbomError`]; [`SbomError::Foreign`] if they were built of other sources.
pub fn crates_of(root: &Path, binaries: &[PathBuf]) -> Result<Crates, SbomError> {
    let mut found = Vec::new();
    for binary in binaries {
        let program = binary.display().to_string();
        let bytes = fs::read(binary).map_err(|error| SbomError::Unread { path: program.clone(), error })?;
        found.push((program, evidence::crates_in(&bytes)));
    }
    let lock = read(&root.join("Cargo.lock"))?;
    let alone: Vec<&str> = BINARIES.iter().flat_map(|name| ["--package", *name]).collect();
    let mut foreign = None;
    for selection in [&alone[..], &["--workspace"]] {
        let crates = crates::crates(&tree(root, selection)?, &lock)?.of(&BINARIES);
        let missing =
            found.iter().find_map(|(program, names)| Some((program, evidence::missing(names, &crates)?)));
        let Some((program, missing)) = missing else { return Ok(crates) };
        foreign = Some(SbomError::Foreign { program: program.clone(), missing: missing.to_owned() });
    }
    Err(foreign
        .unwrap_or(SbomError::Strange { what: "what `cargo tree` says", why: "it is nothing".to_owned() }))
}

/// Normal dependencies of some packages, as cargo resolves features for just these.
fn tree(root: &Path, selection: &[&str]) -> Result<String, SbomError> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).arg("tree").args(selection);
    cargo.args([
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "depth",
        "--charset",
        "ascii",
        "--color",
        "never",
    ]);
    cargo.args(["--target", TARGET, "--locked", "--offline", "--format", crates::FORMAT]);
    said(cargo, "cargo", "cargo")
}

/// Packages that are installed on this machine, whose files are in the image.
///
/// # Errors
/// See [`SbomError`].
pub fn installed<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Package>, SbomError> {
    let os_release = read(Path::new("/etc/os-release"))?;
    let release = debian::release(&os_release).ok_or_else(|| SbomError::Strange {
        what: "/etc/os-release",
        why: "it has no VERSION_ID".to_owned(),
    })?;
    let mut packages = Vec::new();
    for name in names {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat", debian::FORMAT, "--", name]);
        let lines = said(query, "dpkg-query", "dpkg")?;
        let copyright = read(
            &Path::new("/usr/share/doc").join(name.split(':').next().unwrap_or(name)).join("copyright"),
        )?;
        // A package may be installed for several architectures; all of them are of one version.
        packages.push(debian::package(lines.lines().next().unwrap_or_default(), &copyright, release)?);
    }
    Ok(packages)
}

/// Packages of a root file system of Buildroot's, from the file into which `make show-info` was written.
///
/// # Errors
/// See [`SbomError`].
pub fn of_buildroot(show_info: &Path) -> Result<Vec<Package>, SbomError> {
    buildroot::packages(&read(show_info)?)
}

fn read(path: &Path) -> Result<String, SbomError> {
    // Old copyright files have names in other encodings.
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error: io::Error| SbomError::Unread { path: path.display().to_string(), error })
}

/// What a program says.
fn said(mut command: Command, program: &'static str, package: &'static str) -> Result<String, SbomError> {
    // Messages in one language, so the last line is the reason.
    let output = command.env("LC_ALL", "C.UTF-8").output().map_err(|error| SbomError::Unrun {
        program,
        package,
        error,
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = errors.lines().rev().find(|line| !line.trim().is_empty());
    Err(SbomError::Failed { program, said: last.unwrap_or("it says nothing").trim().to_owned() })
}
