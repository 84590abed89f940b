//! Those who may log on, as Samba and the C library read them. Pure.
//!
//! Samba knows a user only if the machine does (passwd(5)). The port's users are the machine's no more than NFS clients'
//! are, so Samba alone is shown them, by nss_wrapper(1).

use std::collections::BTreeSet;

use cifs::users::User;
use md4::{Digest, Md4};

/// What every machine has, and Samba asks for.
const PASSWD: &str = "root:x:0:0::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";
const TAKEN: [&str; 2] = ["root", "nobody"];

/// Files for one set of users.
#[derive(Clone, PartialEq, Eq)]
pub struct Accounts {
    /// passwd(5).
    pub passwd: String,
    /// group(5).
    pub group: String,
    /// smbpasswd(5). It has what proves a user's identity in it: for nobody else to read.
    pub smbpasswd: String,
}

/// A user of this name cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user of Samba cannot be called `{0}`, as the machine's own is: give him another name")]
pub struct Taken(String);

impl Accounts {
    /// Of all of them.
    ///
    /// # Errors
    /// See [`Taken`].
    pub fn new(users: &[User]) -> Result<Self, Taken> {
        let (mut passwd, mut group, mut smbpasswd) = (PASSWD.to_owned(), GROUP.to_owned(), String::new());
        for user in users {
            if TAKEN.iter().any(|taken| user.name.eq_ignore_ascii_case(taken)) {
                return Err(Taken(user.name.clone()));
            }
            let (name, uid, gid) = (&user.name, user.identity.uid, user.identity.gid);
            passwd.push_str(&format!("{name}:x:{uid}:{gid}::/:/usr/sbin/nologin\n"));
            // A password that was last changed at 0 must be changed at once.
            let (no_lm, nt) = ("X".repeat(32), nt_hash(&user.password));
            smbpasswd.push_str(&format!("{name}:{uid}:{no_lm}:{nt}:[U          ]:LCT-00000001:\n"));
        }
        let groups: BTreeSet<u32> = users.iter().map(|user| user.identity.gid).collect();
        for gid in groups.into_iter().filter(|gid| ![0, 65_534].contains(gid)) {
            group.push_str(&format!("group-{gid}:x:{gid}:\n"));
        }
        Ok(Self { passwd, group, smbpasswd })
    }
}

/// NTOWFv1 (MS-NLMP 3.3.1): MD4 of the password in UTF-16LE.
fn nt_hash(password: &str) -> String {
    let bytes: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Md4::digest(&bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use cifs::users::Identity;

    use super::*;

    fn user(name: &str, password: &str) -> User {
        User { name: name.into(), identity: Identity { uid: 1000, gid: 100 }, password: password.into() }
    }

    #[test]
    fn a_password_is_proved_by_its_nt_hash() {
        // MS-NLMP 4.2.2.1.2.
        assert_eq!(nt_hash("Password"), "A4F49C406510BDCAB6824EE7C30FD852");
        let accounts = Accounts::new(&[user("alice", "Password")]).unwrap();
        assert!(accounts.smbpasswd.starts_with("alice:1000:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:A4F49C40"));
        assert!(accounts.passwd.ends_with("alice:x:1000:100::/:/usr/sbin/nologin\n"));
        assert!(accounts.group.ends_with("group-100:x:100:\n"));
    }

    /// Whoever had the machine's own name would get its uid.
    #[test]
    fn nobody_is_called_as_the_machine_s_own_users_are() {
        assert_eq!(Accounts::new(&[user("Root", "x")]).err(), Some(Taken("Root".into())));
        assert!(Accounts::new(&[user("nobody", "x")]).is_err());
    }
}
