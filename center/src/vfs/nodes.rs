//! Storage nodes there have ever been: those that a reference has to be given up on.

use std::net::SocketAddr;

use super::engine::{Database, values};
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
pub fn remember(db: &dyn Database, node: KnownNode) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO node (number, address) VALUES (?1, ?2)
         ON CONFLICT (number) DO UPDATE SET address = excluded.address",
        values![node.number, &node.address.to_string()],
    )
}

/// Takes a node out.
pub fn forget(db: &dyn Database, number: u32) -> Result<(), StoreError> {
    db.execute("DELETE FROM node WHERE number = ?1", values![number])
}

/// All of them, by number.
pub fn list(db: &dyn Database) -> Result<Vec<KnownNode>, StoreError> {
    let nodes = db.list("SELECT number, address FROM node ORDER BY number", &[], |row| {
        // An address nobody can read was not written by us; the node says its own when it is heard of.
        let address = row.get::<String>(1)?.parse().ok();
        let number = row.get(0)?;
        Ok(address.map(|address| KnownNode { number, address }))
    })?;
    Ok(nodes.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::tests::Fixture;

    /// REF-3: a node that was ever there is remembered over restarts, at its last address, until it is taken out.
    #[tokio::test]
    async fn nodes_are_remembered_until_they_are_taken_out() {
        let vfs = Fixture::new().await;
        let at = |number, port| KnownNode { number, address: SocketAddr::from(([10, 3, 100, 1], port)) };
        for node in [at(2, 7), at(1, 8), at(2, 9)] {
            vfs.store.remember_node(node).await.unwrap();
        }
        let again = vfs.reopen().await;
        assert_eq!(again.nodes().await.unwrap(), [at(1, 8), at(2, 9)]);
        again.forget_node(1).await.unwrap();
        assert_eq!(again.nodes().await.unwrap(), [at(2, 9)]);
    }
}
