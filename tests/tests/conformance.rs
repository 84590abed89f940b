//! Runs the table of `tests/src/conformance`: every case with each client at each server, under a name of its own
//! (`port::libnfs::rename_onto_itself`). A harness of its own, because the servers are shared by all cases and must end
//! with them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};

use e2e::conformance::client::Kind;
use e2e::conformance::target::Target;
use e2e::conformance::{cases, table, wire};
use libtest_mimic::{Arguments, Trial};

type Shared = Arc<LazyLock<Target>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One case at a time: UMNTALL, the quota and the like are the server's and not a case's own.
    arguments.test_threads.get_or_insert(1);
    let port: Shared = Arc::new(LazyLock::new(Target::port));
    let memory: Shared = Arc::new(LazyLock::new(Target::memory));
    let mut trials = trials("memory", false, &memory);
    trials.extend(self::trials("port", true, &port));
    trials.push(Trial::test("the_page_is_this_table", || {
        compare_page();
        Ok(())
    }));
    trials.push(Trial::test("no_two_cases_have_one_name", || {
        names_differ();
        Ok(())
    }));
    // Ends the servers before it returns, which `exit` would not.
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop((port, memory));
    conclusion.exit_code()
}

fn trials(server: &str, is_port: bool, target: &Shared) -> Vec<Trial> {
    let mut trials = Vec::new();
    for kind in Kind::ALL {
        for case in cases::all().filter(|case| case.suits(kind, is_port)) {
            let (name, target) = (format!("{server}::{}::{}", kind.name(), case.name), Arc::clone(target));
            trials.push(Trial::test(name, move || {
                case.play(&target, kind);
                Ok(())
            }));
        }
    }
    for case in wire::CASES.iter().filter(|case| is_port || !case.needs_port) {
        let (name, target) = (format!("{server}::{}", case.name), Arc::clone(target));
        trials.push(Trial::test(name, move || {
            case.play(&target);
            Ok(())
        }));
    }
    trials
}

/// The page in the documentation is made of the cases; `UPDATE=1` writes it.
fn compare_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(table::PAGE);
    let page = table::page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{} is not of these cases: make it with UPDATE=1", table::PAGE);
}

fn names_differ() {
    let mut names: Vec<&str> =
        cases::all().map(|case| case.name).chain(wire::CASES.iter().map(|case| case.name)).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
