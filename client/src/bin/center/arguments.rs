//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::remote::RemotePath;

/// Files and folders of a storage center.
#[derive(Parser)]
#[command(name = "center", version, about, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) center: CenterArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which center, and who asks. What stands here goes before what the file says.
#[derive(Args)]
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
    Ls {
        /// With kind, mode, size and time of the last change
        #[arg(short)]
        long: bool,
        #[arg(default_value = "/")]
        path: RemotePath,
    },
    /// Show all that is known of a file or folder
    Stat { path: RemotePath },
    /// Store a local file; an existing file is replaced
    Put {
        /// A folder with everything in it
        #[arg(short)]
        recursive: bool,
        local: PathBuf,
        /// Where to; into it, if it is a folder
        path: RemotePath,
    },
    /// Fetch a file; verified before it appears
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
    Mkdir {
        /// And those above it; an existing one is fine
        #[arg(short)]
        parents: bool,
        path: RemotePath,
    },
    /// Move or rename; an existing file is replaced
    Mv {
        from: RemotePath,
        /// Where to; into it, if it is a folder
        to: RemotePath,
    },
    /// Remove a file or an empty folder
    Rm {
        /// A folder with everything in it
        #[arg(short)]
        recursive: bool,
        path: RemotePath,
    },
    /// Print a URL by which anybody may fetch the file
    Srl {
        /// For how long; 0 for ever
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
        expires_in: u64,
        path: RemotePath,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
