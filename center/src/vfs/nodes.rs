//! Storage nodes there have ever been: those that a reference has to be given up on.

use std::net::SocketAddr;

use rusqlite::{Connection, params};

use super::failure::StoreError;

/// A storage node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownNode {
    /// Its number in the cluster.
    pub number: u32,
    /// Where it was reached last.
    pub address: SocketAddr,
}

/// Puts a node in, or its new address.
pub fn remember(db: &Connection, node: KnownNode) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO node (number, address) VALUES (?1, ?2)
         ON CONFLICT (number) DO UPDATE SET address = excluded.address",
    )?
    .execute(params![node.number, node.address.to_string()])?;
    Ok(())
}

/// Takes a node out.
pub fn forget(db: &Connection, number: u32) -> Result<(), StoreError> {
    db.execute("DELETE FROM node WHERE number = ?1", [number])?;
    Ok(())
}

/// All of them, by number.
pub fn list(db: &Connection) -> Result<Vec<KnownNode>, StoreError> {
    let mut statement = db.prepare_cached("SELECT number, address FROM node ORDER BY number")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?)))?;
    let mut nodes = Vec::new();
    for row in rows {
        let (number, address) = row?;
        // An address nobody can read was not written by us; the node says its own when it is heard of.
        nodes.extend(address.parse().ok().map(|address| KnownNode { number, address }));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::schema::open_writer;

    /// REF-3: a node that was ever there is remembered over restarts, at its last address, until it is taken out.
    #[test]
    fn nodes_are_remembered_until_they_are_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vfs.db");
        let at = |number, port| KnownNode { number, address: SocketAddr::from(([10, 3, 100, 1], port)) };
        let db = open_writer(&path).unwrap();
        remember(&db, at(2, 7)).unwrap();
        remember(&db, at(1, 8)).unwrap();
        remember(&db, at(2, 9)).unwrap();
        drop(db);
        let db = open_writer(&path).unwrap();
        assert_eq!(list(&db).unwrap(), [at(1, 8), at(2, 9)]);
        forget(&db, 1).unwrap();
        assert_eq!(list(&db).unwrap(), [at(2, 9)]);
    }
}
