//! The files of users and groups, made from the table of users that Buildroot's `BR2_ROOTFS_USERS_TABLES` reads
//! (Buildroot's manual, "Makeusers syntax"). Pure.

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    uid: u32,
    group: String,
    gid: u32,
    home: String,
    shell: String,
    groups: Vec<String>,
}

/// A line of the table that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of the table of users is not `NAME UID GROUP GID ! HOME SHELL GROUPS COMMENT` with numbers: {text}")]
pub struct TableError {
    line: usize,
    text: String,
}

/// The texts of `/etc/passwd`, `/etc/group` and `/etc/shadow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// Who there is.
    pub passwd: String,
    /// In which groups.
    pub group: String,
    /// Nobody has a password, and none can be given.
    pub shadow: String,
}

/// Reads the table. Every user must have a number of its own and no password (`!`).
///
/// # Errors
/// See [`TableError`].
pub fn parse(table: &str) -> Result<Vec<User>, TableError> {
    let lines = (1..).zip(table.lines());
    lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(line, text)| user(text).ok_or_else(|| TableError { line, text: text.to_owned() }))
        .collect()
}

fn user(line: &str) -> Option<User> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, uid, group, gid, "!" | "*", home, shell, groups, ..] = words[..] else { return None };
    let or = |word: &str, none: &str| if word == "-" { none.to_owned() } else { word.to_owned() };
    Some(User {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        group: or(group, name),
        gid: gid.parse().ok()?,
        home: or(home, "/"),
        shell: or(shell, "/bin/false"),
        groups: if groups == "-" { Vec::new() } else { groups.split(',').map(str::to_owned).collect() },
    })
}

/// The files for root, `nobody` and these.
pub fn files(users: &[User]) -> Accounts {
    let mut passwd =
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n".to_owned();
    let mut shadow = "root:*:::::::\nnobody:*:::::::\n".to_owned();
    let mut groups: Vec<(String, u32, Vec<String>)> =
        vec![("root".into(), 0, Vec::new()), ("tty".into(), 5, Vec::new()), ("nogroup".into(), 65_534, Vec::new())];
    for User { name, uid, group, gid, home, shell, .. } in users {
        passwd.push_str(&format!("{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n"));
        shadow.push_str(&format!("{name}:*:::::::\n"));
        if !groups.iter().any(|(known, ..)| known == group) {
            groups.push((group.clone(), *gid, Vec::new()));
        }
    }
    for User { name, groups: more, .. } in users {
        for (group, _, members) in &mut groups {
            if more.contains(group) {
                members.push(name.clone());
            }
        }
    }
    let group = groups
        .iter()
        .map(|(group, gid, members)| format!("{group}:x:{gid}:{}\n", members.join(",")))
        .collect();
    Accounts { passwd, group, shadow }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_their_groups() {
        let table = "# comment\none 810 one 810 ! - - - the first\ntwo 811 two 811 ! /home /bin/sh one -\n";
        let files = files(&parse(table).unwrap());
        assert!(files.passwd.ends_with("one:x:810:810:one:/:/bin/false\ntwo:x:811:811:two:/home:/bin/sh\n"));
        assert!(files.group.ends_with("one:x:810:two\ntwo:x:811:\n"));
        assert!(files.shadow.lines().all(|line| line.contains(":*:")), "nobody has a password");
    }

    #[test]
    fn a_user_with_a_password_or_without_a_number_is_refused() {
        for line in ["one 810 one 810 =secret - - - x", "one -1 one -1 ! - - - x", "one 810"] {
            assert_eq!(parse(line).unwrap_err(), TableError { line: 1, text: line.to_owned() });
        }
    }
}
