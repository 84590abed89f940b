//! Takes secrets out of what others are to see. Pure.

use std::fmt::Write;

/// What stands in place of a secret.
const INSTEAD: &[u8] = b"[secret]";
/// Shorter words are no secrets: the shortest there may be has 16 characters.
const BYTES_MIN: usize = 16;

/// What must not be seen, in all forms in which it might stand somewhere.
#[derive(Default)]
pub struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// A file with a secret: all of it, each of its lines, and each of these in hexadecimal.
    pub fn add(&mut self, file: &[u8]) {
        let whole = file.trim_ascii();
        // The first and last line of PEM are in every such file.
        let lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines = lines.filter(|line| !line.starts_with(b"-----"));
        for word in [file, whole].into_iter().chain(lines).filter(|word| word.len() >= BYTES_MIN) {
            for form in [word.to_vec(), hex(word).into_bytes(), hex(word).to_uppercase().into_bytes()] {
                if !self.0.contains(&form) {
                    self.0.push(form);
                }
            }
        }
        // A secret may be part of another.
        self.0.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// The same without any of them, and without the password of any URL.
    pub fn take_out(&self, text: Vec<u8>) -> Vec<u8> {
        self.0.iter().fold(without_passwords(&text), |text, secret| replaced(&text, secret))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // To a string nothing fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn replaced(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(secret.len()).position(|window| window == secret) {
        clean.extend_from_slice(&rest[..at]);
        clean.extend_from_slice(INSTEAD);
        rest = &rest[at + secret.len()..];
    }
    clean.extend_from_slice(rest);
    clean
}

/// `//user:password@host` becomes `//[secret]@host`.
fn without_passwords(text: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|window| window == b"//") {
        let (before, authority) = rest.split_at(at + 2);
        clean.extend_from_slice(before);
        rest = authority;
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"/\"'?#,".contains(byte);
        let length = authority.iter().position(is_end).unwrap_or(authority.len());
        if let Some(user) = authority[..length].iter().rposition(|byte| *byte == b'@') {
            clean.extend_from_slice(INSTEAD);
            rest = &authority[user..];
        }
    }
    clean.extend_from_slice(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(secrets: &[&str], text: &str) -> String {
        let mut all = Secrets::default();
        secrets.iter().for_each(|secret| all.add(secret.as_bytes()));
        String::from_utf8(all.take_out(text.into())).unwrap()
    }

    #[test]
    fn a_secret_is_taken_out_in_every_form() {
        let secret = "0123456789abcdef0123\n";
        let hexed = hex(secret.trim().as_bytes());
        let text = format!("a = \"0123456789abcdef0123\" {hexed} {} 0123456789abcde", hexed.to_uppercase());
        assert_eq!(clean(&[secret], &text), "a = \"[secret]\" [secret] [secret] 0123456789abcde");
        let twice = "0123456789abcdef01230123456789abcdef0123";
        assert_eq!(clean(&[secret], twice), "[secret][secret]");
        assert_eq!(clean(&[secret, twice], twice), "[secret]", "the longer one first");
        assert_eq!(clean(&["short"], "short"), "short");
    }

    #[test]
    fn each_line_of_a_key_is_one_and_its_frame_is_none() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----\n";
        let text = "-----BEGIN PRIVATE KEY-----\nAgEGCCqGSM49AwEHBG0w";
        assert_eq!(clean(&[key], text), "-----BEGIN PRIVATE KEY-----\n[secret]");
        let mut binary = Secrets::default();
        binary.add(&[7; 32]);
        assert_eq!(binary.take_out([&[1][..], &[7; 32], &[2]].concat()), [&[1][..], INSTEAD, &[2]].concat());
    }

    #[test]
    fn a_password_in_a_url_is_taken_out() {
        assert_eq!(
            clean(&[], "[\"http://me:pw@a.example/x@y\", 'b']"),
            "[\"http://[secret]@a.example/x@y\", 'b']"
        );
        assert_eq!(clean(&[], "http://a.example // me@b"), "http://a.example // me@b");
        assert_eq!(clean(&[], "//a@b//c@d//"), "//[secret]@b//[secret]@d//");
        assert_eq!(clean(&[], "//"), "//");
    }
}
