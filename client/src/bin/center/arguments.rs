//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use protocol::name::Name;
use protocol::srl::SrlVersion;

use crate::remote::RemotePath;

/// Seconds for which a URL is good, unless somebody says otherwise.
const EXPIRES_IN: u64 = 86_400;

const ENDS: &str =
    "Ends with 0 if done, 1 if not (one line on standard error says why), 2 if called or configured wrongly.
Every command tells more, and an example, with --help.";

/// Files and folders of a storage center
#[derive(Parser)]
#[command(name = "center", version, about, arg_required_else_help = true, after_help = ENDS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) center: CenterArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which center, and who asks. What stands here goes before what the file says.
#[derive(Args)]
#[command(next_help_heading = "Which center, and who asks")]
pub(crate) struct CenterArguments {
    /// TOML file with `ddm`, `dosm`, `customer`, `secret_file` and, where wanted, `ca_certificate` and
    /// `deadline_seconds`
    #[arg(long, value_name = "FILE", env = "CENTER_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Directory manager, such as http://center.example:8080 (may be repeated)
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) ddm: Vec<String>,
    /// Object manager (may be repeated)
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) dosm: Vec<String>,
    /// Customer number
    #[arg(long, value_name = "NUMBER", global = true)]
    pub(crate) customer: Option<u32>,
    /// File with the customer's secret
    #[arg(long, value_name = "FILE", env = "CENTER_SECRET_FILE", global = true)]
    pub(crate) secret_file: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List a folder
    #[command(after_help = "Example: center ls -l /photos")]
    Ls {
        /// With kind, mode, size and time of the last change
        #[arg(short)]
        long: bool,
        #[arg(default_value = "/")]
        path: RemotePath,
    },
    /// Show all that is known of a file or folder
    #[command(after_help = "Example: center stat /photos/cat.jpg")]
    Stat { path: RemotePath },
    /// Store a local file; an existing file is replaced
    #[command(after_help = "Example: center put -r 2026 /photos")]
    Put {
        /// A folder with everything in it
        #[arg(short)]
        recursive: bool,
        local: PathBuf,
        /// Where to; into it, if it is a folder
        path: RemotePath,
    },
    /// Fetch a file; verified before it appears
    #[command(after_help = "Example: center get /photos/cat.jpg .")]
    Get {
        /// A folder with everything in it
        #[arg(short)]
        recursive: bool,
        path: RemotePath,
        /// Where to; into it, if it is a folder
        #[arg(default_value = ".")]
        local: PathBuf,
    },
    /// Make a folder
    #[command(after_help = "Example: center mkdir -p /photos/2026")]
    Mkdir {
        /// And those above it; an existing one is fine
        #[arg(short)]
        parents: bool,
        path: RemotePath,
    },
    /// Move or rename; an existing file is replaced
    #[command(after_help = "Example: center mv /photos/cat.jpg /photos/2026")]
    Mv {
        from: RemotePath,
        /// Where to; into it, if it is a folder
        to: RemotePath,
    },
    /// Remove a file or an empty folder
    #[command(after_help = "Example: center rm -r /photos/2025")]
    Rm {
        /// A folder with everything in it
        #[arg(short)]
        recursive: bool,
        path: RemotePath,
    },
    /// Change mode, owner, group or time of a file or folder
    #[command(after_help = "Example: center set --mode 0640 --uid 1000 /photos/cat.jpg")]
    Set {
        #[command(flatten)]
        change: Change,
        path: RemotePath,
    },
    /// List what is kept of files that were deleted or overwritten: in a folder, or of one name
    ///
    /// A line for each, the oldest first: its number, when it was deleted or overwritten, and the file as it was then. A
    /// folder that is gone is a name like any other; with `/` behind it, what was in it is listed. For how long
    /// something is kept, if at all, the center's operator says.
    #[command(after_help = "Example: center versions /photos/cat.jpg")]
    Versions {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
        #[arg(default_value = "/")]
        path: RemotePath,
    },
    /// Bring back what was deleted or overwritten, as it was
    #[command(after_help = "Example: center restore /photos/cat.jpg --version 4711 --to old-cat.jpg")]
    Restore {
        #[command(flatten)]
        which: Which,
        path: RemotePath,
    },
    /// Show the customer's quota and use, and the position of the last change
    #[command(after_help = "Example: center usage")]
    Usage,
    /// Print changes as they are made, until interrupted
    ///
    /// A line for each: its position, the id of the file or folder, and its version since, or `gone`. `center stat`
    /// tells ids. A line `POSITION reset` says that older changes are forgotten: look at everything anew.
    #[command(after_help = "Example: center watch --since 4711 --once")]
    Watch {
        /// Position of the last change already known; the present without it
        #[arg(long, value_name = "POSITION")]
        since: Option<u64>,
        /// End when there is no more now
        #[arg(long)]
        once: bool,
    },
    /// Print a URL by which anybody may fetch a file, or store files into a folder
    #[command(
        after_help = "Example: curl -T cat.jpg \"$(center srl --store --expires-in 600 /photos)cat.jpg\""
    )]
    Srl {
        #[command(flatten)]
        term: Term,
        /// To store into this folder; the name goes behind the URL
        #[arg(long, conflicts_with = "ask")]
        store: bool,
        /// Ask this URL before each fetch (the center's operator permits hosts)
        #[arg(long, value_name = "URL")]
        ask: Option<String>,
        path: RemotePath,
    },
    /// Fetch by a URL that somebody gave you; no secret is needed
    #[command(after_help = "Example: center download \"$URL\" cat.jpg")]
    Download {
        url: String,
        /// Where to; into it, if it is a folder
        #[arg(default_value = ".")]
        local: PathBuf,
    },
    /// Store by a URL that somebody gave you; no secret is needed
    #[command(after_help = "Example: center upload cat.jpg \"$URL\"")]
    Upload { local: PathBuf, url: String },
    /// Files under ids of your own, in no folder
    #[command(subcommand, after_help = "Example: center ufid put film.mp4 films/7")]
    Ufid(Ufid),
    /// Stored bytes without a file: for programs that make the row themselves
    #[command(subcommand, after_help = "Example: center object put film.mp4")]
    Object(Object),
    /// Ask an object manager whether it is there and accepts the secret
    #[command(after_help = "Example: center probe && echo yes")]
    Probe,
}

/// What `set` changes.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Change {
    /// Permissions, in octal
    #[arg(long, value_parser = mode)]
    pub(crate) mode: Option<u32>,
    /// Owner
    #[arg(long, value_name = "NUMBER")]
    pub(crate) uid: Option<u32>,
    /// Group
    #[arg(long, value_name = "NUMBER")]
    pub(crate) gid: Option<u32>,
    /// Time of the last change of the contents, in seconds since 1970
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = seconds)]
    pub(crate) modified: Option<i64>,
}

/// What `restore` brings back, and where to.
#[derive(Args)]
pub(crate) struct Which {
    /// Number of the version, as `versions` tells it; the newest without it
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    /// Under another name, in the same folder
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) to: Option<Name>,
    /// In the place of a file that has the name; that one is kept in turn
    #[arg(long)]
    pub(crate) force: bool,
    /// A folder with everything that was deleted in it, the newest of each name; of one that is there, what is missing
    #[arg(short)]
    pub(crate) recursive: bool,
}

/// For how long a URL is good, and how it is signed.
#[derive(Args)]
pub(crate) struct Term {
    /// For how long; 0 for ever
    #[arg(long, value_name = "SECONDS", default_value_t = EXPIRES_IN)]
    pub(crate) expires_in: u64,
    /// How it is signed
    #[arg(long, value_enum, default_value_t = Signature::Md5)]
    pub(crate) signature: Signature,
}

/// How a URL is signed.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Signature {
    /// As the founding document says: every center knows it
    Md5,
    /// HMAC-SHA-256
    Hmac,
}

impl From<Signature> for SrlVersion {
    fn from(signature: Signature) -> Self {
        match signature {
            Signature::Md5 => Self::Md5,
            Signature::Hmac => Self::HmacSha256,
        }
    }
}

/// Ids are any text.
#[derive(Subcommand)]
pub(crate) enum Ufid {
    /// Store a local file under an id
    #[command(after_help = "Example: center ufid put --replace film.mp4 films/7")]
    Put {
        /// In the place of what is there; else that is refused
        #[arg(long)]
        replace: bool,
        local: PathBuf,
        id: String,
    },
    /// Fetch what is stored under an id; verified before it appears
    #[command(after_help = "Example: center ufid get films/7 film.mp4")]
    Get { id: String, local: PathBuf },
    /// Show what is stored under an id
    #[command(after_help = "Example: center ufid stat films/7")]
    Stat { id: String },
    /// Remove what is stored under an id
    #[command(after_help = "Example: center ufid rm films/7")]
    Rm { id: String },
    /// Print a URL by which anybody may fetch what is stored under an id, or store it
    #[command(after_help = "Example: center ufid srl --store --expires-in 600 films/7")]
    Srl {
        #[command(flatten)]
        term: Term,
        /// To store it
        #[arg(long)]
        store: bool,
        /// To store it in the place of what is there
        #[arg(long, conflicts_with = "store")]
        replace: bool,
        /// What the file is called in the URL: the end of it tells its type
        #[arg(long, default_value = "")]
        name: String,
        id: String,
    },
}

/// Bytes are known by their MD5, and held by a token.
#[derive(Subcommand)]
pub(crate) enum Object {
    /// Store a local file's bytes; prints their MD5 and the token that holds them for a day
    #[command(after_help = "Example: center object put film.mp4")]
    Put { local: PathBuf },
    /// Give up a token's hold on bytes, unless a file has them
    #[command(
        after_help = "Example: center object rm 6f5902ac237024bdd0c176cb93063dc4 4d186321c1a7f0f354b297e8914ab240"
    )]
    Rm { md5: String, token: String },
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text.as_bytes()).map_err(|error| error.to_string())
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| "a mode is 0 to 7777, in octal".to_owned())
}

fn seconds(text: &str) -> Result<i64, String> {
    let nanoseconds = text.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000_000));
    nanoseconds.map(|at| at / 1_000_000_000).ok_or_else(|| "not a number of seconds since 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }

    /// LIB-2: every command shows how it is called.
    #[test]
    fn every_command_has_an_example() {
        let mut commands: Vec<clap::Command> =
            super::Arguments::command().get_subcommands().cloned().collect();
        let mut checked = 0;
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let own = format!(" {} ", command.get_name());
            assert!(
                help.starts_with("Example: ") && format!("{help} ").contains(&own),
                "{}",
                command.get_name()
            );
            checked += 1;
        }
        assert!(checked > 20, "only {checked} commands");
    }

    #[test]
    fn modes_are_octal_and_times_fit() {
        assert_eq!((super::mode("0640"), super::mode("7777")), (Ok(0o640), Ok(0o7777)));
        assert!(super::mode("10000").is_err() && super::mode("9").is_err() && super::mode("-1").is_err());
        assert_eq!((super::seconds("-5"), super::seconds("1800000000")), (Ok(-5), Ok(1_800_000_000)));
        assert!(super::seconds("9223372037").is_err() && super::seconds("x").is_err());
    }
}
