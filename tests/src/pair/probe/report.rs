//! What a probe saw between two marks: one line of JSON.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Texts of one kind that are kept; the others are counted.
const TEXTS_MAX: usize = 8;

/// Of the program's calls.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    /// Of connections that are opened for one call each.
    pub fresh: Seen,
    /// Of the connection that is kept.
    pub steady: Seen,
    /// Of the writer; nothing answered if there is none.
    pub writer: Seen,
    /// The write verifiers that answered, in the order in which each came first.
    pub verifiers: Vec<String>,
    /// How often a verifier came again after another one: two servers have served by turns.
    pub turns: u64,
}

/// What one kind of client saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Calls that were answered.
    pub answered: u64,
    /// The longest time without an answer.
    pub outage: Duration,
    /// Whether there was still no answer at the end.
    pub is_out: bool,
    /// Connections that were refused.
    pub refused: u64,
    /// Connections that were reset, or ended, before the answer.
    pub broken: u64,
    /// Calls without an answer in time.
    pub silent: u64,
    /// Answers that told to try again later (NFS3ERR_JUKEBOX).
    pub later: u64,
    /// What must not be: other failures, wrong bytes, lost names.
    pub errors: Texts,
}

/// The first of some texts, and how many there were.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Texts {
    /// All of them.
    pub count: u64,
    /// The first.
    pub first: VecDeque<String>,
}

impl Texts {
    /// One more.
    pub fn add(&mut self, text: String) {
        self.count += 1;
        if self.first.len() < TEXTS_MAX {
            self.first.push_back(text);
        }
    }
}

/// Of the questions who has the address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Owners {
    /// Questions.
    pub asked: u64,
    /// Those that nobody answered.
    pub unanswered: u64,
    /// The time in which two answered.
    pub twice: Duration,
    /// Who answered last, if anybody has.
    pub owner: Option<String>,
    /// How often another one answered than before.
    pub changes: u64,
}
