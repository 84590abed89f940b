//! Which shares there are. Pure.
//!
//! The server tells a share that somebody opened a file, and not who: what a share does it does as one user of the
//! file system. So there is a share of each export for each pair of uid and gid that users have: those of the first
//! user in the file have the export's own name, those of others the name of the first user with them behind it
//! (`export-bob`). A user sees the shares alone that act as himself.

use crate::users::{Identity, User};

/// Longest name of a share (MS-SMB2 2.2.9).
const NAME_CHARS_MAX: usize = 80;
/// What names of shares cannot have in them (MS-FSCC 2.1.6).
const FORBIDDEN: &[char] = &['"', '\\', '/', '[', ']', ':', '|', '<', '>', '+', '=', ';', ',', '*', '?'];

/// Names that mean something else to clients, or to Samba.
const RESERVED: [&str; 4] = ["IPC$", "global", "homes", "printers"];

/// A tree that is to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// By which it is mounted, `/export`.
    pub path: String,
    /// Whether nothing can be changed in it.
    pub read_only: bool,
}

/// One share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What clients call it; case does not matter.
    pub name: String,
    /// Of which tree.
    pub export: Export,
    /// As whom it acts.
    pub identity: Identity,
    /// Who may use it.
    pub users: Vec<String>,
}

/// Why there can be no such shares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// The name.
    #[error(
        "export {path} cannot be shared by CIFS as `{name}`: give it a path without special signs, 80 characters long"
    )]
    Name {
        /// The export's path.
        path: String,
        /// What the share would be called.
        name: String,
    },
    /// Two of one name.
    #[error("two shares would be called `{0}`: give one of the exports, or of the users, another name")]
    Same(String),
}

/// All shares: in order of the exports, and of each first that of the first user.
///
/// # Errors
/// See [`ShareError`].
pub fn shares(exports: &[Export], users: &[User]) -> Result<Vec<Share>, ShareError> {
    let mut identities: Vec<Identity> = Vec::new();
    for user in users {
        if !identities.contains(&user.identity) {
            identities.push(user.identity);
        }
    }
    let mut shares: Vec<Share> = Vec::new();
    for export in exports {
        for (place, identity) in identities.iter().enumerate() {
            let theirs = users.iter().filter(|user| user.identity == *identity);
            let names: Vec<String> = theirs.map(|user| user.name.clone()).collect();
            let name = match (place, names.first()) {
                (1.., Some(first)) => format!("{}-{first}", plain_name(export)),
                _ => plain_name(export),
            };
            check(&name, export, shares.iter().map(|share| &*share.name))?;
            shares.push(Share { name, export: export.clone(), identity: *identity, users: names });
        }
    }
    Ok(shares)
}

/// What the shares are called where each user acts as himself in one share for all: one for each export.
///
/// # Errors
/// See [`ShareError`].
pub fn names(exports: &[Export]) -> Result<Vec<String>, ShareError> {
    let mut names: Vec<String> = Vec::new();
    for export in exports {
        let name = plain_name(export);
        check(&name, export, names.iter().map(|name| &**name))?;
        names.push(name);
    }
    Ok(names)
}

fn plain_name(export: &Export) -> String {
    export.path.trim_start_matches('/').replace('/', "-")
}

fn check<'n>(
    name: &str,
    export: &Export,
    mut others: impl Iterator<Item = &'n str>,
) -> Result<(), ShareError> {
    let is_bad = |letter: char| letter.is_control() || FORBIDDEN.contains(&letter);
    if name.is_empty()
        || name.chars().count() > NAME_CHARS_MAX
        || name.contains(is_bad)
        || RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
    {
        return Err(ShareError::Name { path: export.path.clone(), name: name.to_owned() });
    }
    match others.any(|other| other.eq_ignore_ascii_case(name)) {
        true => Err(ShareError::Same(name.to_owned())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(path: &str) -> Export {
        Export { path: path.into(), read_only: false }
    }

    fn user(name: &str, uid: u32) -> User {
        User { name: name.into(), identity: Identity { uid, gid: 1 }, password: "x".into() }
    }

    #[test]
    fn those_who_act_alike_have_shares_in_common() {
        let users = [user("ann", 5), user("bob", 7), user("cid", 5), user("dan", 7)];
        let made = shares(&[export("/export"), export("/site/films")], &users).unwrap();
        let shown: Vec<_> =
            made.iter().map(|share| (&*share.name, share.identity.uid, share.users.join(" "))).collect();
        assert_eq!(
            shown,
            [
                ("export", 5, "ann cid".into()),
                ("export-bob", 7, "bob dan".into()),
                ("site-films", 5, "ann cid".into()),
                ("site-films-bob", 7, "bob dan".into()),
            ]
        );
    }

    #[test]
    fn names_that_cannot_be_are_told() {
        let one = [user("ann", 5)];
        let same = shares(&[export("/a/b"), export("/A-B")], &one);
        assert_eq!(same, Err(ShareError::Same("A-B".into())));
        for path in ["/a:b", "/ipc$", "/global", &format!("/{}", "n".repeat(81))] {
            assert!(matches!(shares(&[export(path)], &one), Err(ShareError::Name { .. })), "{path}");
        }
        assert_eq!(shares(&[export("/x")], &[]), Ok(Vec::new()));
        assert_eq!(names(&[export("/a/b"), export("/A-B")]), Err(ShareError::Same("A-B".into())));
        assert_eq!(names(&[export("/x")]), Ok(vec!["x".into()]));
    }
}
