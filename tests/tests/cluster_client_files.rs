//! Files that a customer calls by ids of its own, in a storage center of several processes.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use e2e::cluster::client::{content_of, stored};
use e2e::cluster::{Cluster, Settings};
use e2e::data;
use protocol::id::{ClientFile, CustomerId, Token};

/// PRIV-4, SYS-5: any object manager stores, gives, replaces and removes them, whatever another one did before; they
/// are there while a node is away; and a refused upload leaves nothing.
#[test]
fn any_object_manager_knows_the_files_of_a_customers_naming() {
    let mut cluster = Cluster::start("ufid", Settings { nodes: 3, ..Settings::default() });
    let client = cluster.client();
    let file = ClientFile::named(CustomerId(1), b"films/7");
    let (first, second) = (data::bytes(1, 2_500_000), data::bytes(2, 700_000));
    let token = |number| Token([number; 16]);

    assert_eq!(client.fetch_client_file(0, 1, file).unwrap().status, 404);
    let answer = client.store_client_file(0, 1, (file, false), token(1), &first).unwrap();
    assert_eq!(stored(&answer), Some((content_of(&first), None)), "{}", answer.summary());
    for manager in [0, 1] {
        assert_eq!(client.fetch_client_file(manager, 1, file).unwrap().body, first);
        assert_eq!(client.fetch_client_file(manager, 2, file).unwrap().status, 404, "SRL-17");
    }
    assert_eq!(client.store_client_file(1, 1, (file, false), token(2), &second).unwrap().status, 409);
    assert_eq!(client.store_client_file(1, 1, (file, true), token(3), &second).unwrap().status, 201);
    for manager in [0, 1] {
        assert_eq!(client.fetch_client_file(manager, 1, file).unwrap().body, second);
    }

    let holder = cluster.holders(content_of(&second).fingerprint)[0];
    cluster.nodes[holder].member.daemon.kill_9();
    assert_eq!(client.fetch_client_file(0, 1, file).unwrap().body, second);
    cluster.nodes[holder].member.daemon.restart();
    cluster.wait_assembled();

    // REF-4: one row, one reference, although there were three uploads.
    cluster.wait_references_equal_rows(Duration::from_secs(30));
    for manager in [0, 1] {
        let deleted = client.delete_client_file(manager, 1, file, token(4)).unwrap();
        assert_eq!(deleted.status, 204, "SRL-18: the first answer once more");
        assert_eq!(client.fetch_client_file(1 - manager, 1, file).unwrap().status, 404);
    }
}
