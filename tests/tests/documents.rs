//! What the documents name exists: paths, the tests behind promises, what links lead to, commands with their options.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::daemon::binary;
use e2e::tools::run_ok;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files of the repository's packages, as paths relative to its root.
fn files() -> Vec<String> {
    let root = root();
    let packages = [
        "nfs",
        "cifs",
        "protocol",
        "client",
        "config_file",
        "confine",
        "control",
        "doctor",
        "mutual",
        "manual",
        "metrics",
        "monitoring",
        "page_server",
        "appliance",
        "center",
        "failover",
        "fuse_mount",
        "samba",
        "setup",
        "image",
        "buildroot",
        "tests",
        "fuzz/fuzz_targets",
    ];
    let mut folders: Vec<PathBuf> = packages.iter().map(|package| root.join(package)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    files
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_path_of_the_architecture_exists() {
    let (text, files) = (fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap(), files());
    let mut checked = 0;
    for name in quoted(&text) {
        let path = name.split(": ").next().unwrap();
        let is_file = path.ends_with(".rs");
        let is_folder = path.contains('/') && path.ends_with('/');
        if path.contains(' ') || path.starts_with('/') || !(is_file || is_folder) {
            continue;
        }
        let found = match is_file {
            true => files.iter().any(|file| file == path || file.ends_with(&format!("/{path}"))),
            false => files.iter().any(|file| file.starts_with(path) || file.contains(&format!("/{path}"))),
        };
        assert!(found, "ARCHITECTURE.md names `{path}`, which does not exist");
        checked += 1;
    }
    assert!(checked > 40, "only {checked} paths were found in ARCHITECTURE.md");
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("SEMANTICS.md")).unwrap();
    let mut checked = 0;
    for name in text.lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`')) {
        let Some((file, test)) = name.split_once(": ") else { continue };
        let source = fs::read_to_string(root().join(file))
            .unwrap_or_else(|error| panic!("SEMANTICS.md names {file}: {error}"));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test `{test}`");
        checked += 1;
    }
    assert!(checked > 40, "only {checked} tests are named in SEMANTICS.md");
}

/// The pages for people, as paths.
fn pages() -> Vec<PathBuf> {
    let root = root();
    let folders = ["", "docs", "image", "buildroot"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = files.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    let letters = plain.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    letters.collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.contains("://") || link.contains(char::is_whitespace) {
                continue;
            }
            let (path, wanted) = link.split_once('#').unwrap_or((link, ""));
            let to = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(to.exists(), "{}: {link} leads nowhere", page.display());
            if !wanted.is_empty() {
                let text = fs::read_to_string(&to).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|heading| anchor(heading) == wanted),
                    "{}: {link}: no such heading",
                    page.display()
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} links were found");
}

/// What a program says of a command of its, by the words that lead there.
#[derive(Default)]
struct Helps(HashMap<Vec<String>, String>);

impl Helps {
    fn of(&mut self, words: &[String]) -> &str {
        self.0.entry(words.to_vec()).or_insert_with(|| {
            let arguments: Vec<&str> = words[1..].iter().map(String::as_str).chain(["--help"]).collect();
            String::from_utf8(run_ok(binary(&words[0]).to_str().unwrap(), &arguments)).unwrap()
        })
    }

    /// The commands below.
    fn commands(&mut self, words: &[String]) -> Vec<String> {
        let help = self.of(words);
        let (_, list) = help.split_once("Commands:\n").unwrap_or_default();
        let lines = list.lines().take_while(|line| line.starts_with("  "));
        let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    }

    /// What is wrong with a command line.
    fn fault(&mut self, line: &str) -> Option<String> {
        let mut tokens = line.split_whitespace().peekable();
        let mut words = vec![tokens.next()?.to_owned()];
        while let Some(token) = tokens.peek() {
            let commands = self.commands(&words);
            let is_name = token.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
            match commands.iter().any(|command| command == token) {
                true => words.extend(tokens.next().map(str::to_owned)),
                false if commands.is_empty() || !is_name || token.starts_with('-') => break,
                false => return Some(format!("no command `{token}` of {words:?}")),
            }
        }
        let help = self.of(&words).to_owned();
        let options = tokens.take_while(|token| !["|", ">", "#", "&&", ";", "||"].contains(token));
        let options = options.filter_map(|token| token.strip_prefix("--")).filter(|name| !name.is_empty());
        let names = options.map(|option| option.split(['=', ',', '.', ';', ')']).next().unwrap_or_default());
        let mut unknown = names.filter(|name| *name != "help" && !help.contains(&format!("--{name}")));
        unknown.next().map(|name| format!("no option `--{name}` of {words:?}"))
    }
}

/// The command lines of a page: in blocks for a shell, and between backquotes.
fn command_lines(text: &str) -> Vec<String> {
    const PROGRAMS: [&str; 5] = ["storage-port", "port-failover", "storage-center", "center", "image"];
    let blocks = text.split("```").skip(1).step_by(2);
    let shells = blocks.filter_map(|block| block.strip_prefix("sh\n").or_else(|| block.strip_prefix('\n')));
    let whole: String = shells.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let prose: String = text.split("```").step_by(2).collect();
    let all = whole.lines().chain(quoted(&prose));
    let bare = |line: &str| {
        let line = line.trim().trim_start_matches("$ ").trim_start_matches("sudo ");
        line.trim_start_matches("cargo run -p image -- ").to_owned()
    };
    let is_ours = |line: &String| PROGRAMS.iter().any(|program| line.starts_with(&format!("{program} ")));
    all.map(bare).filter(is_ours).collect()
}

/// No document tells people to say what no program understands.
#[test]
fn every_command_of_the_documents_is_one() {
    let (mut helps, mut checked, mut faults) = (Helps::default(), 0, Vec::new());
    for page in pages() {
        for line in command_lines(&fs::read_to_string(&page).unwrap()) {
            let fault = helps.fault(&line);
            faults.extend(fault.map(|fault| format!("{}: `{line}`: {fault}", page.display())));
            checked += 1;
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(checked > 100, "only {checked} command lines were found");
}
