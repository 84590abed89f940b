//! The command `image`.

mod sbom_command;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use image::build::{self, BuildError, Inputs, Root};
use image::bundle::{self, BundleError};
use image::inspect::{self, InspectError};
use image::tool::{GIT, ToolError};

/// Makes the storage port's firmware image, and updates of it.
#[derive(Parser)]
#[command(name = "image", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make disk.img and slot.img.
    Build(Build),
    /// Make a signed update of what `build` made.
    Bundle {
        /// The folder that `build` was given as --out.
        #[arg(long)]
        from: PathBuf,
        /// The update's file; it must not exist.
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        signer: Signer,
    },
    /// Sign an update with another key, such as a released one that was tried with a development key.
    Sign {
        /// The update.
        #[arg(long)]
        bundle: PathBuf,
        /// Who signed it so far, as certificates in PEM.
        #[arg(long)]
        keyring: PathBuf,
        /// Whom the boxes trust that are to take it, as certificates in PEM; by default the new signer.
        #[arg(long)]
        trusted: Option<PathBuf>,
        /// The newly signed update's file; it must not exist.
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        signer: Signer,
    },
    /// Make the bill of materials of what `build` made: CycloneDX, every crate and package with its licence.
    Sbom(sbom_command::Sbom),
    /// Tell what is in a disk or slot image, and check its hash tree.
    Inspect {
        /// disk.img or slot.img.
        image: PathBuf,
    },
}

#[derive(Args)]
struct Signer {
    /// The signer's certificate, in PEM.
    #[arg(long)]
    cert: PathBuf,
    /// Its key, in PEM; keep it away from boxes and repositories.
    #[arg(long)]
    key: PathBuf,
}

#[derive(Args)]
struct Build {
    /// Where the results go.
    #[arg(long)]
    out: PathBuf,
    /// The folder with storage-port and port-failover.
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// Buildroot's rootfs.tar, in place of Debian's packages.
    #[arg(long, requires = "kernel")]
    rootfs: Option<PathBuf>,
    /// Buildroot's bzImage.
    #[arg(long, requires = "rootfs")]
    kernel: Option<PathBuf>,
    /// What is put over Debian's packages.
    #[arg(long, default_value = "buildroot/board/storage-port/rootfs-overlay")]
    overlay: PathBuf,
    /// The table of users.
    #[arg(long, default_value = "buildroot/board/storage-port/users.txt")]
    users: PathBuf,
    /// Certificates of those who may sign updates for the image, in PEM; without, it takes none.
    #[arg(long)]
    keyring: Option<PathBuf>,
    /// What the image calls itself; by default this program's version and the time of the commit.
    #[arg(long = "image-version")]
    version: Option<String>,
    /// Seconds since 1970, for everything in the image; by default the time of the commit.
    #[arg(long, env = "SOURCE_DATE_EPOCH")]
    time: Option<u64>,
    /// GRUB's modules: the folder that has i386-pc and x86_64-efi.
    #[arg(long, default_value = image::grub::MODULES)]
    grub_modules: PathBuf,
}

/// Why a command did not do its part: one line.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error(transparent)]
    Sbom(#[from] sbom_command::Failure),
    #[error("cannot tell the time of the commit, so give SOURCE_DATE_EPOCH: {0}")]
    Time(ToolError),
    #[error("cannot tell the time of the commit, so give SOURCE_DATE_EPOCH: git said {0:?}")]
    NoTime(String),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Build(arguments) => build(arguments),
        Command::Bundle { from, out, signer } => {
            bundle::make(&from, &out, &signer.cert, &signer.key).map_err(Failure::from)
        }
        Command::Sign { bundle, keyring, trusted, out, signer: Signer { cert, key } } => {
            let trusted = trusted.as_ref().unwrap_or(&cert);
            bundle::sign(&bundle, &keyring, trusted, &out, &cert, &key).map_err(Failure::from)
        }
        Command::Sbom(arguments) => sbom(&arguments),
        Command::Inspect { image } => {
            inspect::tell(&image).map(|told| println!("{told}")).map_err(Failure::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build(arguments: Build) -> Result<(), Failure> {
    let Build { out, binaries, rootfs, kernel, overlay, users, keyring, version, time, grub_modules } =
        arguments;
    let time = time_of(time)?;
    let root = match rootfs.zip(kernel) {
        Some((archive, kernel)) => Root::Buildroot { archive, kernel },
        None => Root::Fallback { binaries, overlay, users },
    };
    let version = version.unwrap_or_else(|| format!("{}+{time}", env!("CARGO_PKG_VERSION")));
    let inputs = Inputs { out, root, keyring, version, time, grub_modules };
    build::build(&inputs, &mut |line| eprintln!("image: {line}"))?;
    Ok(())
}

fn sbom(arguments: &sbom_command::Sbom) -> Result<(), Failure> {
    let bill = sbom_command::run(arguments, time_of(arguments.time)?)?;
    eprintln!("image: the bill of materials is {}", bill.display());
    Ok(())
}

/// The time that was given, or that of the commit.
fn time_of(given: Option<u64>) -> Result<u64, Failure> {
    if let Some(time) = given {
        return Ok(time);
    }
    let told = GIT.with(["log", "-1", "--format=%ct"]).text().map_err(Failure::Time)?;
    told.trim().parse().map_err(|_| Failure::NoTime(told))
}
