//! Whether what a file holds is what its place wants. What is wrong is told without a byte of it.

use std::path::Path;

use protocol::pair::Member;
use protocol::srl::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::site::Pair;

/// Shortest key of a pair.
const PAIR_KEY_BYTES_MIN: usize = 32;
/// How the lines of public keys begin.
const KEY_KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// A customer's secret.
pub(crate) fn secret(bytes: &[u8]) -> Result<(), String> {
    Secret::from_file_content(bytes).map(drop).map_err(|_| {
        "holds no secret of at least 16 characters: copy the one that `storage-center customer add --secret-out` made"
            .to_owned()
    })
}

/// One certificate at least, in PEM.
pub(crate) fn certificates(bytes: &[u8]) -> Result<(), String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match read {
        Ok(none) if none.is_empty() => {
            Err("there is no certificate in it: give a PEM file, which begins with \
                                            -----BEGIN CERTIFICATE-----"
                .to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("is no PEM file of certificates: {error}; copy it again")),
    }
}

/// A private key in PEM.
pub(super) fn private_key(bytes: &[u8]) -> Result<(), String> {
    let read = PrivateKeyDer::from_pem_slice(bytes);
    read.map(drop).map_err(|_| "holds no private key in PEM: copy the pair's keys again".to_owned())
}

/// The key that the two ports share.
pub(super) fn pair_key(bytes: &[u8]) -> Result<(), String> {
    match bytes.trim_ascii_end().len() {
        short if short < PAIR_KEY_BYTES_MIN => {
            Err("is too short to be a pair's key: copy the pair's keys again".to_owned())
        }
        _ => Ok(()),
    }
}

/// Public keys of SSH.
pub(super) fn authorized_keys(bytes: &[u8]) -> Result<(), String> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| "is no text: give the .pub file of a key".to_owned())?;
    if text.contains("PRIVATE KEY-----") {
        return Err(
            "holds a private key, which belongs to its owner alone: give the .pub file beside it".to_owned()
        );
    }
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for (number, line) in lines {
        let kind = line.split_ascii_whitespace().next().unwrap_or_default();
        let has_key = line.split_ascii_whitespace().nth(1).is_some_and(|key| key.len() > 40);
        if !KEY_KINDS.contains(&kind) || !has_key {
            return Err(format!(
                "line {}: is no public key, such as `ssh-ed25519 AAAA… name`: copy it again",
                number + 1
            ));
        }
        count += 1;
    }
    if count == 0 { Err("holds no key: add one, or remove [ssh]".to_owned()) } else { Ok(()) }
}

/// Who may log on by CIFS, as the port's command makes lines. Whether their passwords can be opened only the port knows.
pub(super) fn cifs_users(bytes: &[u8]) -> Result<(), String> {
    const MAKE: &str = "`storage-port cifs user NAME --uid N --gid N --config FILE` makes a line";
    let text = std::str::from_utf8(bytes).map_err(|_| format!("is no text: {MAKE}"))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for (number, line) in lines {
        if line.split(':').count() != 4 {
            return Err(format!("line {number}: is no user: {MAKE}"));
        }
        count += 1;
    }
    if count == 0 { Err(format!("holds nobody: {MAKE}; or remove [cifs]")) } else { Ok(()) }
}

/// Whether the files of a folder go together, and are this port's. Reads them.
pub(super) fn pair(pair: &Pair, folder: &Path) -> Result<(), String> {
    let certificate = folder.join("port.pem");
    mutual::Identity::load(&certificate, &folder.join("port.key"), &folder.join("ca.pem"))
        .map_err(|error| format!("{error}; copy the pair's keys again"))?;
    let is_of = |member: Member| mutual::is_for(&certificate, &format!("{member}.{}", pair.name));
    let other = match pair.member {
        Member::A => Member::B,
        Member::B => Member::A,
    };
    match (is_of(pair.member), is_of(other)) {
        (Ok(true), _) => Ok(()),
        (_, Ok(true)) => Err(format!(
            "these are the keys of the other port, {other}: put the folder `{}` that `storage-port pair keys` made there",
            pair.member
        )),
        (Err(error), _) => Err(error.to_string()),
        _ => Err(format!(
            "these keys were made for another pair than {}: make `name` the same as in `storage-port pair keys --name`, \
             or make new keys for both ports",
            pair.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_told_from_private_ones() {
        let key = "A".repeat(68);
        assert_eq!(authorized_keys(format!("# me\n\nssh-ed25519 {key} me@example\n").as_bytes()), Ok(()));
        for (bad, words) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(), ".pub"),
            (format!("ssh-ed25519 {key}\ncommand=\"/bin/sh\" ssh-ed25519 {key}\n"), "line 2"),
            ("ssh-ed25519 AAAA".to_owned(), "line 1"),
            ("# nothing".to_owned(), "no key"),
        ] {
            assert!(authorized_keys(bad.as_bytes()).unwrap_err().contains(words), "{bad}");
        }
        assert!(authorized_keys(&[0xff]).is_err());
    }

    #[test]
    fn users_of_cifs_are_lines_of_four() {
        assert_eq!(cifs_users(b"# those of the office\n\nalice:1000:1000:00ff\n"), Ok(()));
        for (bad, words) in
            [("", "nobody"), ("# nobody\n", "remove [cifs]"), ("alice:1:1:00\nbob secret\n", "line 2")]
        {
            let told = cifs_users(bad.as_bytes()).unwrap_err();
            assert!(told.contains(words) && !told.contains("secret"), "{bad}: {told}");
        }
        assert!(cifs_users(&[0xff]).is_err());
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_told_without_it() {
        assert_eq!(secret(b"0123456789abcdef\n"), Ok(()));
        assert!(!secret(b"short-secret").unwrap_err().contains("short-secret"));
        assert!(!pair_key(b"short-secret").unwrap_err().contains("short-secret"));
        assert!(certificates(b"").unwrap_err().contains("BEGIN CERTIFICATE"));
    }
}
