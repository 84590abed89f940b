//! What `storage-center status --json` says, as far as tests look at it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::member::Member;

/// A cluster as one of its processes sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Nodes by number.
    pub nodes: BTreeMap<u64, NodeStatus>,
    /// Objects that lie on fewer nodes than they should.
    pub owed: u64,
}

/// A node, as it is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// `online`, `suspect`, `draining`, `failed` …
    pub state: String,
    /// `online`, `offline` or `down`, one for each disk.
    pub disks: Vec<String>,
}

impl Status {
    /// How many nodes are online.
    pub fn online(&self) -> usize {
        self.nodes.values().filter(|node| node.state == "online").count()
    }
}

/// Asks a process; `None` if it does not answer.
pub fn of(member: &Member) -> Option<Status> {
    let output = member.command(&["status"], &["--json"]);
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Some(parse(&text).unwrap_or_else(|| panic!("not a status: {text}")))
}

fn parse(text: &str) -> Option<Status> {
    let json: Value = serde_json::from_str(text).ok()?;
    let word = |value: &Value| value["state"].as_str().map(str::to_owned);
    let node = |value: &Value| {
        let disks = value["disks"].as_array()?.iter().map(word).collect::<Option<_>>()?;
        Some((value["node"].as_u64()?, NodeStatus { state: word(value)?, disks }))
    };
    let nodes = json["nodes"].as_array()?.iter().map(node).collect::<Option<_>>()?;
    Some(Status { nodes, owed: json["owed"].as_u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_disks_and_debts_are_read() {
        let text = r#"{"nodes": [
            {"node": 11, "state": "online", "disks": [{"state": "online", "bytes_free": 5}, {"state": "down"}]},
            {"node": 12, "state": "failed", "disks": []}], "owed": 3, "more": {}}"#;
        let status = parse(text).unwrap();
        assert_eq!((status.online(), status.owed), (1, 3));
        assert_eq!(status.nodes[&11].disks, ["online", "down"]);
        assert_eq!(parse("{}"), None);
    }
}
