//! The conversation on a console, a serial line perhaps. A shell: lines in, lines out, and nothing of a secret is echoed.

use std::io::{self, BufRead, Read, Write};
use std::os::fd::BorrowedFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{Draft, Prompt, Step, Wizard};
use crate::fault::Fault;

/// Longest line that is read.
const LINE_BYTES_MAX: u64 = 4096;

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is written.
    Written,
    /// The operator wanted no more, or went away; nothing was written.
    Quit,
}

/// What the conversation needs of others.
pub trait Helper {
    /// All that is wrong with a draft.
    fn check(&mut self, draft: &Draft) -> Vec<Fault>;
    /// Whether the storage center answers and takes the secret of a draft that is good; what is wrong, if not.
    fn ask_center(&mut self, draft: &Draft) -> Option<Fault>;
    /// Writes it.
    ///
    /// # Errors
    /// One line that says why not.
    fn write(&mut self, draft: &Draft) -> Result<(), String>;
}

/// Holds the conversation. `terminal` is that of the input, where it is one.
///
/// # Errors
/// Of the console.
pub fn converse(
    wizard: &mut Wizard,
    helper: &mut dyn Helper,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    terminal: Option<BorrowedFd<'_>>,
) -> io::Result<End> {
    writeln!(
        output,
        "Setting up a storage port. Enter takes what stands in brackets, `back` goes back, `quit` ends.\n"
    )?;
    let mut last = None;
    loop {
        let prompt = wizard.prompt();
        // Before the question is seen: who is quick has typed the answer by then.
        let silence = terminal.filter(|_| prompt.is_secret).map(Silence::begin).transpose()?;
        // A paste is many lines and one prompt.
        if last.as_ref() != Some(&prompt) {
            show(&prompt, output)?;
        }
        let line = read_line(input)?;
        if let Some(silence) = silence {
            drop(silence);
            // The operator's Enter was not seen either.
            writeln!(output)?;
        }
        let Some(line) = line else {
            writeln!(output, "\nNothing was written.")?;
            return Ok(End::Quit);
        };
        let is_paste = prompt.ask.is_empty();
        last = is_paste.then_some(prompt);
        match wizard.answer(&line) {
            Step::Ask => {}
            Step::Again(text) => {
                last = None;
                writeln!(output, "! {text}\n")?;
            }
            Step::Check { online } => {
                let draft = wizard.draft();
                if is_good(helper, &draft, output)? && online {
                    writeln!(output, "Asking the storage center …")?;
                    output.flush()?;
                    match helper.ask_center(&draft) {
                        Some(fault) => writeln!(output, "! {fault}\n")?,
                        None => writeln!(output, "It answers, and takes the secret.\n")?,
                    }
                }
            }
            Step::Write => {
                let draft = wizard.draft();
                if is_good(helper, &draft, output)? {
                    match helper.write(&draft) {
                        Ok(()) => {
                            writeln!(output, "Written.")?;
                            return Ok(End::Written);
                        }
                        Err(text) => writeln!(output, "! {text}\n")?,
                    }
                }
            }
            Step::Quit => {
                writeln!(output, "Nothing was written.")?;
                return Ok(End::Quit);
            }
        }
    }
}

/// Asks for a secret outside of a conversation. `terminal` is that of the input, where it is one: there the answer is not
/// echoed. `None` from who went away, or wanted no more.
///
/// # Errors
/// Of the console.
pub fn ask_secret(
    question: &str,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    terminal: Option<BorrowedFd<'_>>,
) -> io::Result<Option<String>> {
    let Some(terminal) = terminal else { return read_line(input) };
    // Before the question is seen, as above.
    let silence = Silence::begin(terminal)?;
    write!(output, "{question}: ")?;
    output.flush()?;
    let line = read_line(input)?;
    drop(silence);
    writeln!(output)?;
    Ok(line.filter(|line| !line.contains(super::INTERRUPT)))
}

fn is_good(helper: &mut dyn Helper, draft: &Draft, output: &mut dyn Write) -> io::Result<bool> {
    let faults = helper.check(draft);
    for fault in &faults {
        writeln!(output, "! {fault}")?;
    }
    if faults.is_empty() {
        writeln!(output, "The site file is good.\n")?;
    } else {
        writeln!(output, "`back` goes to the questions.\n")?;
    }
    Ok(faults.is_empty())
}

fn show(prompt: &Prompt, output: &mut dyn Write) -> io::Result<()> {
    for line in &prompt.lines {
        writeln!(output, "{line}")?;
    }
    if !prompt.ask.is_empty() {
        write!(output, "{}", prompt.ask)?;
        if let Some(default) = &prompt.default {
            write!(output, " [{default}]")?;
        }
        write!(output, ": ")?;
    }
    output.flush()
}

/// A line without its end; `None` at the end of the input. What is longer than a line may be is cut off there.
fn read_line(input: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = input.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') && read as u64 == LINE_BYTES_MAX {
        skip_line(input)?;
    }
    while bytes.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        bytes.pop();
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn skip_line(input: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(());
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(available.len(), |end| end + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// A terminal that does not echo, until this is dropped.
struct Silence<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn begin(terminal: BorrowedFd<'a>) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        // Nor does it end the process, which would leave it silent: see [`INTERRUPT`](super::INTERRUPT).
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(terminal, OptionalActions::Now, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs no echo.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}
