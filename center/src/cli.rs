//! The command line of `storage-center`.

mod access;
mod pairs;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;
use page_server::page::event_log::EventLog;
use protocol::dosp::{CALLBACK_HOSTS_BYTES_MAX, ClusterKey, UPLOAD_PAGE_BYTES_MAX};
use protocol::id::CustomerId;
use protocol::metadata::UnixMetadata;
use protocol::srl::Secret;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use self::access::AccessCommand;
use self::pairs::PairCommand;
use crate::billing::{Bill, Selection};
use crate::cluster::mirror::status::MirrorStatus;
use crate::cluster::status::ClusterStatus;
use crate::config::{Config, Http, StatusPage};
use crate::control::{Answer, Question, ask};
use crate::dosm::callback::{AllowedHost, AllowedHosts};
use crate::host;
use crate::http::acceptor;
use crate::reconcile::Mode;
use crate::serve::{Addresses, check_stopped, open_directory, serve};
use crate::status_page::event_log;
use crate::vfs::{Customer, NewCustomer, Quota, migrate};

/// Overrides the configuration's `log`.
const LOG_VARIABLE: &str = "STORAGE_CENTER_LOG";

/// A storage center: directory service, object manager and storage node.
#[derive(Debug, Parser)]
#[command(name = "storage-center", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C.
    Serve(File),
    /// Work on the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Work on customers; also while the center runs.
    Customer {
        #[command(subcommand)]
        command: CustomerCommand,
    },
    /// Work on failover pairs of storage ports; also while the center runs.
    Pair {
        #[command(subcommand)]
        command: PairCommand,
    },
    /// Work on the cluster's key.
    Cluster {
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Show the cluster: processes, disks, space, copies owed, scrub; by the process of this configuration.
    Status {
        #[command(flatten)]
        file: File,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Move away what a storage node, or one disk of it, holds; ask it at the node itself.
    Drain {
        #[command(flatten)]
        file: File,
        /// Number of the disk, from 0 in the order of the configuration; without it, all.
        #[arg(long)]
        disk: Option<u32>,
        /// End it: objects may come again.
        #[arg(long)]
        undo: bool,
    },
    /// Do not wait any more for a storage node that will not come back; ask it at a directory manager.
    Forget {
        #[command(flatten)]
        file: File,
        /// Number of the node.
        #[arg(long)]
        node: u32,
    },
    /// Sum up usage logs, by day (UTC), customer and operation, as CSV.
    Usage {
        /// Only of this customer.
        #[arg(long)]
        customer: Option<u32>,
        /// From this day on, such as 2026-11-01.
        #[arg(long, value_name = "DAY")]
        since: Option<Date>,
        /// Up to and with this day.
        #[arg(long, value_name = "DAY")]
        until: Option<Date>,
        /// The logs, of all object managers, old ones too.
        #[arg(required = true, value_name = "LOG")]
        logs: Vec<PathBuf>,
    },
    /// Work on the directory database.
    Vfs {
        #[command(subcommand)]
        command: VfsCommand,
    },
    /// Work on the directory that several storage centers have; by the directory manager of this configuration.
    Mirror {
        #[command(subcommand)]
        command: MirrorCommand,
    },
    /// Compare the rows of the VFS with the references on the disks; also while the center runs.
    Check {
        #[command(flatten)]
        file: File,
        /// Restore what is missing, give up what is old and belongs to no row.
        #[arg(long)]
        repair: bool,
        /// Seconds after which a reference without a row is old, instead of the configured `orphan_grace_seconds`. What
        /// is stored meanwhile and has no row yet must be younger.
        #[arg(long, requires = "repair")]
        orphan_grace: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
enum MirrorCommand {
    /// Show which storage center changes the directory, who follows it, and what the others do not have yet.
    Status {
        #[command(flatten)]
        file: File,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Make this storage center the one that changes the directory. The one that does now hands over without loss.
    Takeover {
        #[command(flatten)]
        file: File,
        /// Also if it is not reached. It must be down: what it still changes, and what it changed while no mirror
        /// followed it (`alone`), will not be in the directory.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
enum VfsCommand {
    /// Copy all folders, files and customers into the empty database of another configuration: from SQLite to PostgreSQL
    /// or back. The center must not run. Serve with the other configuration afterwards.
    Migrate {
        #[command(flatten)]
        file: File,
        /// The configuration with the new database.
        #[arg(long, value_name = "CONFIG")]
        to: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the configuration is right.
    Check(File),
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Make the key that all processes of a cluster share.
    Key {
        /// A new file for it.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum CustomerCommand {
    /// Add a customer and write the secret that signs its SRLs.
    Add {
        #[command(flatten)]
        file: File,
        /// Its name, unlike any other's.
        #[arg(long)]
        name: String,
        /// Its id; by default the next free one.
        #[arg(long)]
        id: Option<u32>,
        /// Most bytes of all its files.
        #[arg(long)]
        quota_bytes: Option<u64>,
        /// Most files and folders.
        #[arg(long)]
        quota_files: Option<u64>,
        #[command(flatten)]
        root: RootFolder,
        /// A new file for the secret.
        #[arg(long)]
        secret_out: PathBuf,
    },
    /// Say where a customer's end users are sent after an upload (303), with `file=ID` added to the URL.
    UploadPage {
        #[command(flatten)]
        file: File,
        /// The customer.
        #[arg(long)]
        id: u32,
        /// The page, http or https; left out, end users are sent nowhere.
        #[arg(long, value_parser = parse_page)]
        url: Option<String>,
    },
    /// Say on which hosts a customer's callbacks may lie, which are asked before a FETCH_AUTH is served; all of them at
    /// once, in place of those before.
    CallbackHosts {
        #[command(flatten)]
        file: File,
        /// The customer.
        #[arg(long)]
        id: u32,
        /// A host, or host:port where the port is another than the scheme's; several may be given, none for none.
        #[arg(long, value_name = "HOST")]
        host: Vec<AllowedHost>,
    },
    /// Say for how long what a customer deletes and overwrites is kept, and can be restored by `center restore`; also what
    /// is kept by now.
    Keep {
        #[command(flatten)]
        file: File,
        /// The customer.
        #[arg(long)]
        id: u32,
        /// For how long, 0 for not at all; left out, as the configuration says (`keep_seconds` in [vfs]).
        #[arg(long)]
        seconds: Option<u32>,
    },
    #[command(flatten)]
    Access(AccessCommand),
    /// List customers with quota and use.
    List(File),
}

/// Whose a new customer's root folder is.
#[derive(Debug, Args)]
struct RootFolder {
    /// Owner of its root folder.
    #[arg(long, default_value_t = 0)]
    uid: u32,
    /// Group of its root folder.
    #[arg(long, default_value_t = 0)]
    gid: u32,
    /// Permission bits of its root folder, in octal.
    #[arg(long, default_value = "0755", value_parser = parse_mode)]
    mode: u32,
}

fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| "give up to four octal digits, such as 0770".to_string())
}

fn parse_page(text: &str) -> Result<String, String> {
    let page: http::Uri = text.parse().map_err(|error| format!("it is no URL: {error}"))?;
    let is_web = matches!(page.scheme_str(), Some("http" | "https")) && page.host().is_some();
    match is_web && text.len() <= UPLOAD_PAGE_BYTES_MAX && !text.contains('#') {
        true => Ok(text.to_string()),
        false => Err(format!(
            "give a whole URL with http or https, without a fragment, of at most {UPLOAD_PAGE_BYTES_MAX} bytes"
        )),
    }
}

#[derive(Debug, Args)]
struct File {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// What a person is told when a command fails: one line.
struct Failed(String);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs the command. 0: done; 1: failed, or a check found differences; 2: wrong usage (by clap).
pub async fn run(cli: Cli) -> ExitCode {
    match perform(cli.command).await {
        Ok(code) => code,
        Err(Failed(reason)) => {
            eprintln!("storage-center: {}", reason.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

async fn perform(command: Command) -> Result<ExitCode, Failed> {
    match command {
        Command::Serve(File { config }) => {
            let config = Config::load(&config)?;
            let events = start_log(&config.log)?;
            serve(&config, events, announce).await?;
        }
        Command::Config { command: ConfigCommand::Check(File { config }) } => {
            let loaded = Config::load(&config)?;
            parse_log(&loaded.log)?;
            if let Some(Http { certificate: Some(certificate), key: Some(key), .. }) = &loaded.http {
                acceptor(certificate, key)?;
            }
            if let Some(StatusPage { certificate: Some(certificate), key: Some(key), .. }) =
                &loaded.status_page
            {
                acceptor(certificate, key)?;
            }
            println!("{} is right", config.display());
        }
        Command::Customer {
            command: CustomerCommand::Add { file, name, id, quota_bytes, quota_files, root, secret_out },
        } => {
            let config = Config::load(&file.config)?;
            let quota = Quota { bytes: quota_bytes, files: quota_files };
            let customer = add_customer(&config, name, id.map(CustomerId), quota, &root, &secret_out).await?;
            println!("customer {} added, its secret is in {}", customer.id, secret_out.display());
        }
        Command::Customer { command: CustomerCommand::UploadPage { file, id, url } } => {
            let config = Config::load(&file.config)?;
            let store = open_directory(&config).await?;
            store.set_upload_page(CustomerId(id), url.clone()).await?;
            match url {
                Some(url) => println!("end users of customer {id} are sent to {url} after an upload"),
                None => println!("end users of customer {id} are sent nowhere after an upload"),
            }
        }
        Command::Customer { command: CustomerCommand::CallbackHosts { file, id, host } } => {
            let config = Config::load(&file.config)?;
            let hosts = AllowedHosts::to_text(&host);
            if hosts.len() > CALLBACK_HOSTS_BYTES_MAX {
                return Err(Failed(format!(
                    "give fewer hosts: of {CALLBACK_HOSTS_BYTES_MAX} bytes altogether"
                )));
            }
            let store = open_directory(&config).await?;
            store
                .set_callback_hosts(CustomerId(id), Some(hosts.clone()).filter(|hosts| !hosts.is_empty()))
                .await?;
            match hosts.as_str() {
                "" => println!("no callback of customer {id} is asked"),
                hosts => println!("callbacks of customer {id} are asked on {hosts}"),
            }
        }
        Command::Customer { command: CustomerCommand::Keep { file, id, seconds } } => {
            let config = Config::load(&file.config)?;
            let Customer { kept, .. } =
                open_directory(&config).await?.set_keep(CustomerId(id), seconds).await?;
            let in_force = seconds.unwrap_or(config.vfs()?.keep_seconds);
            println!("what customer {id} deletes and overwrites is kept for {in_force} s");
            println!("kept now: {} versions of {} bytes", kept.versions, kept.bytes);
        }
        Command::Customer { command: CustomerCommand::Access(command) } => {
            println!("{}", command.run().await?);
        }
        Command::Customer { command: CustomerCommand::List(File { config }) } => {
            let config = Config::load(&config)?;
            for customer in open_directory(&config).await?.customers().await? {
                println!("{}", Line(&customer));
            }
        }
        Command::Pair { command } => {
            println!("{}", command.run().await?);
        }
        Command::Usage { customer, since, until, logs } => {
            let customer = customer.map(CustomerId);
            io::stdout().write_all(bill(&logs, Selection { customer, since, until })?.as_bytes())?;
        }
        Command::Vfs { command: VfsCommand::Migrate { file, to } } => {
            let (from, to) = (Config::load(&file.config)?, Config::load(&to)?);
            println!("{} rows copied, their digests compared", migrate_vfs(&from, &to).await?);
        }
        Command::Check { file, repair, orphan_grace } => {
            let config = Config::load(&file.config)?;
            let mode = if repair { Mode::Repair } else { Mode::Compare };
            let answer = check_anyhow(&config, mode, orphan_grace).await?;
            println!("{}", answer.text);
            if !answer.is_good {
                return Err(Failed("rows and references differ; see the report".to_string()));
            }
        }
        Command::Cluster { command: ClusterCommand::Key { out } } => {
            let key = ClusterKey::new(host::random_bytes());
            write_secret(&out, &key.to_file_content(), "--out")?;
            println!("the cluster's key is in {}; give it to every process of the cluster", out.display());
        }
        Command::Status { file, json } => {
            let text = tell(&Config::load(&file.config)?, Question::Status).await?;
            match json {
                true => println!("{text}"),
                false => println!("{}", serde_json::from_str::<ClusterStatus>(&text)?),
            }
        }
        Command::Mirror { command: MirrorCommand::Status { file, json } } => {
            let text = tell(&Config::load(&file.config)?, Question::Mirror).await?;
            match json {
                true => println!("{text}"),
                false => println!("{}", serde_json::from_str::<MirrorStatus>(&text)?),
            }
        }
        Command::Mirror { command: MirrorCommand::Takeover { file, force } } => {
            println!("{}", tell(&Config::load(&file.config)?, Question::TakeOver { force }).await?);
        }
        Command::Drain { file, disk, undo } => {
            println!("{}", tell(&Config::load(&file.config)?, Question::Drain { disk, on: !undo }).await?);
        }
        Command::Forget { file, node } => {
            println!("{}", tell(&Config::load(&file.config)?, Question::Forget { node }).await?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn bill(logs: &[PathBuf], selection: Selection) -> Result<String, Failed> {
    let mut bill = Bill::default();
    for path in logs {
        let added = fs::File::open(path).and_then(|log| bill.add_log(BufReader::new(log), selection));
        added.map_err(|error| Failed(format!("cannot read {}: {error}", path.display())))?;
    }
    if bill.unreadable > 0 {
        eprintln!("storage-center: {} lines could not be read and are in no sum", bill.unreadable);
    }
    Ok(bill.to_string())
}

/// Asks the running process; what it says.
async fn tell(config: &Config, question: Question) -> Result<String, Failed> {
    let path = config.control_socket();
    match ask(&path, question).await? {
        None => Err(Failed(format!("no process answers at {}; start it first", path.display()))),
        Some(Answer { is_good: false, text }) => Err(Failed(text)),
        Some(Answer { text, .. }) => Ok(text),
    }
}

fn announce(addresses: &Addresses) {
    let http = addresses.http.iter().map(|address| format!("http={address}"));
    let addresses: Vec<String> =
        http.chain(addresses.dosp.map(|address| format!("dosp={address}"))).collect();
    tracing::info!("storage center ready: {}", addresses.join(" "));
    // Whoever started us may have stopped listening; that does not concern the service.
    let _ = writeln!(io::stdout(), "ready {}", addresses.join(" "));
    let _ = io::stdout().flush();
}

fn parse_log(configured: &str) -> Result<EnvFilter, Failed> {
    let text = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| configured.to_string());
    EnvFilter::try_new(&text).map_err(|error| {
        Failed(format!("log: {text:?} is no level ({error}); use error, warn, info or debug"))
    })
}

/// The log goes to standard error, as much of it as is wanted; what is worth knowing later is kept as well.
fn start_log(configured: &str) -> Result<EventLog, Failed> {
    let events = event_log();
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    let kept = events.clone().with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines.with_filter(parse_log(configured)?)).with(kept).init();
    Ok(events)
}

async fn migrate_vfs(from: &Config, to: &Config) -> Result<u64, Failed> {
    if ask(&from.control_socket(), Question::Status).await?.is_some() {
        return Err(Failed(
            "the storage center runs and would go on with the old database: stop it first".into(),
        ));
    }
    let (from, to) = (from.vfs()?.engine()?, to.vfs()?.engine()?);
    let copying = tokio::task::spawn_blocking(move || {
        migrate(&from, &to, |table, rows| {
            if rows.is_multiple_of(100_000) {
                eprintln!("{table}: {rows} rows");
            }
        })
    });
    Ok(copying.await??)
}

async fn add_customer(
    config: &Config,
    name: String,
    id: Option<CustomerId>,
    quota: Quota,
    root: &RootFolder,
    secret_out: &Path,
) -> Result<Customer, Failed> {
    let store = open_directory(config).await?;
    let secret = write_new_secret(secret_out)?;
    let RootFolder { uid, gid, mode } = *root;
    let root_metadata = UnixMetadata { uid, gid, ..UnixMetadata::default_with_mode(mode) }.encode();
    let added = store.add_customer(NewCustomer { id, name, secret, quota, root_metadata }, host::now()).await;
    if added.is_err() {
        // It opens nothing; what cannot be removed does no harm.
        let _ = fs::remove_file(secret_out);
    }
    Ok(added?)
}

/// Makes a customer's secret and writes it into a new file.
fn write_new_secret(path: &Path) -> Result<Secret, Failed> {
    // A secret is text, so that it can be copied by hand: 256 bits in hex.
    let text = host::random_bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    write_secret(path, &format!("{text}\n"), "--secret-out")?;
    Ok(Secret::new(text.into_bytes())?)
}

/// `option` is the one that names the file.
fn write_secret(path: &Path, text: &str, option: &str) -> Result<(), Failed> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failed(format!("{} exists; name a new file with {option}", path.display()))
        }
        _ => Failed(format!("cannot write {}: {error}; name another file with {option}", path.display())),
    })
}

/// By the running process, or else by opening everything ourselves.
async fn check_anyhow(config: &Config, mode: Mode, orphan_grace: Option<u64>) -> Result<Answer, Failed> {
    let path = config.control_socket();
    if let Some(answer) = ask(&path, Question::Check { mode, orphan_grace }).await? {
        return Ok(answer);
    }
    if config.cluster.is_some() {
        return Err(Failed(format!(
            "no process answers at {}; start the directory manager first",
            path.display()
        )));
    }
    Ok(check_stopped(config, mode, orphan_grace).await?)
}

/// A customer in one line.
struct Line<'a>(&'a Customer);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Customer { id, name, usage, kept, .. } = self.0;
        let limit = |quota: Option<u64>| quota.map_or("no limit".to_string(), |quota| quota.to_string());
        let (bytes, files) = (limit(usage.bytes_quota), limit(usage.files_quota));
        let name = name.escape_debug();
        write!(
            f,
            "{id}\t{name}\t{} bytes ({bytes})\t{} files ({files})",
            usage.bytes_used, usage.files_used
        )?;
        write!(f, "\t{} bytes kept", kept.bytes)
    }
}
