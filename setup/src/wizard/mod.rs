//! The site file as a conversation: a question, an answer that is checked at once, the next question. Pure.
//!
//! `back` goes to the question before, an empty answer takes what stands in brackets, `quit` ends without a change. At the
//! end the whole is shown and checked as a file would be; only `write` writes.

pub mod console;
mod document;
mod question;

use self::document::Document;
use self::question::{ORDER, Question};
use crate::fault::Fault;
use crate::files::Pending;
use crate::files::content;
use crate::nics::Nic;

/// Longest pasted certificates.
const PASTE_BYTES_MAX: usize = 64 << 10;
/// The file of pasted certificates.
const PASTED: &str = "center-ca.pem";

/// What Ctrl-C sends: who types it wants no more.
pub(crate) const INTERRUPT: char = '\u{3}';

/// What the wizard sees of the machine.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Its NICs.
    pub nics: Vec<Nic>,
    /// The files beside the site file.
    pub files: Vec<String>,
    /// The folders there.
    pub folders: Vec<String>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// What to know before: an explanation, or what there is to choose from.
    pub lines: Vec<String>,
    /// The question.
    pub ask: String,
    /// What an empty answer means.
    pub default: Option<String>,
    /// Whether the answer must not be seen.
    pub is_secret: bool,
}

/// What comes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the next question.
    Ask,
    /// Say this, and ask again.
    Again(String),
    /// Check the draft, tell what is wrong, and ask again.
    Check {
        /// Whether to ask the storage center as well.
        online: bool,
    },
    /// Check the draft, and write it if it is good.
    Write,
    /// End; nothing is written.
    Quit,
}

/// A site file and what belongs to it, not written yet.
pub struct Draft {
    /// The site file.
    pub text: String,
    /// Files beside it.
    pub files: Vec<Pending>,
}

/// The conversation.
pub struct Wizard {
    document: Document,
    around: Surroundings,
    at: usize,
    secret: Option<Pending>,
    authority: Option<Pending>,
    is_pair: bool,
    /// Lines of certificates, while they are pasted.
    pasting: Option<String>,
}

impl Wizard {
    /// Begins with the text of a site file, if there is one already.
    pub fn new(text: Option<&str>, around: Surroundings) -> Self {
        let document = Document::of(text);
        let is_pair = document.has("pair");
        Self { document, around, at: 0, secret: None, authority: None, is_pair, pasting: None }
    }

    /// What there is so far.
    pub fn draft(&self) -> Draft {
        let pending = [&self.secret, &self.authority].into_iter().flatten();
        let copy = |file: &Pending| Pending {
            name: file.name.clone(),
            content: file.content.clone(),
            is_secret: file.is_secret,
        };
        Draft { text: self.document.text(), files: pending.map(copy).collect() }
    }

    /// The question that is open.
    pub fn prompt(&self) -> Prompt {
        if self.pasting.is_some() {
            return Prompt {
                lines: vec!["Paste the certificate, and then press Enter in an empty line.".to_owned()],
                ask: String::new(),
                default: None,
                is_secret: false,
            };
        }
        match self.question() {
            Some(question) => question.prompt(self),
            None => self.summary(),
        }
    }

    /// Takes an answer, without the end of its line.
    pub fn answer(&mut self, line: &str) -> Step {
        if line.contains(INTERRUPT) {
            return Step::Quit;
        }
        if self.pasting.is_some() {
            return self.paste(line);
        }
        let line = line.trim();
        match line {
            "quit" => return Step::Quit,
            "back" => {
                self.back();
                return Step::Ask;
            }
            _ => {}
        }
        let Some(question) = self.question() else { return self.conclude(line) };
        match question.answer(self, line) {
            Ok(()) => {
                if self.pasting.is_none() {
                    self.forward();
                }
                Step::Ask
            }
            Err(text) => Step::Again(Fault::at("", text).text().to_owned()),
        }
    }

    fn question(&self) -> Option<Question> {
        ORDER.get(self.at).copied()
    }

    fn forward(&mut self) {
        self.at += 1;
        while self.question().is_some_and(|question| !question.applies(self)) {
            self.at += 1;
        }
    }

    fn back(&mut self) {
        let before = (0..self.at).rev().find(|at| ORDER[*at].applies(self));
        self.at = before.unwrap_or(0);
    }

    fn summary(&self) -> Prompt {
        let mut lines = vec!["This is the site file:".to_owned(), String::new()];
        lines.extend(self.document.text().lines().map(|line| format!("    {line}")));
        lines.push(String::new());
        lines.push(
            "`write` writes it; `check` looks whether it is good; `online` asks the storage center, too;"
                .to_owned(),
        );
        lines.push("`back` goes to the last question; `quit` changes nothing.".to_owned());
        Prompt { lines, ask: "What now".to_owned(), default: None, is_secret: false }
    }

    fn conclude(&self, line: &str) -> Step {
        match line {
            "write" => Step::Write,
            "check" => Step::Check { online: false },
            "online" => Step::Check { online: true },
            _ => Step::Again("Say write, check, online, back or quit.".to_owned()),
        }
    }

    fn paste(&mut self, line: &str) -> Step {
        let pasted = self.pasting.get_or_insert_default();
        if !line.trim().is_empty() {
            if pasted.len() + line.len() > PASTE_BYTES_MAX {
                self.pasting = None;
                return Step::Again("That is too long for a certificate.".to_owned());
            }
            pasted.push_str(line.trim_end());
            pasted.push('\n');
            return Step::Ask;
        }
        let pasted = self.pasting.take().unwrap_or_default();
        match content::certificates(pasted.as_bytes()) {
            Ok(()) => {
                self.document.set("center", "ca_file", PASTED.into());
                self.authority =
                    Some(Pending { name: PASTED.to_owned(), content: pasted.into_bytes(), is_secret: false });
                self.forward();
                Step::Ask
            }
            Err(text) => Step::Again(format!("What was pasted: {text}")),
        }
    }
}

#[cfg(test)]
mod tests;
