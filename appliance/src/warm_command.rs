//! `storage-port cache warm`: names the files, shows how far it is, and ends the work when it is ended itself.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use appliance::config::Config;
use appliance::port::StartError;
use appliance::warm::{Line, Order, Progress};
use clap::Args;
use control::message::Request;
use control::socket::{self, REQUEST_BYTES_MAX};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::ask_command::Asking;
use super::{Failure, say};

/// Where nobody watches a bar: a line so often.
const SAY_EVERY: Duration = Duration::from_secs(10);
const DRAWS_PER_SECOND: u8 = 4;
/// Some files failed.
const SOME_FAILED: u8 = 3;
/// Of who was ended by SIGINT, as shells say it.
const INTERRUPTED: u8 = 130;

/// What to warm.
#[derive(Args)]
pub struct WarmArguments {
    #[command(flatten)]
    asking: Asking,
    /// A file with a path in each line, `-` for standard input; an empty line, and one that begins with `#`, says nothing.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Only say how much it is, and how much of it is there.
    #[arg(long)]
    dry_run: bool,
    /// Files and folders as clients call them: `/export/folder`.
    #[arg(value_name = "PATH", required_unless_present = "list")]
    paths: Vec<String>,
}

/// Why nothing was asked of the port.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The list.
    #[error("cannot read the list {path}: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Nothing is named.
    #[error("the list {0} names nothing")]
    Empty(PathBuf),
    /// More than fits in a request.
    #[error(
        "the list has {0} bytes of paths, more than the {REQUEST_BYTES_MAX} that can be asked for at once: name folders \
         in place of their files, or warm it part by part"
    )]
    TooLong(u64),
}

/// Warms, and says how it went: 0 all is there, 3 some files failed, 1 refused or given up, 130 ended by Ctrl-C.
pub async fn execute(arguments: &WarmArguments) -> Result<ExitCode, Failure> {
    let WarmArguments { asking, list, dry_run, paths } = arguments;
    let mut paths = paths.clone();
    if let Some(list) = list {
        paths.extend(read_list(list)?);
        if paths.is_empty() {
            return Err(ListError::Empty(list.clone()).into());
        }
    }
    let config = Config::load(&asking.config).map_err(StartError::from)?;
    let order = serde_json::to_value(Order { paths, dry_run: *dry_run })?;
    let request = Request::new("cache-warm", order);
    let bytes = serde_json::to_vec(&request)?.len() as u64;
    if bytes >= REQUEST_BYTES_MAX {
        return Err(ListError::TooLong(bytes).into());
    }
    let mut teller = Teller::new(asking.json);
    let interrupted = tokio::signal::ctrl_c();
    let done = tokio::select! {
        done = socket::have_done("storage port", &config.state.dir, &request, |line| teller.take(line)) => Some(done),
        _ = interrupted => None,
    };
    teller.bar.finish_and_clear();
    match done {
        None => {
            eprintln!("storage-port: ended; what was fetched stays, and the same command goes on from here");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Some(done) => {
            done?;
            Ok(teller.exit_code())
        }
    }
}

fn read_list(path: &Path) -> Result<Vec<String>, ListError> {
    let mut bytes = Vec::new();
    // One more than may be asked for: so a list that is too long is seen, and none is held that has no end.
    let read = if path == Path::new("-") {
        io::stdin().take(REQUEST_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(REQUEST_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| ListError::Read { path: path.to_owned(), error })?;
    if bytes.len() as u64 > REQUEST_BYTES_MAX {
        return Err(ListError::TooLong(bytes.len() as u64));
    }
    Ok(paths_of(&String::from_utf8_lossy(&bytes)))
}

fn paths_of(list: &str) -> Vec<String> {
    let lines = list.lines().map(|line| line.trim_end_matches('\r'));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Shows lines as they come.
struct Teller {
    for_programs: bool,
    bar: ProgressBar,
    said: Instant,
    last: Option<Line>,
}

impl Teller {
    fn new(for_programs: bool) -> Self {
        let is_watched = !for_programs && io::stderr().is_terminal();
        let target = if is_watched {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        Self { for_programs, bar, said: Instant::now(), last: None }
    }

    fn take(&mut self, told: Value) {
        // A line of a later version that this command does not know is passed on as it is.
        let line = serde_json::from_value::<Line>(told.clone()).ok();
        if self.for_programs {
            say(&told.to_string());
        } else if let Some(line) = &line {
            self.show(line);
        }
        if let Some(line) = line {
            self.last = Some(line);
        }
    }

    fn show(&mut self, line: &Line) {
        match line {
            Line::Counting(Progress { files, bytes, .. }) if !self.bar.is_hidden() => {
                self.bar.set_message(format!("counting: {files} files, {bytes} bytes"));
                self.bar.tick();
            }
            Line::Fetching(progress) if !self.bar.is_hidden() => self.draw(progress),
            // Of these, one now and then is enough.
            Line::Counting(_) | Line::Fetching(_) => {
                if self.said.elapsed() >= SAY_EVERY {
                    self.said = Instant::now();
                    say(&line.to_string());
                }
            }
            Line::Failed { .. } => self.bar.suspend(|| eprintln!("storage-port: {line}")),
            Line::Done(_) => self.bar.suspend(|| say(&line.to_string())),
            Line::Refused { .. } | Line::Stopped { .. } => {
                self.bar.suspend(|| eprintln!("storage-port: {line}"));
            }
        }
    }

    fn draw(&self, progress: &Progress) {
        if self.bar.length().is_none() {
            let form = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            if let Ok(style) = ProgressStyle::with_template(form) {
                self.bar.set_style(style);
            }
            self.bar.set_length(progress.bytes);
        }
        self.bar.set_position(progress.bytes_done);
        let Progress { files, files_done, failed, .. } = progress;
        let failed = if *failed > 0 { format!(", {failed} failed") } else { String::new() };
        self.bar.set_message(format!("{files_done}/{files} files{failed}"));
    }

    fn exit_code(&self) -> ExitCode {
        match &self.last {
            Some(Line::Done(Progress { failed: 0, .. })) => ExitCode::SUCCESS,
            Some(Line::Done(_)) => ExitCode::from(SOME_FAILED),
            Some(Line::Refused { .. } | Line::Stopped { .. }) => ExitCode::FAILURE,
            _ => {
                eprintln!("storage-port: the storage port ended amid the work; see its log");
                ExitCode::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_path_in_each_line() {
        let list = "# photos\n/export/photos\n\n/export/a file \r\n/export/b";
        assert_eq!(paths_of(list), ["/export/photos", "/export/a file ", "/export/b"]);
        assert!(paths_of("# nothing\n\n").is_empty());
    }

    #[test]
    fn the_last_line_decides_how_it_ended() {
        let mut teller = Teller::new(true);
        let code = |teller: &Teller| format!("{:?}", teller.exit_code());
        let is = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(code(&teller), is(1), "no line at all");
        let done = Progress { files: 2, files_done: 2, ..Progress::default() };
        let some = Progress { failed: 1, ..done };
        for (line, expected) in [
            (Line::Fetching(done), 1),
            (Line::Done(done), 0),
            (Line::Done(some), 3),
            (Line::Refused { bytes: 2, room: 1 }, 1),
            (Line::Stopped { progress: some, why: "away".into() }, 1),
        ] {
            teller.take(serde_json::to_value(&line).unwrap());
            assert_eq!(code(&teller), is(expected), "{line:?}");
        }
    }
}
