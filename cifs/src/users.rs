//! Who may log on, and as whom he acts: a file of lines `name:uid:gid:<sealed password>`. Pure.
//!
//! The server of `smb-server` takes passwords alone, not the NT hashes that would do to prove them. So that none lies
//! anywhere as it is typed, the file has them sealed (ChaCha20-Poly1305) with a key of the port: who reads the file,
//! or a copy of it, reads no password. Who can read the port's key as well can open them; an NT hash would give him
//! access here as well, but not the word itself.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};

/// Most users in a file.
pub const USERS_MAX: usize = 1_000;
/// Longest name and longest password, in UTF-16 units.
const UNITS_MAX: usize = 127;
/// Bytes of the number that makes each sealed password another one (RFC 8439 §2.8).
pub const NONCE_BYTES: usize = 12;
/// What names of users cannot have in them (MS-SAMR 3.1.1.8.4, and the separator here).
const FORBIDDEN: &[char] =
    &['"', '/', '\\', '[', ']', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '#'];
/// Names that stand for nobody in particular.
const NOBODY: [&str; 2] = ["anonymous", "guest"];

/// Whose rights somebody has in the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// One who may log on.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// By which he logs on.
    pub name: String,
    /// As whom he acts.
    pub identity: Identity,
    /// By which he proves it.
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Why a line, or what is to become one, is no good. Never shows a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The name.
    #[error(
        "`{0}` is no user name: 1 to 127 characters, neither spaces at an end nor any of \"/\\[]:;|=,+*?<>@#"
    )]
    Name(String),
    /// A name that means nobody.
    #[error("`{0}` stands for nobody in particular, and nobody comes in without a name: take another")]
    Nobody(String),
    /// The password.
    #[error("a password has 1 to 127 characters, none of them a control character")]
    Password,
    /// The line's form.
    #[error("a line is `name:uid:gid:` and a sealed password: make it with `storage-port cifs user`")]
    Form,
    /// Sealed for another port, or for another name.
    #[error(
        "the password of `{0}` was sealed under another name or with another port's key: \
         make the line anew with `storage-port cifs user`"
    )]
    Sealed(String),
    /// Twice.
    #[error("user `{0}` stands there twice: remove one line")]
    Twice(String),
    /// Too many.
    #[error("more than {USERS_MAX} users")]
    TooMany,
}

/// What is wrong with a file of users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// One line.
    #[error("line {line}: {error}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What.
        error: UserError,
    },
    /// Nobody.
    #[error("no user in it: add one with `storage-port cifs user`")]
    Nobody,
}

/// The key with which passwords are sealed.
pub struct SealKey(ChaCha20Poly1305);

impl SealKey {
    /// Of 32 secret bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(key.into()))
    }

    /// The line of a user. `nonce` is random.
    ///
    /// # Errors
    /// A name or password that cannot be used.
    pub fn line(&self, user: &User, nonce: [u8; NONCE_BYTES]) -> Result<String, UserError> {
        check_name(&user.name)?;
        check_password(&user.password)?;
        let payload = Payload { msg: user.password.as_bytes(), aad: user.name.as_bytes() };
        // Fails for lengths alone that no password has.
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload).map_err(|_| UserError::Password)?;
        let hex: String = nonce.iter().chain(&sealed).map(|byte| format!("{byte:02x}")).collect();
        let Identity { uid, gid } = user.identity;
        Ok(format!("{}:{uid}:{gid}:{hex}", user.name))
    }

    /// The users of a file; what is empty or begins with `#` is no line.
    ///
    /// # Errors
    /// See [`UsersError`].
    pub fn users(&self, text: &str) -> Result<Vec<User>, UsersError> {
        let mut users: Vec<User> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end_matches('\r');
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |error| UsersError::Line { line: number, error };
            let user = self.user(line).map_err(at)?;
            let name = user.name.to_lowercase();
            if users.iter().any(|other| other.name.to_lowercase() == name) {
                return Err(at(UserError::Twice(user.name)));
            }
            if users.len() == USERS_MAX {
                return Err(at(UserError::TooMany));
            }
            users.push(user);
        }
        if users.is_empty() { Err(UsersError::Nobody) } else { Ok(users) }
    }

    fn user(&self, line: &str) -> Result<User, UserError> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, uid, gid, sealed] = fields[..] else { return Err(UserError::Form) };
        check_name(name)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| UserError::Form);
        let identity = Identity { uid: number(uid)?, gid: number(gid)? };
        let bytes = hex_bytes(sealed).ok_or(UserError::Form)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(UserError::Form)?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        let password = self.0.decrypt(&Nonce::from(*nonce), payload).ok();
        let password = password.and_then(|password| String::from_utf8(password).ok());
        let password = password.ok_or_else(|| UserError::Sealed(name.to_owned()))?;
        check_password(&password)?;
        Ok(User { name: name.to_owned(), identity, password })
    }
}

fn check_name(name: &str) -> Result<(), UserError> {
    let is_bad = |letter: char| letter.is_control() || FORBIDDEN.contains(&letter);
    if name.is_empty()
        || name.encode_utf16().count() > UNITS_MAX
        || name.trim() != name
        || name.contains(is_bad)
    {
        return Err(UserError::Name(name.escape_debug().to_string()));
    }
    match NOBODY.iter().any(|nobody| name.eq_ignore_ascii_case(nobody)) {
        true => Err(UserError::Nobody(name.to_owned())),
        false => Ok(()),
    }
}

fn check_password(password: &str) -> Result<(), UserError> {
    let is_good = !password.is_empty()
        && password.encode_utf16().count() <= UNITS_MAX
        && !password.contains(char::is_control);
    if is_good { Ok(()) } else { Err(UserError::Password) }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SealKey {
        SealKey::new(&[7; 32])
    }

    fn user(name: &str, password: &str) -> User {
        User { name: name.into(), identity: Identity { uid: 1000, gid: 100 }, password: password.into() }
    }

    fn error(text: &str) -> String {
        key().users(text).unwrap_err().to_string()
    }

    /// PORT-1: passwords are nowhere as they were typed.
    #[test]
    fn a_line_is_for_its_name_and_port_alone() {
        let line = key().line(&user("alice", "Zürich 42"), [3; 12]).unwrap();
        assert!(line.starts_with("alice:1000:100:") && !line.contains("42:"), "{line}");
        let text = format!("# users\n\n{line}\r\n");
        assert_eq!(key().users(&text).unwrap(), [user("alice", "Zürich 42")]);
        assert!(!format!("{:?}", key().users(&text)).contains("42"), "a password is shown");
        assert!(error(&line.replace("alice", "bob")).contains("`bob`"));
        let other = SealKey::new(&[8; 32]).users(&text).unwrap_err().to_string();
        assert!(other.contains("line 3") && other.contains("storage-port cifs user"), "{other}");
        let acts_as_root = line.replace(":1000:", ":0:");
        assert_eq!(
            key().users(&acts_as_root).unwrap()[0].identity.uid,
            0,
            "the owner of the file decides that"
        );
    }

    #[test]
    fn what_is_no_user_is_told_with_its_line() {
        let line = key().line(&user("alice", "x"), [3; 12]).unwrap();
        let cases = [
            (String::new(), "no user"),
            ("# nobody".into(), "no user"),
            ("alice:1:1:plain".into(), "line 1"),
            ("alice:1:1".into(), "name:uid:gid"),
            (format!("{line}\n{line}"), "line 2: user `alice` stands there twice"),
            (format!("{line}\n{}", line.to_uppercase()), "line 2"),
            (line.replace(":1000:", ":-1:"), "line 1"),
            (line.replace(":1000:", ":4294967296:"), "line 1"),
            (line[..line.len() - 1].to_owned(), "line 1"),
            (line.replace("alice", "GUEST"), "nobody in particular"),
        ];
        for (text, words) in cases {
            let error = error(&text);
            assert!(error.contains(words) && error.lines().count() == 1, "{text}: {error}");
        }
    }

    #[test]
    fn names_and_passwords_have_bounds() {
        let made = |name: &str, password: &str| key().line(&user(name, password), [3; 12]);
        let (longest, long) = ("n".repeat(UNITS_MAX), "n".repeat(UNITS_MAX + 1));
        assert!(made(&longest, &longest).is_ok());
        for name in ["", " a", "a ", "a:b", "a\\b", "a@b", "a\nb", &long] {
            assert!(matches!(made(name, "x"), Err(UserError::Name(_))), "{name:?}");
        }
        for password in ["", "a\nb", &long] {
            assert_eq!(made("a", password), Err(UserError::Password));
        }
        let many = (0..=USERS_MAX).map(|number| made(&format!("u{number}"), "x").unwrap());
        let many: Vec<_> = many.collect();
        assert_eq!(key().users(&many[..USERS_MAX].join("\n")).unwrap().len(), USERS_MAX);
        assert!(error(&many.join("\n")).contains("line 1001"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,60}(:[0-9a-f]{0,9}){0,4}\n?") {
            let _ = key().users(&text);
        }

        #[test]
        fn what_is_sealed_comes_back(password in "\\PC{1,60}", nonce: [u8; 12]) {
            let line = key().line(&user("u", &password), nonce).unwrap();
            prop_assert_eq!(key().users(&line).unwrap(), [user("u", &password)]);
        }
    }
}
