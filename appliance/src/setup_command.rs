//! `storage-port setup …`: a port's configuration from one file about its site.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use appliance::config::Config;
use appliance::port::{self, StartError, check_online};
use clap::{Args, Subcommand};
use setup::Fault;
use setup::disks::{Disk, Disks};
use setup::files::{self, Files};
use setup::load::{Loaded, load};
use setup::nics::{self, Nic, SYSFS};
use setup::render::{JUDGE_CONFIG, Outcome, PORT_CONFIG, render};
use setup::site::{self, Site};
use setup::store;
use setup::wizard::console::{self, End, Helper};
use setup::wizard::{Draft, Surroundings, Wizard};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// Exit status of `render` where the site is good, but no disk is there for a port to serve.
const NO_DISK: u8 = 3;
/// The judge's program.
const JUDGE: &str = "port-failover";
/// Where a hardware watchdog shows.
const WATCHDOG: &str = "/dev/watchdog";
/// Data disks of this size are believed in where it is only to be seen whether the site file is good.
const ANY_BYTES: u64 = 1 << 40;
/// More that lies beside a site file is not looked at.
const ENTRIES_MAX: usize = 1000;

/// See [`execute`].
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct SetupArguments {
    #[command(subcommand)]
    command: Option<SetupCommand>,
    /// The site file: asks for all that belongs into it, on this terminal, and writes it.
    #[arg(long, required = true)]
    site: Option<PathBuf>,
    /// Where the kernel shows this machine's NICs.
    #[arg(long, default_value = SYSFS, hide = true)]
    sysfs: PathBuf,
}

#[derive(Subcommand)]
enum SetupCommand {
    /// Say all that is wrong with a site file. Exit status: 0 nothing, 1 something.
    Check {
        /// The site file.
        #[arg(long)]
        site: PathBuf,
        /// Also ask the storage center whether it accepts the customer's secret.
        #[arg(long)]
        online: bool,
        /// Where the kernel shows this machine's NICs; those of another machine cannot be looked at.
        #[arg(long, default_value = SYSFS, hide = true)]
        sysfs: PathBuf,
        /// Leave the NICs out: the file is for another machine.
        #[arg(long)]
        elsewhere: bool,
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
    let done = match (arguments.command, arguments.site) {
        (Some(SetupCommand::Check { site, online, sysfs, elsewhere }), _) => {
            check(&site, online, (!elsewhere).then_some(&sysfs)).await
        }
        (Some(SetupCommand::Render { site, out, data }), _) => write(&site, &out, &data),
        (None, Some(site)) => converse(site, arguments.sysfs).await,
        // The parser has seen to it.
        (None, None) => Ok(ExitCode::FAILURE),
    };
    match done {
        Ok(code) => code,
        Err(faults) => {
            tell(&faults);
            ExitCode::FAILURE
        }
    }
}

/// All that can be looked at is looked at, before anything is told.
async fn check(path: &Path, online: bool, sysfs: Option<&PathBuf>) -> Result<ExitCode, Vec<Fault>> {
    let Loaded { site, notes, .. } = load(path)?;
    note(&notes);
    let mut faults = Vec::new();
    if let Some(sysfs) = sysfs {
        let nics = nics::list(sysfs).map_err(|error| vec![Fault::at(sysfs.display(), error)])?;
        let (wrong, notes) = nics::check(&site, &nics);
        note(&notes);
        faults.extend(wrong);
    }
    let asked = match files::read(&site, folder_of(path), &[]) {
        Ok(files) => match verify(&site, &files) {
            Ok(staged) if online => staged.ask_center().await.err(),
            Ok(_) => None,
            Err(wrong) => {
                faults.extend(wrong);
                None
            }
        },
        Err(wrong) => {
            faults.extend(wrong);
            None
        }
    };
    faults.extend(asked);
    if !faults.is_empty() {
        return Err(faults);
    }
    say(&format!("{}: good", path.display()));
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, out: &Path, data: &Path) -> Result<ExitCode, Vec<Fault>> {
    let Loaded { site, notes, .. } = load(path)?;
    note(&notes);
    let files = files::read(&site, folder_of(path), &[])?;
    let out = &plain("--out", out)?;
    let data = &plain("--data", data)?;
    drop(verify(&site, &files)?);
    let disks = Disks::find(data, Path::new(WATCHDOG)).map_err(|(path, error)| {
        vec![Fault::at(path.display(), format_args!("cannot be looked at: {error}"))]
    })?;
    let Outcome { files: rendered, missing } = render(&site, &files, &disks, out)?;
    store::fill(out, &rendered).map_err(|error| vec![Fault::at("--out", error)])?;
    tell(&missing);
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NO_DISK) })
}

/// The wizard, on a thread that may wait for the operator.
async fn converse(path: PathBuf, sysfs: PathBuf) -> Result<ExitCode, Vec<Fault>> {
    let runtime = Handle::current();
    let talk = move || {
        let failed = |place: &Path, error: io::Error| vec![Fault::at(place.display(), error)];
        let text = match std::fs::read_to_string(&path) {
            // A file of another firmware is read as that is, or refused.
            Ok(text) => Some(load(&path).map(|loaded| loaded.text).unwrap_or(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&path, error)),
        };
        let around =
            surroundings(folder_of(&path), &sysfs).map_err(|error| failed(folder_of(&path), error))?;
        let mut helper = Desk { path: &path, nics: around.nics.clone(), runtime };
        let mut wizard = Wizard::new(text.as_deref(), around);
        let stdin = io::stdin();
        let terminal = stdin.is_terminal().then(|| stdin.as_fd());
        let ended =
            console::converse(&mut wizard, &mut helper, &mut stdin.lock(), &mut io::stdout(), terminal);
        match ended.map_err(|error| failed(Path::new("console"), error))? {
            End::Written => Ok(ExitCode::SUCCESS),
            End::Quit => Ok(ExitCode::FAILURE),
        }
    };
    tokio::task::spawn_blocking(talk)
        .await
        .unwrap_or_else(|error| Err(vec![Fault::at("wizard", format_args!("ended by a defect: {error}"))]))
}

/// Whom the wizard asks about a draft.
struct Desk<'a> {
    path: &'a Path,
    nics: Vec<Nic>,
    runtime: Handle,
}

impl Desk<'_> {
    fn staged(&self, draft: &Draft) -> Result<Staged, Vec<Fault>> {
        let site = site::read(&draft.text, self.path)?;
        let (mut faults, _) = nics::check(&site, &self.nics);
        let files = files::read(&site, folder_of(self.path), &draft.files);
        match files.and_then(|files| verify(&site, &files)) {
            Ok(staged) if faults.is_empty() => Ok(staged),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }
}

impl Helper for Desk<'_> {
    fn check(&mut self, draft: &Draft) -> Vec<Fault> {
        self.staged(draft).err().unwrap_or_default()
    }

    fn ask_center(&mut self, draft: &Draft) -> Option<Fault> {
        match self.staged(draft) {
            Ok(staged) => self.runtime.block_on(staged.ask_center()).err(),
            Err(faults) => faults.into_iter().next(),
        }
    }

    fn write(&mut self, draft: &Draft) -> Result<(), String> {
        // What the site file names is there before it.
        for file in &draft.files {
            let path = folder_of(self.path).join(&file.name);
            store::replace(&path, &file.content, file.is_secret).map_err(|error| error.to_string())?;
        }
        store::replace(self.path, draft.text.as_bytes(), false).map_err(|error| error.to_string())
    }
}

fn surroundings(folder: &Path, sysfs: &Path) -> io::Result<Surroundings> {
    let mut around = Surroundings { nics: nics::list(sysfs)?, ..Surroundings::default() };
    for entry in std::fs::read_dir(folder)?.take(ENTRIES_MAX) {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        // Through links, as the files are read.
        match std::fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() => around.folders.push(name),
            Ok(metadata) if metadata.is_file() => around.files.push(name),
            _ => {}
        }
    }
    around.files.sort();
    around.folders.sort();
    Ok(around)
}

/// Where the files lie that a site file names.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
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

/// Configurations that both daemons would take, in a folder that goes with this.
struct Staged {
    config: Config,
    _folder: TempDir,
}

impl Staged {
    /// Whether the storage center answers and takes the secret.
    async fn ask_center(&self) -> Result<(), Fault> {
        check_online(&self.config).await.map_err(|error| Fault::at("[center]", error))
    }
}

/// Has both daemons say whether they would take what is rendered, whatever disks there are.
fn verify(site: &Site, files: &Files) -> Result<Staged, Vec<Fault>> {
    let failed = |text: String| vec![Fault::at("temporary folder", text)];
    let folder = tempfile::tempdir().map_err(|error| failed(format!("{error}; is there room in /tmp?")))?;
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
    store::fill(at, &rendered.files).map_err(|error| failed(error.to_string()))?;
    let mut faults = Vec::new();
    if site.pair.is_some() {
        faults.extend(judge_refuses(&at.join(JUDGE_CONFIG)).map(|error| refused(JUDGE, at, &error)));
    }
    let config = Config::load(&at.join(PORT_CONFIG)).map_err(StartError::from);
    match config.and_then(|config| port::check(&config).map(|_| config)) {
        Ok(config) if faults.is_empty() => return Ok(Staged { config, _folder: folder }),
        Ok(_) => {}
        Err(error) => faults.insert(0, refused("storage-port", at, &error.to_string())),
    }
    Err(faults)
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

fn note(notes: &[Fault]) {
    for note in notes {
        eprintln!("storage-port: note: {note}");
    }
}

/// On standard output; nobody listening is no failure.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn tell(faults: &[Fault]) {
    for fault in faults {
        eprintln!("storage-port: {fault}");
    }
}
