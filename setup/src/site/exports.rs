//! `[[export]]`: what clients mount.

use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::Serialize;
use toml::Table;

use super::reader::{Reader, Told};
use crate::fault::Fault;
use crate::words::{CenterUrl, NotA};

/// Longest path of an export (`MNTPATHLEN`), and longest folder.
const PATH_BYTES_MAX: usize = 1024;
/// Most exports.
const EXPORTS_MAX: usize = 1000;

/// One export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// What clients mount.
    pub path: String,
    /// Files or SRLs.
    pub tree: Tree,
    /// Which folder of the customer's.
    pub folder: Option<String>,
    /// Who may mount it; the LAN if nobody is named.
    pub allowed: Vec<IpNetwork>,
    /// Whether nothing may be changed.
    pub read_only: Option<bool>,
    /// Whether each change of a name is told.
    pub audit: Option<bool>,
    /// Whether `.versions` shows what is kept.
    pub versions: Option<bool>,
    /// Whose rights are taken away.
    pub squash: Option<Squash>,
    /// User id of those.
    pub anonymous_uid: Option<u32>,
    /// Group id of those.
    pub anonymous_gid: Option<u32>,
    /// How long an SRL is good.
    pub srl_seconds: Option<u32>,
    /// What stands before an SRL's path.
    pub srl_host: Option<CenterUrl>,
    /// Which kind of SRL.
    pub srl_version: Option<u8>,
}

/// `tree`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tree {
    /// The files.
    #[default]
    Files,
    /// Their SRLs.
    Srl,
}

impl FromStr for Tree {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        match text {
            "files" => Ok(Self::Files),
            "srl" => Ok(Self::Srl),
            _ => Err(NotA("write \"files\" or \"srl\"")),
        }
    }
}

/// `squash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Squash {
    /// Nobody.
    None,
    /// Root.
    Root,
    /// Everybody.
    All,
}

impl FromStr for Squash {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        match text {
            "none" => Ok(Self::None),
            "root" => Ok(Self::Root),
            "all" => Ok(Self::All),
            _ => Err(NotA("write \"none\", \"root\" or \"all\"")),
        }
    }
}

/// Where an export is, or which folder it shows.
struct FolderPath(String);

impl FromStr for FolderPath {
    type Err = NotA;

    fn from_str(text: &str) -> Result<Self, NotA> {
        let is_name =
            |name: &str| !name.is_empty() && name != "." && name != ".." && !name.contains(char::is_control);
        let names = text.strip_prefix('/').map(|names| names.split('/').all(is_name));
        (text.len() <= PATH_BYTES_MAX && (text == "/" || names == Some(true)))
            .then(|| Self(text.to_owned()))
            .ok_or(NotA(
                "write a path like /export: a slash, names with slashes between them, and none at the end",
            ))
    }
}

impl Export {
    /// The export of all files, or of all their SRLs.
    fn default_of(tree: Tree) -> Self {
        Self {
            path: match tree {
                Tree::Files => "/export".to_owned(),
                Tree::Srl => "/SRL".to_owned(),
            },
            tree,
            folder: None,
            allowed: Vec::new(),
            read_only: None,
            audit: None,
            versions: None,
            squash: None,
            anonymous_uid: None,
            anonymous_gid: None,
            srl_seconds: None,
            srl_host: None,
            srl_version: None,
        }
    }

    fn read(table: &Table, number: usize, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut reader = Reader::new(format!("[[export]] {number}:"), table, faults);
        let path = reader.required::<FolderPath>("path", "\"/export\"");
        let tree = reader.optional("tree", "\"files\"");
        let folder = reader.optional::<FolderPath>("folder", "\"/photos\"");
        let allowed = reader.list("allowed", "[\"192.0.2.0/24\"]");
        let read_only = reader.flag("read_only");
        let audit = reader.flag("audit");
        let versions = reader.flag("versions");
        let squash = reader.optional("squash", "\"root\"");
        let anonymous_uid = reader.number("anonymous_uid", 0, u32::MAX);
        let anonymous_gid = reader.number("anonymous_gid", 0, u32::MAX);
        let srl_seconds = reader.number("srl_seconds", 0, u32::MAX);
        let srl_host = reader.optional("srl_host", "\"https://media.example\"");
        let srl_version = reader.number("srl_version", 1, 2);
        let path = path?.0;
        if path == "/" {
            reader.fault("path", "an export has a name: write it like /export");
            return None;
        }
        let all = || {
            Ok::<_, Told>(Self {
                path,
                tree: tree?.unwrap_or_default(),
                folder: folder?.map(|folder| folder.0),
                allowed: allowed?,
                read_only: read_only?,
                audit: audit?,
                versions: versions?,
                squash: squash?,
                anonymous_uid: anonymous_uid?,
                anonymous_gid: anonymous_gid?,
                srl_seconds: srl_seconds?,
                srl_host: srl_host?,
                srl_version: srl_version?,
            })
        };
        all().ok()
    }
}

/// All of a site; `None` was told.
pub(super) fn read(document: &Table, faults: &mut Vec<Fault>) -> Option<Vec<Export>> {
    let entries: Option<Vec<&Table>> = match document.get("export") {
        None => return Some([Tree::Files, Tree::Srl].map(Export::default_of).into()),
        Some(toml::Value::Array(entries)) => entries.iter().map(toml::Value::as_table).collect(),
        Some(_) => None,
    };
    let Some(entries) = entries.filter(|entries| (1..=EXPORTS_MAX).contains(&entries.len())) else {
        let text = format!(
            "write 1 to {EXPORTS_MAX} of them, each below a line [[export]]; or none, for /export and /SRL"
        );
        faults.push(Fault::at("[[export]]", text));
        return None;
    };
    let mut exports: Vec<Export> = Vec::new();
    let mut is_whole = true;
    for (place, table) in entries.into_iter().enumerate() {
        match Export::read(table, place + 1, faults) {
            Some(export) if exports.iter().any(|other| other.path == export.path) => {
                faults.push(Fault::at(
                    format!("[[export]] {}", export.path),
                    "stands there twice: remove one of them",
                ));
                is_whole = false;
            }
            Some(export) => exports.push(export),
            None => is_whole = false,
        }
    }
    is_whole.then_some(exports)
}
