//! Programs from outside that do the work, and what is said when one is missing or fails.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::thread;

/// A program and the Debian package that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name, looked up in PATH and where programs for root are.
    pub program: &'static str,
    /// For whoever lacks it.
    pub package: &'static str,
}

/// Makes the kernel's compressed first root file system.
pub const ZSTD: Tool = Tool { program: "zstd", package: "zstd" };
/// Makes a compressed read-only file system from a tar archive.
pub const MKSQUASHFS: Tool = Tool { program: "mksquashfs", package: "squashfs-tools" };
/// Makes the tree of hashes of dm-verity.
pub const VERITYSETUP: Tool = Tool { program: "veritysetup", package: "cryptsetup-bin" };
/// Makes a boot loader's core image.
pub const GRUB_MKIMAGE: Tool = Tool { program: "grub-mkimage", package: "grub-common" };
/// Checks the boot loader's script.
pub const GRUB_SCRIPT_CHECK: Tool = Tool { program: "grub-script-check", package: "grub-common" };
/// Makes a FAT file system.
pub const MKFS_VFAT: Tool = Tool { program: "mkfs.vfat", package: "dosfstools" };
/// Makes a folder in a FAT file system.
pub const MMD: Tool = Tool { program: "mmd", package: "mtools" };
/// Copies files into a FAT file system.
pub const MCOPY: Tool = Tool { program: "mcopy", package: "mtools" };
/// Makes an ext4 file system.
pub const MKE2FS: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };
/// Puts partitions together.
pub const GENIMAGE: Tool = Tool { program: "genimage", package: "genimage" };
/// Removes what only a debugger needs from a program.
pub const STRIP: Tool = Tool { program: "strip", package: "binutils" };
/// Makes, signs and checks updates.
pub const RAUC: Tool = Tool { program: "rauc", package: "rauc" };
/// Tells the time of a commit.
pub const GIT: Tool = Tool { program: "git", package: "git" };
/// Tells versions of installed packages.
pub const DPKG_QUERY: Tool = Tool { program: "dpkg-query", package: "dpkg" };

/// Why a tool did not do its part.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not there.
    #[error("{program} is missing: install Debian's package {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// Whose it is.
        package: &'static str,
    },
    /// It cannot be run.
    #[error("cannot run {program}: {error}")]
    Unrun {
        /// The program.
        program: &'static str,
        /// Why.
        error: io::Error,
    },
    /// It failed.
    #[error("{program} (Debian's package {package}) failed, {status}: {last_line}")]
    Failed {
        /// The program.
        program: &'static str,
        /// Whose it is.
        package: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The last line it wrote.
        last_line: String,
    },
}

impl Tool {
    /// A run of it that begins with these arguments.
    pub fn with<A: Into<OsString>>(self, arguments: impl IntoIterator<Item = A>) -> Run {
        Run {
            tool: self,
            arguments: arguments.into_iter().map(Into::into).collect(),
            variables: Vec::new(),
            input: Vec::new(),
        }
    }
}

/// What a tool is to be run with.
#[derive(Debug)]
#[must_use]
pub struct Run {
    tool: Tool,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, String)>,
    input: Vec<u8>,
}

impl Run {
    /// One more argument.
    pub fn and(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More arguments.
    pub fn also<A: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// An environment variable.
    pub fn variable(mut self, name: &'static str, value: impl ToString) -> Self {
        self.variables.push((name, value.to_string()));
        self
    }

    /// What it reads from standard input.
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = bytes;
        self
    }

    /// Runs it to its end; what it wrote to standard output.
    ///
    /// # Errors
    /// See [`ToolError`].
    pub fn output(self) -> Result<Vec<u8>, ToolError> {
        let Self { tool: Tool { program, package }, arguments, variables, input } = self;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new(program)
            .args(arguments)
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => ToolError::Missing { program, package },
                _ => ToolError::Unrun { program, error },
            })?;
        let stdin = child.stdin.take();
        let output = thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // A tool that fails stops reading; its status tells.
                    let _ = stdin.write_all(&input);
                }
            });
            child.wait_with_output()
        })
        .map_err(|error| ToolError::Unrun { program, error })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = if output.stderr.trim_ascii().is_empty() { output.stdout } else { output.stderr };
        let said = String::from_utf8_lossy(&said);
        let last_line = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it says nothing").to_owned();
        Err(ToolError::Failed { program, package, status: output.status, last_line })
    }

    /// The same, as text.
    ///
    /// # Errors
    /// See [`ToolError`].
    pub fn text(self) -> Result<String, ToolError> {
        Ok(String::from_utf8_lossy(&self.output()?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_told_with_its_package() {
        let none = Tool { program: "no-such-tool", package: "such-tools" };
        let told = none.with([""; 0]).output().unwrap_err().to_string();
        assert_eq!(told, "no-such-tool is missing: install Debian's package such-tools");
    }

    #[test]
    fn a_failing_tool_is_told_with_its_last_line() {
        let shell = Tool { program: "sh", package: "dash" };
        let told = shell.with(["-c", "echo one >&2; echo two >&2; exit 3"]).output().unwrap_err().to_string();
        assert_eq!(told, "sh (Debian's package dash) failed, exit status: 3: two");
        let echoed = shell.with(["-c", "cat; echo $WORD"]).variable("WORD", "there").input(b"in ".to_vec());
        assert_eq!(echoed.text().unwrap(), "in there\n");
    }
}
