//! `… manual`: a program's completion for a shell, and its manual pages, made of what its parser knows of itself.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Command, Subcommand};
use clap_complete::Shell;

/// What is made.
#[derive(Subcommand)]
pub enum Manual {
    /// Write the completion for a shell to standard output.
    Completion {
        /// Which shell.
        shell: Shell,
    },
    /// Write a manual page for the program and for each of its commands.
    Pages {
        /// A folder that exists, such as /usr/local/share/man/man1.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum ManualError {
    /// A page cannot be written.
    #[error(
        "cannot write the manual pages to {path}: {error}; name a folder that exists and may be written to"
    )]
    Pages {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Standard output cannot be written.
    #[error("cannot write the completion: {0}")]
    Completion(io::Error),
}

impl Manual {
    /// Makes it for the program with this parser.
    ///
    /// # Errors
    /// See [`ManualError`].
    pub fn make(&self, program: Command) -> Result<(), ManualError> {
        match self {
            Self::Completion { shell } => {
                io::stdout().write_all(&completion(*shell, program)).map_err(ManualError::Completion)
            }
            Self::Pages { out } => pages(program, out),
        }
    }
}

fn completion(shell: Shell, mut program: Command) -> Vec<u8> {
    let (name, mut text) = (program.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut program, name, &mut text);
    text
}

fn pages(program: Command, out: &Path) -> Result<(), ManualError> {
    clap_mangen::generate_to(program, out).map_err(|error| ManualError::Pages { path: out.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let deep = Command::new("deep").about("Goes deep.").arg(clap::Arg::new("depth").long("depth"));
        Command::new("diver").about("Dives.").subcommand(deep)
    }

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completion() {
        let dir = tempfile::tempdir().unwrap();
        pages(program(), dir.path()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("diver-deep.1")).unwrap();
        assert!(page.contains("Goes deep.") && page.contains("depth"), "{page}");
        assert!(dir.path().join("diver.1").exists());
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let text = String::from_utf8(completion(shell, program())).unwrap();
            assert!(text.contains("diver") && text.contains("depth"), "{shell}: {text}");
        }
        let nowhere = pages(program(), Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(nowhere.contains("/no/such/folder"), "{nowhere}");
    }
}
