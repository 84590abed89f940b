//! Whether the storage center's certificate can be trusted, and for how long.

use super::or_ok;
use crate::plan::Door;
use crate::report::Finding;
use crate::shell::center::{Distrust, SOON, Trouble, Visit};

const CHECK: &str = "certificate";

pub(super) fn judge(doors: &[Door], visits: &[Visit]) -> Vec<Finding> {
    let secure: Vec<_> = doors.iter().zip(visits).filter(|(door, _)| door.url.starts_with("https")).collect();
    if secure.is_empty() {
        return vec![Finding::ok(CHECK, "the storage center is asked by plain HTTP: there is none")];
    }
    let findings = secure.iter().filter_map(|(door, visit)| {
        let url = &door.url;
        match visit {
            Err(Trouble::Certificate(distrust)) => {
                let (text, mend) = told(distrust);
                Some(Finding::fault(CHECK, format!("{url}: {text}"), mend))
            }
            Ok(answer) if answer.certificate == Some(true) => {
                let days = SOON.as_secs() / 86_400;
                let text = format!("{url}: its certificate ends within {days} days");
                Some(Finding::warning(CHECK, text, "have the center's operator renew it"))
            }
            _ => None,
        }
    });
    or_ok(findings.collect(), || match secure.iter().any(|(_, visit)| visit.is_ok()) {
        true => Finding::ok(CHECK, "the storage center's is trusted"),
        false => Finding::not_checked(CHECK, "no storage center showed one"),
    })
}

fn told(distrust: &Distrust) -> (String, &'static str) {
    match distrust {
        Distrust::Expired => (
            "its certificate has expired".to_owned(),
            "have the center's operator renew it, or set this machine's clock if that is wrong",
        ),
        Distrust::NotYet => (
            "its certificate is not good yet".to_owned(),
            "set this machine's clock, or have the center's operator make it anew",
        ),
        Distrust::Issuer => (
            "its certificate is not signed by an authority that is trusted here".to_owned(),
            "name the file with its authority's certificate as `ca_file` of [center]",
        ),
        Distrust::Name => (
            "its certificate is for another name".to_owned(),
            "write a name that stands in it in `ddm` and `dosm` of [center]",
        ),
        Distrust::Other(why) => (
            format!("its certificate cannot be trusted: {why}"),
            "have the center's operator make it anew, not marked as an authority",
        ),
        Distrust::Authorities(why) => (
            format!("the authorities that it is to be known by cannot be read: {why}"),
            "give a PEM file with certificates as `ca_file` of [center]",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{answer, door, outcome};
    use crate::report::Outcome;
    use crate::shell::center::Answer;

    #[test]
    fn each_reason_for_distrust_has_its_words() {
        let one = [door("https://center.example", &["ddm"])];
        let cases = [
            (Distrust::Expired, "expired"),
            (Distrust::NotYet, "not good yet"),
            (Distrust::Issuer, "ca_file"),
            (Distrust::Name, "another name"),
            (Distrust::Other("odd".into()), "odd"),
            (Distrust::Authorities("none".into()), "PEM"),
        ];
        for (distrust, words) in cases {
            let told = judge(&one, &[Err(Trouble::Certificate(distrust))]);
            let text = format!("{} {}", told[0].text, told[0].mend.as_ref().unwrap());
            assert!(outcome(&told) == Outcome::Fault && text.contains(words), "{text}");
        }
        let of = |certificate| outcome(&judge(&one, &[Ok(Answer { certificate, ..answer() })]));
        assert_eq!([of(Some(false)), of(Some(true))], [Outcome::Ok, Outcome::Warning]);
        assert_eq!(outcome(&judge(&one, &[Err(Trouble::Name)])), Outcome::NotChecked);
        assert_eq!(outcome(&judge(&[door("http://a", &["ddm"])], &[Ok(answer())])), Outcome::Ok);
    }
}
