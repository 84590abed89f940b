//! What the test and the agent in a guest say to each other over a virtual serial line.
//!
//! The test sends scripts, one at a time: their length as a line, then their bytes. The agent answers each with what
//! the script prints, in pieces, and at the end its status. A message of the agent is a line `KIND NUMBER`, and behind
//! `out` as many bytes as the number says.

use std::io::{self, BufRead, Read, Write};

/// The longest piece of output or script that is taken, in bytes.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It is there and takes scripts.
    Ready,
    /// The script has printed something.
    Output(Vec<u8>),
    /// The script has ended; a signal counts as 128 and its number, as in a shell.
    Status(i32),
}

impl Report {
    /// Writes it as one piece.
    ///
    /// # Errors
    /// The line is gone.
    pub fn send(&self, line: &mut impl Write) -> io::Result<()> {
        let mut bytes = match self {
            Self::Ready => b"ready 0\n".to_vec(),
            Self::Output(output) => format!("out {}\n", output.len()).into_bytes(),
            Self::Status(status) => format!("status {status}\n").into_bytes(),
        };
        if let Self::Output(output) = self {
            bytes.extend(output);
        }
        line.write_all(&bytes)
    }

    /// Reads the next one.
    ///
    /// # Errors
    /// The line has ended, or what stands in it is none.
    pub fn receive(line: &mut impl BufRead) -> io::Result<Self> {
        let mut head = String::new();
        line.read_line(&mut head)?;
        let (kind, number) = head.trim_end().split_once(' ').ok_or_else(|| bad(&head))?;
        let number: i32 = number.parse().map_err(|_| bad(&head))?;
        match kind {
            "ready" => Ok(Self::Ready),
            "out" => piece(line, usize::try_from(number).map_err(|_| bad(&head))?).map(Self::Output),
            "status" => Ok(Self::Status(number)),
            _ => Err(bad(&head)),
        }
    }
}

/// Sends a script to the agent.
///
/// # Errors
/// The line is gone.
pub fn send_script(line: &mut impl Write, script: &str) -> io::Result<()> {
    line.write_all(format!("{}\n{script}", script.len()).as_bytes())
}

/// Waits for the next script.
///
/// # Errors
/// The line has ended, or what stands in it is no script.
pub fn receive_script(line: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    line.read_line(&mut head)?;
    let length = head.trim_end().parse().map_err(|_| bad(&head))?;
    String::from_utf8(piece(line, length)?).map_err(|_| bad("no UTF-8"))
}

fn piece(line: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    if length > PIECE_BYTES_MAX {
        return Err(bad("a piece too long"));
    }
    let mut bytes = vec![0; length];
    line.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a message: {what:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_line() {
        let sent = [Report::Ready, Report::Output(b"two\nlines\n".to_vec()), Report::Status(-1)];
        let mut line = Vec::new();
        for report in &sent {
            report.send(&mut line).unwrap();
        }
        let mut line = line.as_slice();
        assert_eq!(sent.each_ref().map(|_| Report::receive(&mut line).unwrap()), sent);
        assert!(Report::receive(&mut line).is_err(), "the line has ended");
        let mut line = Vec::new();
        send_script(&mut line, "echo größe").unwrap();
        assert_eq!(receive_script(&mut line.as_slice()).unwrap(), "echo größe");
    }
}
