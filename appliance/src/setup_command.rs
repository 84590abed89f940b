//! `storage-port setup …`: a port's configuration from one file about its site.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use appliance::config::Config;
use appliance::port;
use clap::{Args, Subcommand};
use setup::Fault;
use setup::disks::{Disk, Disks};
use setup::files::{self, Files};
use setup::load::{Loaded, load};
use setup::render::{JUDGE_CONFIG, Outcome, PORT_CONFIG, render};
use setup::site::Site;
use setup::store;

/// Exit status of `render` where the site is good, but no disk is there for a port to serve.
const NO_DISK: u8 = 3;
/// The judge's program.
const JUDGE: &str = "port-failover";
/// Where a hardware watchdog shows.
const WATCHDOG: &str = "/dev/watchdog";
/// Data disks of this size are believed in where it is only to be seen whether the site file is good.
const ANY_BYTES: u64 = 1 << 40;

/// See [`execute`].
#[derive(Args)]
pub struct SetupArguments {
    #[command(subcommand)]
    command: SetupCommand,
}

#[derive(Subcommand)]
enum SetupCommand {
    /// Say all that is wrong with a site file. Exit status: 0 nothing, 1 something.
    Check {
        /// The site file.
        #[arg(long)]
        site: PathBuf,
    },
    /// Write the configurations that follow from a site file. Exit status: 0 done, 1 the site file is not good and nothing was
    /// written, 3 the network's is written, but a data disk is missing.
    Render {
        /// The site file.
        #[arg(long)]
        site: PathBuf,
        /// The folder to write to; it is made if it is not there.
        #[arg(long)]
        out: PathBuf,
        /// Where the data disks are mounted.
        #[arg(long, default_value = "/data")]
        data: PathBuf,
    },
}

/// Does what is asked; what is wrong is told on standard error, each in a line.
pub async fn execute(arguments: SetupArguments) -> ExitCode {
    let done = match arguments.command {
        SetupCommand::Check { site } => check(&site),
        SetupCommand::Render { site, out, data } => write(&site, &out, &data),
    };
    match done {
        Ok(code) => code,
        Err(faults) => {
            tell(&faults);
            ExitCode::FAILURE
        }
    }
}

fn check(path: &Path) -> Result<ExitCode, Vec<Fault>> {
    let (site, files) = read(path)?;
    verify(&site, &files)?;
    let _ = writeln!(std::io::stdout(), "{}: good", path.display());
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, out: &Path, data: &Path) -> Result<ExitCode, Vec<Fault>> {
    let (site, files) = read(path)?;
    let out = &plain("--out", out)?;
    let data = &plain("--data", data)?;
    verify(&site, &files)?;
    let disks = Disks::find(data, Path::new(WATCHDOG)).map_err(|(path, error)| {
        vec![Fault::at(path.display(), format_args!("cannot be looked at: {error}"))]
    })?;
    let Outcome { files: rendered, missing } = render(&site, &files, &disks, out)?;
    store::fill(out, &rendered).map_err(|error| vec![Fault::at("--out", error)])?;
    tell(&missing);
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NO_DISK) })
}

fn read(path: &Path) -> Result<(Site, Files), Vec<Fault>> {
    let Loaded { site, notes } = load(path)?;
    for note in notes {
        eprintln!("storage-port: note: {note}");
    }
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let files = files::read(&site, folder)?;
    Ok((site, files))
}

/// A path that scripts may use as it stands.
fn plain(option: &str, path: &Path) -> Result<PathBuf, Vec<Fault>> {
    let absolute = std::path::absolute(path).ok();
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let plain = absolute.filter(|path| path.to_str().is_some_and(|path| path.bytes().all(is_good)));
    plain.ok_or_else(|| {
        vec![Fault::at(
            option,
            "name a path of letters, digits, `/`, `.`, `_` and `-` alone, for scripts to read",
        )]
    })
}

/// Has both daemons say whether they would take what is rendered, whatever disks there are.
fn verify(site: &Site, files: &Files) -> Result<(), Vec<Fault>> {
    let failed = |error: std::io::Error| {
        vec![Fault::at("temporary folder", format_args!("{error}; is there room in /tmp?"))]
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let at = folder.path();
    let disk = |name: &str| Disk { path: Path::new("/data").join(name), bytes: ANY_BYTES };
    let disks = Disks {
        data: "/data".into(),
        caches: vec![disk("cache0")],
        journal: Some(disk("journal")),
        state: Some(disk("state")),
        has_watchdog: true,
    };
    let rendered = render(site, files, &disks, at)?;
    store::fill(at, &rendered.files).map_err(|error| vec![Fault::at("temporary folder", error)])?;
    let mut faults = Vec::new();
    let config = Config::load(&at.join(PORT_CONFIG)).map_err(|error| error.to_string());
    let checked = config.and_then(|config| port::check(&config).map(drop).map_err(|error| error.to_string()));
    faults.extend(checked.err().map(|error| refused("storage-port", at, &error)));
    if site.pair.is_some() {
        faults.extend(judge_refuses(&at.join(JUDGE_CONFIG)).map(|error| refused(JUDGE, at, &error)));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// What the judge has against its configuration; nothing, too, where it is not installed.
fn judge_refuses(config: &Path) -> Option<String> {
    let beside =
        std::env::current_exe().ok().map(|own| own.with_file_name(JUDGE)).filter(|judge| judge.exists());
    let judge = beside.unwrap_or_else(|| JUDGE.into());
    let output =
        Command::new(judge).args(["config", "check", "--config"]).arg(config).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(said.trim().trim_start_matches("port-failover: ").to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("cannot ask {JUDGE}: {error}")),
    }
}

/// The temporary folder's name says nothing to an operator.
fn refused(daemon: &str, folder: &Path, error: &str) -> Fault {
    let error = error.replace(&format!("{}/", folder.display()), "");
    Fault::at(
        format_args!("[advanced.{daemon}]"),
        format_args!("{error} (in what is made of the site file and this table)"),
    )
}

fn tell(faults: &[Fault]) {
    for fault in faults {
        eprintln!("storage-port: {fault}");
    }
}
