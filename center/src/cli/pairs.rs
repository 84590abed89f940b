//! Commands for failover pairs of storage ports: they work on the directory database (FO-11).

use std::fmt;

use clap::Subcommand;
use protocol::id::CustomerId;
use protocol::pair::{Member, PairName};
use serde_json::json;

use super::{Failed, File};
use crate::config::Config;
use crate::serve::open_directory;
use crate::vfs::{Lease, Pair};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum PairCommand {
    /// List all pairs: which generation is in force, whose it is, and whether that port has a lease of the center's.
    List {
        #[command(flatten)]
        file: File,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Take back the lease of a port that is dead, so that the other one does not wait for its end. If it is not dead,
    /// both may answer clients for a moment.
    Release {
        #[command(flatten)]
        file: File,
        /// The customer.
        #[arg(long)]
        id: u32,
        /// The pair's name.
        #[arg(value_parser = parse_name)]
        name: PairName,
    },
}

fn parse_name(text: &str) -> Result<PairName, String> {
    PairName::parse(text).ok_or_else(|| "a pair's name has 1 to 64 of a-z, 0-9 and -".to_string())
}

impl PairCommand {
    /// Does it; what the person is told.
    pub async fn run(self) -> Result<String, Failed> {
        match self {
            Self::List { file, json } => {
                let pairs = open_directory(&Config::load(&file.config)?).await?.pairs().await?;
                Ok(match json {
                    true => pairs.iter().map(as_json).collect::<serde_json::Value>().to_string(),
                    false => pairs.iter().map(|pair| Line(pair).to_string()).collect::<Vec<_>>().join("\n"),
                })
            }
            Self::Release { file, id, name } => {
                let store = open_directory(&Config::load(&file.config)?).await?;
                let pair = store.release_pair(CustomerId(id), name).await?;
                Ok(Line(&pair).to_string())
            }
        }
    }
}

fn as_json(pair: &Pair) -> serde_json::Value {
    let Pair { customer, name, lease } = pair;
    let Lease { generation, holder, held, renewals, lease_ms } = lease;
    json!({
        "customer": customer.0,
        "pair": name.as_str(),
        "generation": generation.0,
        "holder": holder.map(Member::as_str),
        "held": held,
        "renewals": renewals,
        "lease_ms": lease_ms,
    })
}

/// A pair in one line.
struct Line<'a>(&'a Pair);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pair { customer, name, lease } = self.0;
        let holder = lease.holder.map_or("an unknown port", |member| match member {
            Member::A => "port a",
            Member::B => "port b",
        });
        write!(f, "{customer}\t{name}\tgeneration {} of {holder}\t", lease.generation)?;
        match lease.held {
            true => write!(f, "a lease of {} ms", lease.lease_ms),
            false => write!(f, "no lease"),
        }
    }
}
