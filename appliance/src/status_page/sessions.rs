//! Who has said the password, and for how long that is believed. Pure: told the time and random tokens.

use std::fmt;
use std::time::{Duration, Instant};

use protocol::digest::{parse_hex, write_hex};
use subtle::ConstantTimeEq;

/// Most sessions; one more ends the oldest.
const SESSIONS_MAX: usize = 16;
/// How long one is good, whether it is used or not.
pub const LIFE: Duration = Duration::from_secs(1_800);
/// Longest note.
const NOTE_BYTES_MAX: usize = 400;

/// What a browser shows that it has logged in by: random bytes, written as hex digits.
#[derive(Clone, Copy)]
pub struct Token(pub [u8; 32]);

impl Token {
    /// Reads its digits.
    pub fn parse(digits: &str) -> Option<Self> {
        parse_hex(digits).map(Self)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

struct Session {
    token: Token,
    until: Instant,
    /// What became of the last action, for the next page.
    note: Option<String>,
}

/// The sessions that are open, the oldest first.
#[derive(Default)]
pub struct Sessions(Vec<Session>);

impl Sessions {
    /// Opens one by a fresh random token.
    pub fn open(&mut self, now: Instant, token: Token) {
        self.0.retain(|session| session.until > now);
        if self.0.len() == SESSIONS_MAX {
            self.0.remove(0);
        }
        self.0.push(Session { token, until: now + LIFE, note: None });
    }

    /// Whether this one is.
    pub fn is_open(&self, now: Instant, token: &Token) -> bool {
        self.place(token).is_some_and(|place| self.0[place].until > now)
    }

    /// Ends one.
    pub fn close(&mut self, token: &Token) {
        if let Some(place) = self.place(token) {
            self.0.remove(place);
        }
    }

    /// Leaves a note for the next page of a session.
    pub fn leave(&mut self, token: &Token, mut note: String) {
        if let Some(place) = self.place(token) {
            note.truncate(note.floor_char_boundary(NOTE_BYTES_MAX));
            self.0[place].note = Some(note);
        }
    }

    /// Takes it.
    pub fn take_note(&mut self, token: &Token) -> Option<String> {
        self.place(token).and_then(|place| self.0[place].note.take())
    }

    /// Compares with all of them, each in constant time: how long it takes says nothing of how much was right.
    fn place(&self, token: &Token) -> Option<usize> {
        let is_same = |session: &Session| bool::from(session.token.0.ct_eq(&token.0));
        let all = self.0.iter().map(is_same).enumerate();
        all.fold(None, |found, (place, is_same)| if is_same { Some(place) } else { found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_and_when_told() {
        let (now, mut sessions) = (Instant::now(), Sessions::default());
        assert!(!sessions.is_open(now, &Token([0; 32])));
        sessions.open(now, Token([1; 32]));
        assert!(sessions.is_open(now + LIFE - Duration::from_nanos(1), &Token([1; 32])));
        assert!(!sessions.is_open(now + LIFE, &Token([1; 32])));
        let mut nearly = Token([1; 32]);
        nearly.0[31] = 2;
        assert!(!sessions.is_open(now, &nearly));
        sessions.close(&nearly);
        assert!(sessions.is_open(now, &Token([1; 32])));
        sessions.close(&Token([1; 32]));
        assert!(!sessions.is_open(now, &Token([1; 32])));
    }

    #[test]
    fn there_are_so_many_sessions_and_no_more() {
        let (now, mut sessions) = (Instant::now(), Sessions::default());
        let count = SESSIONS_MAX as u8;
        for number in 0..=count {
            sessions.open(now, Token([number; 32]));
        }
        assert!(!sessions.is_open(now, &Token([0; 32])), "the oldest has gone");
        assert!((1..=count).all(|number| sessions.is_open(now, &Token([number; 32]))));
        // Those that are over leave room.
        sessions.open(now + LIFE, Token([100; 32]));
        assert_eq!(sessions.0.len(), 1);
    }

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let digits = Token([171; 32]).to_string();
        assert_eq!((digits.len(), Token::parse(&digits).map(|token| token.0)), (64, Some([171; 32])));
        assert!(Token::parse(&digits[1..]).is_none() && Token::parse("").is_none());
    }

    #[test]
    fn a_note_is_for_one_session_and_once() {
        let (now, mut sessions) = (Instant::now(), Sessions::default());
        sessions.open(now, Token([1; 32]));
        sessions.leave(&Token([2; 32]), "lost".to_owned());
        sessions.leave(&Token([1; 32]), "ä".repeat(NOTE_BYTES_MAX));
        assert_eq!(sessions.take_note(&Token([2; 32])), None);
        assert_eq!(sessions.take_note(&Token([1; 32])).unwrap().len(), NOTE_BYTES_MAX);
        assert_eq!(sessions.take_note(&Token([1; 32])), None);
    }
}
