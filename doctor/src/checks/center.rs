//! Whether the storage center is there, and takes this port's secret.

use super::or_ok;
use crate::plan::Door;
use crate::report::{Finding, Outcome};
use crate::shell::center::{Answer, Trouble, Visit};

const CHECK: &str = "center";

pub(super) fn judge(doors: &[Door], visits: &[Visit], refused: Option<&str>) -> Vec<Finding> {
    let mut findings: Vec<_> = doors
        .iter()
        .zip(visits)
        .filter_map(|(door, visit)| {
            let (text, mend) = wrong(visit)?;
            let text = format!("{}: {text}", door.url);
            Some(if has_other(door, doors, visits) {
                Finding::warning(CHECK, format!("{text}; another one answers"), mend)
            } else {
                Finding::fault(CHECK, text, mend)
            })
        })
        .collect();
    let is_open = visits.iter().any(Result::is_ok);
    if findings.iter().all(|finding| finding.outcome < Outcome::Fault)
        && is_open
        && let Some(refused) = refused
    {
        findings.push(Finding::fault(
            CHECK,
            format!("it answers, and does not serve this port: {refused}"),
            "see to `id` and `secret_file` of [[customer]], which the center's operator made",
        ));
    }
    or_ok(findings, || match is_open {
        true => Finding::ok(CHECK, "it answers, and takes the customer's secret"),
        // Whoever found out why has said it.
        false => Finding::not_checked(CHECK, "the way there is broken before: see above and below"),
    })
}

/// Whether for each of its purposes another door is open.
fn has_other(door: &Door, doors: &[Door], visits: &[Visit]) -> bool {
    let well = doors.iter().zip(visits).filter(|(_, visit)| matches!(visit, Ok(answer) if serves(answer)));
    let others: Vec<_> = well.map(|(other, _)| other).filter(|other| *other != door).collect();
    door.keys.iter().all(|key| others.iter().any(|other| other.keys.contains(key)))
}

/// What is ill, or stops, answers so.
fn serves(answer: &Answer) -> bool {
    answer.status < 500
}

fn wrong(visit: &Visit) -> Option<(String, &'static str)> {
    let way = "see to the WAN's cable, address and router, and ask the center's operator whether it runs";
    let address = "see to host and port of `ddm` and `dosm` in [center], and whether it is http or https";
    match visit {
        Ok(answer) if !serves(answer) => {
            Some((format!("it answers that it cannot serve now (status {})", answer.status), way))
        }
        Ok(_) | Err(Trouble::Name | Trouble::Certificate(_)) => None,
        Err(Trouble::Url) => Some(("that is not of the form http://host:port".to_owned(), address)),
        Err(Trouble::Connect(why)) => Some((format!("cannot connect: {why}"), way)),
        Err(Trouble::Silent(what)) => Some((format!("nobody answers: {what} did not come in time"), way)),
        Err(Trouble::Tls(why) | Trouble::Http(why)) => Some((why.clone(), address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{answer, door, outcome};
    use crate::shell::center::Distrust;

    #[test]
    fn a_center_that_is_away_is_a_fault_unless_another_does_its_work() {
        let away = || Err(Trouble::Connect("Connection refused".into()));
        let both = || door("http://a", &["ddm", "dosm"]);
        let of = |doors: &[Door], visits: &[Visit]| judge(doors, visits, None);
        assert_eq!(outcome(&of(&[both()], &[Ok(answer())])), Outcome::Ok);
        assert_eq!(outcome(&of(&[both()], &[away()])), Outcome::Fault);
        let two = [both(), door("http://b", &["ddm", "dosm"])];
        assert_eq!(outcome(&of(&two, &[away(), Ok(answer())])), Outcome::Warning);
        assert_eq!(of(&two, &[away(), away()]).len(), 2);
        let parted = [door("http://a", &["ddm"]), door("http://b", &["dosm"])];
        assert_eq!(
            outcome(&of(&parted, &[Ok(answer()), away()])),
            Outcome::Fault,
            "objects are nowhere else"
        );
        assert_eq!(outcome(&of(&[both()], &[Ok(Answer { status: 503, ..answer() })])), Outcome::Fault);
    }

    /// A cause is named once.
    #[test]
    fn what_others_have_found_is_not_told_again() {
        let one = [door("https://a", &["ddm", "dosm"])];
        for trouble in [Trouble::Name, Trouble::Certificate(Distrust::Expired)] {
            let told = judge(&one, &[Err(trouble)], Some("customer 1: cannot be reached"));
            assert_eq!(outcome(&told), Outcome::NotChecked);
        }
        let told =
            judge(&one, &[Err(Trouble::Silent("a connection"))], Some("customer 1: cannot be reached"));
        assert_eq!(told.len(), 1);
        let told = judge(&one, &[Ok(answer())], Some("customer 1: the secret is not accepted"));
        assert!(outcome(&told) == Outcome::Fault && told[0].text.contains("not accepted"), "{told:?}");
    }
}
