//! The CIFS gateway: the port's own server against Debian's Samba over a mount of the same file system, with smbclient,
//! the center beside them and far away.

mod far;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::report::{median, short};
use crate::data;
use crate::shared::Shared;
use crate::site::said;
use crate::smbclient::Smbclient;

/// Bytes of the large file.
const LARGE_BYTES: usize = 256 << 20;
/// Small files, and the bytes of each.
const FILES: usize = 500;
const FILE_BYTES: usize = 4 << 10;
/// To the far center and back.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// More keys of `[cifs]`.
const OWN: &str = "signing = \"offered\"\n";
const SAMBA: &str = "signing = \"offered\"\nengine = \"samba\"\n";

/// What is measured.
#[derive(Clone, Copy)]
enum Work {
    Put(&'static str),
    /// Of what is in the cache.
    Get(&'static str),
    /// Of what is not, and has to come from the center.
    GetCold,
    PutFiles,
    GetFiles,
    DeleteFiles,
}

struct Row {
    title: &'static str,
    work: Work,
    is_far: bool,
    /// Ours against Samba's; or MiB a second.
    goal: Goal,
}

enum Goal {
    Times(f64),
    Rate(f64),
    None,
}

const fn row(title: &'static str, work: Work, is_far: bool, goal: Goal) -> Row {
    Row { title, work, is_far, goal }
}

const ROWS: &[Row] = &[
    row("put 256 MiB, plain", Work::Put("off"), false, Goal::Times(1.0)),
    row("get 256 MiB, plain", Work::Get("off"), false, Goal::Times(1.0)),
    row("put 256 MiB, signed", Work::Put("sign"), false, Goal::Times(0.4)),
    row("get 256 MiB, signed", Work::Get("sign"), false, Goal::Times(0.4)),
    row("put 256 MiB, encrypted", Work::Put("encrypt"), false, Goal::Times(1.0)),
    row("get 256 MiB, encrypted", Work::Get("encrypt"), false, Goal::Times(1.0)),
    row("put 500 files of 4 KiB", Work::PutFiles, false, Goal::Times(1.5)),
    row("get 500 files of 4 KiB", Work::GetFiles, false, Goal::Times(1.5)),
    row("delete 500 files", Work::DeleteFiles, false, Goal::None),
    row("put 256 MiB, center 50 ms away", Work::Put("off"), true, Goal::Rate(150.0)),
    row("get 256 MiB from the cache, center 50 ms away", Work::Get("off"), true, Goal::Rate(150.0)),
    row("get 256 MiB from the center, 50 ms away", Work::GetCold, true, Goal::Rate(150.0)),
];

/// Compares `rounds` times, the rows whose titles have `only` in them, and prints the table.
pub fn compare(rounds: usize, only: &str, scratch: &Path) {
    let away = |address| far::away(address, ROUND_TRIP / 2);
    let near = [Shared::start(OWN), Shared::start(SAMBA)];
    let far = [Shared::start_away(OWN, away), Shared::start_away(SAMBA, away)];
    let large = scratch.join("large");
    fs::write(&large, data::bytes(1, LARGE_BYTES)).unwrap();
    let many = scratch.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..FILES {
        fs::write(many.join(format!("file-{number}")), data::bytes(number as u64, FILE_BYTES)).unwrap();
    }
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.title.contains(only)).collect();
    let mut seconds = vec![[Vec::new(), Vec::new()]; rows.len()];
    for round in 1..=rounds {
        for (row, seconds) in rows.iter().zip(&mut seconds) {
            for (shared, seconds) in if row.is_far { &far } else { &near }.iter().zip(seconds) {
                eprintln!("round {round} of {rounds}: {}", row.title);
                seconds.push(measure(shared, row.work, &large, &many).as_secs_f64());
            }
        }
    }
    println!("| work | the port itself | Samba over FUSE | times | goal |");
    println!("|---|---|---|---|---|");
    for (row, [own, samba]) in rows.iter().zip(&seconds) {
        let rates = [own, samba].map(|seconds| amount(row.work) / median(seconds.iter().copied()));
        let unit = unit(row.work);
        let times = rates[0] / rates[1];
        let goal = match row.goal {
            Goal::Times(goal) => format!("{goal} ×{}", if times < goal { ", missed" } else { "" }),
            Goal::Rate(goal) => format!("{goal} {unit}{}", if rates[0] < goal { ", missed" } else { "" }),
            Goal::None => "–".to_owned(),
        };
        let [own, samba] = rates.map(short);
        println!("| {} | {own} {unit} | {samba} {unit} | {times:.2} | {goal} |", row.title);
    }
}

fn amount(work: Work) -> f64 {
    match work {
        Work::Put(_) | Work::Get(_) | Work::GetCold => LARGE_BYTES as f64 / f64::from(1 << 20),
        Work::PutFiles | Work::GetFiles | Work::DeleteFiles => FILES as f64,
    }
}

fn unit(work: Work) -> &'static str {
    match work {
        Work::Put(_) | Work::Get(_) | Work::GetCold => "MiB/s",
        Work::PutFiles | Work::GetFiles | Work::DeleteFiles => "/s",
    }
}

/// How long it takes, with the client's logon.
fn measure(shared: &Shared, work: Work, large: &Path, many: &Path) -> Duration {
    let protected = |by: &str| shared.alice().with(&format!("--client-protection={by}"));
    let (large, many) = (large.display(), many.display());
    match work {
        Work::Put(by) => {
            let taken = timed(&protected(by), &format!("put {large} large"));
            shared.port.wait_nothing_owed();
            taken
        }
        Work::Get(by) => {
            // Twice: so it is in the cache.
            timed(&protected(by), "get large /dev/null");
            timed(&protected(by), "get large /dev/null")
        }
        Work::GetCold => {
            said(&shared.port.config(), &["cache", "drop"]);
            timed(&protected("off"), "get large /dev/null")
        }
        Work::PutFiles => {
            timed(&protected("off"), "mkdir many");
            let taken = timed(&protected("off"), &format!("cd many; lcd {many}; prompt; mput file-*"));
            shared.port.wait_nothing_owed();
            taken
        }
        Work::GetFiles => timed(&protected("off"), &format!("cd many; lcd {many}; prompt; mget file-*")),
        Work::DeleteFiles => {
            let taken = timed(&protected("off"), "cd many; del file-*");
            timed(&protected("off"), "rmdir many");
            taken
        }
    }
}

fn timed(client: &Smbclient, commands: &str) -> Duration {
    let begun = Instant::now();
    client.run("export", commands).good().unwrap();
    begun.elapsed()
}
