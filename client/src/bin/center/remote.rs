//! Paths in the center, and walking along them.

use std::convert::Infallible;
use std::str::FromStr;

use client::{Center, ClientError};
use protocol::id::ObjectId;
use protocol::name::Name;
use protocol::vfs::{Answer, ENTRIES_MAX, Kind, Operation, Request, Row, Target, VfsErrorCode};

use crate::show;

/// A path from the customer's root, `/dir/file`; the leading `/` may be left out.
#[derive(Clone, Debug)]
pub(crate) struct RemotePath(String);

impl FromStr for RemotePath {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl RemotePath {
    /// The names on the way; `.` and empty ones are passed over.
    pub(crate) fn names(&self) -> Result<Vec<Name>, String> {
        let parts = self.0.split('/').filter(|part| !part.is_empty() && *part != ".");
        parts.map(|part| Name::new(part.as_bytes()).map_err(|error| self.told(error))).collect()
    }

    /// The names of the folder, and the last name. The root has none.
    pub(crate) fn parent_and_name(&self) -> Result<(Vec<Name>, Name), String> {
        let mut names = self.names()?;
        let name = names.pop().ok_or("the root folder can be neither made nor moved nor removed")?;
        Ok((names, name))
    }

    /// An error about this path.
    pub(crate) fn told(&self, why: impl std::fmt::Display) -> String {
        format!("{}: {why}", show::plain(self.0.as_bytes()))
    }

    /// Whether it ends in `/`: a folder is meant.
    pub(crate) fn means_folder(&self) -> bool {
        self.0.ends_with('/')
    }
}

/// The row at the end of the names.
pub(crate) async fn resolve(center: &Center, names: &[Name]) -> Result<Row, ClientError> {
    let mut row = row(center, Operation::OpenRoot).await?;
    for name in names {
        let target = Target::Name(row.id, name.clone());
        row = self::row(center, Operation::Open { target, srl_expires: None }).await?;
    }
    Ok(row)
}

/// The row at a path.
pub(crate) async fn open(center: &Center, path: &RemotePath) -> Result<Row, String> {
    resolve(center, &path.names()?).await.map_err(|error| path.told(error))
}

/// Where something called `name` goes if `path` is given as its place: into the folder at `path`, or as `path` itself.
/// Gives the folder's id and the name there.
pub(crate) async fn place(
    center: &Center,
    path: &RemotePath,
    name: Option<&Name>,
) -> Result<(ObjectId, Name), String> {
    let there = resolve(center, &path.names()?).await;
    let nameless = || path.told("has no name to be called by; give one");
    match there {
        Ok(row) if row.kind() == Kind::Folder => Ok((row.id, name.cloned().ok_or_else(nameless)?)),
        Err(error) if !error.is_not_found() => Err(path.told(error)),
        _ if path.means_folder() => Err(path.told("no such folder")),
        _ => {
            let (parent, name) = path.parent_and_name()?;
            let parent = resolve(center, &parent).await.map_err(|error| path.told(error))?;
            Ok((parent.id, name))
        }
    }
}

/// All entries of a folder, in order of name.
pub(crate) async fn entries(center: &Center, folder: ObjectId) -> Result<Vec<Row>, ClientError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let operation = Operation::OpenFolder { folder, after, limit: ENTRIES_MAX, srl_expires: None };
        match ask(center, operation).await? {
            Answer::Folder { entries, more, .. } => {
                after = entries.last().map(|row| row.id).or(after);
                let going_on = more && !entries.is_empty();
                all.extend(entries);
                if !going_on {
                    break;
                }
            }
            answer => return Err(unexpected(&answer)),
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Does one operation that answers with a row.
pub(crate) async fn row(center: &Center, operation: Operation) -> Result<Row, ClientError> {
    match ask(center, operation).await? {
        Answer::Row(row) => Ok(row),
        Answer::Changed(changed) => {
            changed.row.ok_or_else(|| ClientError::Invalid("the center sent no row".to_owned()))
        }
        answer => Err(unexpected(&answer)),
    }
}

/// Does one operation.
pub(crate) async fn ask(center: &Center, operation: Operation) -> Result<Answer, ClientError> {
    Ok(center.operate(Request { key: None, operation }).await?.answer)
}

/// A folder of that name, made if it is not there.
pub(crate) async fn folder(center: &Center, parent: ObjectId, name: &Name) -> Result<Row, ClientError> {
    let create = Operation::CreateFolder { parent, name: name.clone(), metadata: Vec::new() };
    match row(center, create).await {
        Err(error) if error.vfs_code() == Some(VfsErrorCode::Exists) => {
            let target = Target::Name(parent, name.clone());
            row(center, Operation::Open { target, srl_expires: None }).await
        }
        made => made,
    }
}

/// The error that an answer is to another question.
pub(crate) fn unexpected(answer: &Answer) -> ClientError {
    let kind = match answer {
        Answer::Row(_) => "a row",
        Answer::Folder { .. } => "a folder",
        Answer::Versions { .. } => "versions",
        Answer::Changed(_) => "a change",
        Answer::Usage(_) => "the usage",
        Answer::Changes { .. } => "changes",
        Answer::Lease(_) => "a lease",
    };
    ClientError::Invalid(format!("the center answered {kind}, which was not asked for"))
}
