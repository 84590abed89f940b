//! What a guest and its test say, line by line, for whoever has to find out why a test failed.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Lines that are kept, the newest, and shown when the test fails.
const LINES: usize = 400;

/// Lines with the time at which they came, of the console, the scripts and the test.
#[derive(Clone)]
pub struct Log {
    start: Instant,
    lines: Arc<Mutex<VecDeque<(Duration, String)>>>,
}

impl Default for Log {
    fn default() -> Self {
        Self { start: Instant::now(), lines: Arc::default() }
    }
}

impl Log {
    /// Adds a line of the test's.
    pub fn add(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back((self.start.elapsed(), line.to_owned()));
    }

    /// Adds what a script printed.
    pub fn add_all(&self, text: &[u8]) {
        for line in String::from_utf8_lossy(text).lines() {
            self.add(&format!("| {line}"));
        }
    }

    /// Adds every line of a stream until it ends.
    pub fn follow(&self, stream: impl std::io::Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                log.add(plain(&String::from_utf8_lossy(&line)).trim());
                line.clear();
            }
        })
    }

    /// All lines that are kept, with their times.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (at, line) in self.lines.lock().unwrap().iter() {
            let _ = writeln!(text, "{:9.3} {line}", at.as_secs_f64());
        }
        text
    }

    /// How many lines there have been so far, for [`Log::find`].
    pub fn mark(&self) -> Mark {
        Mark(self.start.elapsed())
    }

    /// The first line since the mark that has this text, and when it came after it.
    pub fn find(&self, since: Mark, text: &str) -> Option<(Duration, String)> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .find(|(at, line)| *at >= since.0 && line.contains(text))
            .map(|(at, line)| (*at - since.0, line.clone()))
    }

    /// The newest line, and how long ago it came.
    pub fn last(&self) -> Option<(Duration, String)> {
        let lines = self.lines.lock().unwrap();
        lines.back().map(|(at, line)| (self.start.elapsed().saturating_sub(*at), line.clone()))
    }

    /// All lines since the mark.
    pub fn since(&self, mark: Mark) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|(at, _)| *at >= mark.0).map(|(_, line)| line.clone()).collect()
    }
}

/// A moment of a log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(Duration);

/// A line without what moves a terminal's cursor.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // ESC, perhaps a bracket, numbers, and a letter at the end.
            let _ = characters.find(|character| character.is_ascii_alphabetic() || *character == '=');
        } else if character == '\t' || !character.is_control() {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_since_a_mark_without_what_moves_the_cursor() {
        let log = Log::default();
        log.add("READY too early");
        let mark = log.mark();
        log.follow(&b"\x1b[2J\x1b[01;01HSTORAGE-PORT READY after 3 s\r\n"[..]).join().unwrap();
        assert_eq!(log.find(mark, "READY").unwrap().1, "STORAGE-PORT READY after 3 s");
        assert!(log.find(mark, "early").is_none());
    }
}
