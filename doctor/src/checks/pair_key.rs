//! Whether both ports of a pair, and both daemons of this one, have one key (FO-11).

use crate::plan::Pair;
use crate::report::Finding;
use crate::shell::neighbours::Overheard;

const CHECK: &str = "pair-key";
const SAME: &str = "take the files that `storage-port pair keys` made for this port, for both daemons, and those of \
                    the same making to the other port";

pub(super) fn judge(pair: Option<&Pair>, overheard: Overheard) -> Vec<Finding> {
    let Some(pair) = pair else {
        return vec![Finding::ok(CHECK, "this port is not one of a pair: it has none")];
    };
    let unusable = |why: &str| Finding::fault(CHECK, why, SAME);
    let key = match &pair.key {
        Ok(key) => key,
        Err(why) => return vec![unusable(why)],
    };
    if let Err(why) = &pair.certificate {
        return vec![unusable(why)];
    }
    let judge = match &pair.judge {
        Ok(judge) => judge,
        Err(why) => {
            let text = format!("the port's can be used; the judge's is not known: {why}");
            return vec![Finding::not_checked(CHECK, text)];
        }
    };
    let (name, member) = (&judge.pair.name, judge.pair.member.as_str());
    if (name.as_str(), member) != (pair.name.as_str(), pair.member.as_str()) {
        let text = format!(
            "the port is {} of pair {}, and its judge {member} of pair {name}",
            pair.member, pair.name
        );
        return vec![Finding::fault(CHECK, text, "write one `name` and `member` into [pair] of both files")];
    }
    let (judges, old) = match judge.pair_keys() {
        Ok(keys) => keys,
        Err(error) => return vec![unusable(&error.to_string())],
    };
    if judges != *key && old.as_ref() != Some(key) {
        return vec![unusable("the port and its judge have different keys")];
    }
    vec![match overheard {
        Overheard::Forged => unusable("the other port's judge speaks under another key"),
        Overheard::Foreign => Finding::fault(
            CHECK,
            "what comes from the other port's address is of another pair, or of another version",
            "see to `name` and `peer` on both ports, and to the versions of both",
        ),
        Overheard::Good => Finding::ok(CHECK, "one for the port, its judge, and the other port"),
        Overheard::Nothing => {
            Finding::ok(CHECK, "one for the port and its judge; the other port's judge was not heard")
        }
        Overheard::Deaf => Finding::ok(
            CHECK,
            "one for the port and its judge; hearing whether the other port has it needs root, or NET_RAW",
        ),
    }]
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::checks::testing::{judge as judge_file, outcome, plan};
    use crate::report::Outcome;

    /// FO-11: whatever of the keys does not fit together is told, and no byte of one.
    #[test]
    fn keys_must_be_the_same_everywhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pair.key");
        let key = "0123456789abcdef0123456789abcdef";
        fs::write(&file, format!("{key}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut config = judge_file();
        config.pair.key_file = file.clone();
        let mut pair = plan(Some(config)).pair.unwrap();
        pair.key = Ok(key.into());
        let of = |pair: &Pair, overheard| {
            let told = judge(Some(pair), overheard);
            assert!(told.len() == 1 && !format!("{told:?}").contains(key), "{told:?}");
            (outcome(&told), told[0].text.clone())
        };
        assert_eq!(of(&pair, Overheard::Good).0, Outcome::Ok);
        assert_eq!(of(&pair, Overheard::Nothing).0, Outcome::Ok);
        assert_eq!(of(&pair, Overheard::Forged).0, Outcome::Fault);
        assert_eq!(of(&pair, Overheard::Foreign).0, Outcome::Fault);
        let other = Pair { key: Ok(key.replace('0', "x").into()), ..pair.clone() };
        assert!(of(&other, Overheard::Good).1.contains("different keys"));
        let bad = Pair { certificate: Err("port.pem: no".into()), ..pair.clone() };
        assert_eq!(of(&bad, Overheard::Good), (Outcome::Fault, "port.pem: no".into()));
        let unread = Pair { key: Err("mode is 0644".into()), ..pair.clone() };
        assert_eq!(of(&unread, Overheard::Good), (Outcome::Fault, "mode is 0644".into()));
        let renamed = Pair { name: "site-9".into(), ..pair.clone() };
        assert!(of(&renamed, Overheard::Good).1.contains("site-9"));
        let alone = Pair { judge: Err("no such file".into()), ..pair.clone() };
        assert_eq!(of(&alone, Overheard::Good).0, Outcome::NotChecked);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(of(&pair, Overheard::Good).1.contains("chmod 600"));
        assert_eq!(outcome(&judge(None, Overheard::Deaf)), Outcome::Ok);
    }
}
