//! What `storage-center status --json` and `storage-center mirror status --json` say, as far as tests look at it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::member::Member;

/// A cluster as one of its processes sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Storage nodes by number.
    pub nodes: BTreeMap<u64, NodeStatus>,
    /// Objects that lie on fewer nodes than they should, or not in as many centers.
    pub owed: u64,
    /// Copies more than there should be, made while another center was away.
    pub spare: u64,
}

/// A storage node, as it is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// What it says of itself, `online` or `draining`; `suspect` or `failed` if it has been silent.
    pub state: String,
    /// `online`, `offline` or `down`, one for each disk; none if it does not answer.
    pub disks: Vec<String>,
    /// References may be missing on it; `None` if it does not answer.
    pub lost_references: Option<bool>,
}

impl Status {
    /// How many nodes are online, and answer.
    pub fn online(&self) -> usize {
        self.nodes.values().filter(|node| node.state == "online" && !node.disks.is_empty()).count()
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

/// A directory of which there are several, as the manager of one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// `writer`; `follower`; `waiting` for a writer that may not write now.
    pub role: String,
    /// Grows by one with every takeover.
    pub generation: u64,
    /// The center that changes the directory.
    pub writer: String,
    /// It answers changes that no other has.
    pub alone: bool,
    /// Changes that followers lack, one number for each that has asked the writer.
    pub owed: Vec<u64>,
}

/// Asks a directory manager; `None` if it does not answer.
pub fn mirror_of(directory: &Member) -> Option<Mirror> {
    let output = directory.command(&["mirror", "status"], &["--json"]);
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Some(parse_mirror(&text).unwrap_or_else(|| panic!("not a mirror's status: {text}")))
}

fn parse_mirror(text: &str) -> Option<Mirror> {
    let json: Value = serde_json::from_str(text).ok()?;
    let word = |key: &str| json[key].as_str().map(str::to_owned);
    let followers = json["followers"].as_array()?;
    Some(Mirror {
        role: word("role")?,
        generation: json["generation"].as_u64()?,
        writer: word("writer")?,
        alone: json["alone"].as_bool()?,
        owed: followers.iter().map(|follower| follower["owed"].as_u64()).collect::<Option<_>>()?,
    })
}

fn parse(text: &str) -> Option<Status> {
    let json: Value = serde_json::from_str(text).ok()?;
    let word = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let node = |process: &Value| {
        let condition = word(process, "condition")?;
        let state = if condition == "live" { word(process, "state")? } else { condition };
        let disks = match &process["details"] {
            Value::Null => Vec::new(),
            details => {
                let disks = details["disks"].as_array()?;
                disks.iter().map(|disk| word(disk, "state")).collect::<Option<_>>()?
            }
        };
        let lost_references = process["details"]["lost_references"].as_bool();
        Some((process["node"].as_u64()?, NodeStatus { state, disks, lost_references }))
    };
    let is_node =
        |process: &&Value| process["roles"].as_array().is_some_and(|roles| roles.contains(&"isn".into()));
    let nodes = json["processes"].as_array()?.iter().filter(is_node).map(node).collect::<Option<_>>()?;
    Some(Status { nodes, owed: json["copies_owed"].as_u64()?, spare: json["copies_spare"].as_u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_and_what_followers_lack_is_read() {
        let text = r#"{"center": "south", "role": "writer", "generation": 2, "writer": "south", "alone": true,
            "position": 50, "followers": [{"center": "north", "position": 43, "owed": 7}]}"#;
        let [role, writer] = ["writer", "south"].map(str::to_owned);
        let mirror = Mirror { role, generation: 2, writer, alone: true, owed: vec![7] };
        assert_eq!(parse_mirror(text), Some(mirror));
        assert_eq!(parse_mirror(r#"{"generation": 2}"#), None);
    }

    #[test]
    fn nodes_disks_and_debts_are_read() {
        let text = r#"{"seen_by": 51, "copies_owed": 3, "copies_spare": 2, "processes": [
            {"node": 11, "roles": ["isn"], "condition": "live", "state": "online",
             "details": {"lost_references": true, "disks": [{"state": "online", "bytes_free": 5}, {"state": "down"}]}},
            {"node": 12, "roles": ["isn"], "condition": "failed", "state": "online", "details": null},
            {"node": 51, "roles": ["dosm"], "condition": "live", "state": "online", "details": null}]}"#;
        let status = parse(text).unwrap();
        assert_eq!((status.online(), status.owed, status.spare), (1, 3, 2));
        assert_eq!(status.nodes[&11].disks, ["online", "down"]);
        assert_eq!(status.nodes[&11].lost_references, Some(true));
        assert_eq!((status.nodes.len(), status.nodes[&12].state.as_str()), (2, "failed"));
        assert_eq!(parse("{}"), None);
    }
}
