//! `./bench vfs`: the directory service over HTTP and XML, beside bare writers of the same rows (VFS-3, VFS-4).
//!
//! - [`center`] is a storage center of one process, and its clients.
//! - [`bare`] has no server of ours: SQLite and PostgreSQL alone.

pub mod bare;
pub mod center;

use std::path::Path;
use std::time::Duration;

use self::center::{Center, Engine};
use crate::bench::report::{median, short};
use crate::postgres::Postgres;

/// How long each row of a round runs.
const RUN: Duration = Duration::from_secs(4);
/// Clients of the center, each with one request in flight.
const CLIENTS: usize = 64;
/// Connections of the bare PostgreSQL client.
const BARE_CONNECTIONS: usize = 32;
/// Entries of the folder that is listed, and names that are looked up.
const ENTRIES: usize = 1_000;
/// Listings of a round.
const LISTINGS: usize = 40;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Things done in a second.
    pub rate: f64,
    /// How long each took, in seconds.
    pub latencies: Vec<f64>,
    /// Processor time of the center for each, in seconds.
    pub cost: f64,
}

impl Run {
    /// The time within which 99 % were done, in milliseconds.
    fn p99_ms(&self) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() * 99 / 100).map_or(f64::NAN, |seconds| 1e3 * seconds)
    }
}

/// One line of the table: the center's runs, the bare ones, and the goals.
struct Row {
    title: &'static str,
    ours: Vec<Run>,
    bare: Vec<Run>,
}

impl Row {
    fn new(title: &'static str) -> Self {
        Self { title, ours: Vec::new(), bare: Vec::new() }
    }

    fn line(&self) -> String {
        let of = |runs: &[Run], what: fn(&Run) -> f64| median(runs.iter().map(what));
        let (rate, bare) = (of(&self.ours, |run| run.rate), of(&self.bare, |run| run.rate));
        let beside = if bare.is_nan() { "–".to_owned() } else { format!("{} /s", short(bare)) };
        let ratio = if bare.is_nan() { "–".to_owned() } else { format!("{:.2}", rate / bare) };
        format!(
            "| {} | {} /s | {} ms | {} ms | {beside} | {ratio} |",
            self.title,
            short(rate),
            short(of(&self.ours, Run::p99_ms)),
            short(1e3 * of(&self.ours, |run| run.cost)),
        )
    }
}

/// Measures in turns, and prints the table.
pub fn compare(rounds: usize, scratch: &Path) {
    let server = Postgres::start(scratch);
    let sqlite = Center::start(scratch, "sqlite", &Engine::Sqlite);
    let postgres = Center::start(scratch, "postgres", &Engine::Postgres(server.database("vfs")));
    let mut rows = [
        "durable creates, SQLite",
        "durable creates, PostgreSQL",
        "lookups, SQLite",
        "lookups, PostgreSQL",
        "listings of 1,000 entries, SQLite",
        "listings of 1,000 entries, PostgreSQL",
    ]
    .map(Row::new);
    for center in [&sqlite, &postgres] {
        center.fill(ENTRIES);
    }
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        rows[0].ours.push(sqlite.create(CLIENTS, RUN));
        rows[0].bare.push(bare::sqlite(&scratch.join(format!("bare-{round}.db")), CLIENTS, RUN));
        rows[1].ours.push(postgres.create(CLIENTS, RUN));
        rows[1].bare.push(bare::postgres(&server.database(&format!("bare_{round}")), BARE_CONNECTIONS, RUN));
        rows[2].ours.push(sqlite.look_up(CLIENTS, RUN, ENTRIES));
        rows[3].ours.push(postgres.look_up(CLIENTS, RUN, ENTRIES));
        rows[4].ours.push(sqlite.list(LISTINGS));
        rows[5].ours.push(postgres.list(LISTINGS));
    }
    println!("| work | storage center | p99 | processor time of the center, each | bare | center ÷ bare |");
    println!("|---|---|---|---|---|---|");
    for row in &rows {
        println!("{}", row.line());
    }
}
