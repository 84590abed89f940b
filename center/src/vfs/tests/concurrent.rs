//! Several directory managers in front of one database (VFS-1).

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use protocol::id::FeedPosition;
use tokio::time::{Instant, timeout};

use super::*;

const EACH: usize = 60;

fn create(parent: ObjectId, text: &str) -> Operation {
    Operation::CreateFile {
        parent,
        name: name(text),
        metadata: Vec::new(),
        upload: None,
        existing: Existing::Refuse,
    }
}

/// VFS-1: what two managers change at the same time, of two customers, is all there: every row, counted once, and the
/// feed of each customer without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_managers_change_the_same_trees() {
    let vfs = Fixture::new().await;
    let other = vfs.store.add_customer(new_customer(Some(CustomerId(4)), "D"), Timestamp(1)).await.unwrap();
    let second = vfs.second_manager().await;
    let trees = [(vfs.customer, vfs.root), (other.id, other.root)];
    let work = (0..EACH * 4).map(|number| {
        let manager = if number % 2 == 0 { &vfs.manager } else { &second };
        let (customer, root) = trees[number / 2 % 2];
        let request = Request { key: None, operation: create(root, &format!("f{number}")) };
        manager.perform(customer, request, vfs.now())
    });
    let positions: Vec<_> = join_all(work).await.into_iter().map(|reply| reply.unwrap().position).collect();

    for (index, (customer, root)) in trees.into_iter().enumerate() {
        let of_customer = positions.iter().enumerate().filter(|(number, _)| number / 2 % 2 == index);
        let seen: BTreeSet<FeedPosition> = of_customer.map(|(_, position)| *position).collect();
        assert_eq!(seen.len(), 2 * EACH, "each change has a position of its own");
        let open = Operation::OpenFolder { folder: root, after: None, limit: 1_000, srl_expires: None };
        let reply =
            second.perform(customer, Request { key: None, operation: open }, vfs.now()).await.unwrap();
        let Answer::Folder { entries, folder, .. } = reply.answer else { panic!() };
        assert_eq!(entries.len(), 2 * EACH);
        assert_eq!(folder.version, 1 + 2 * EACH as u64, "the folder counts each change");
        assert_eq!(reply.position, FeedPosition(4 * EACH as u64), "a row and its folder each");
        let usage = Request { key: None, operation: Operation::Usage };
        let Answer::Usage(usage) = second.perform(customer, usage, vfs.now()).await.unwrap().answer else {
            panic!()
        };
        assert_eq!(usage.files_used, 2 * EACH as u64);
    }
}

/// A request that is sent to both managers at once, as a client does that changed over, happens once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_to_two_managers_happens_once() {
    let vfs = Fixture::new().await;
    let second = vfs.second_manager().await;
    for number in 0..20_u8 {
        let request =
            Request { key: Some(Token([number; 16])), operation: create(vfs.root, &format!("f{number}")) };
        let (first, again) = tokio::join!(
            vfs.manager.perform(vfs.customer, request.clone(), vfs.now()),
            second.perform(vfs.customer, request, vfs.now())
        );
        assert_eq!(first.unwrap(), again.unwrap());
    }
    assert_eq!(vfs.usage().await.files_used, 20);
}

/// Who waits in vain for another's transaction is told so, and goes on with the next.
#[tokio::test]
async fn a_session_goes_on_after_it_waited_in_vain() {
    let vfs = Fixture::new().await;
    let (engine, customers) = (vfs.engine().clone(), [vfs.customer]);
    if matches!(engine, Engine::Sqlite(_)) {
        return; // It waits ten seconds for a lock of the file, which has no setting of the session.
    }
    let working = tokio::task::spawn_blocking(move || {
        let (mut first, mut second) = (engine.open().unwrap(), engine.open().unwrap());
        second.begin(&[]).unwrap();
        second.database().execute("SET lock_timeout = 100", &[]).unwrap();
        second.commit().unwrap();
        first.begin(&customers).unwrap();
        assert!(second.begin(&customers).is_err() && !second.is_broken());
        first.commit().unwrap();
        second.begin(&customers).unwrap();
        second.database().execute("UPDATE customer SET name = 'renamed'", &[]).unwrap();
        second.commit().unwrap();
    });
    working.await.unwrap();
    assert_eq!(vfs.store.customers().await.unwrap()[0].name, "renamed");
}

/// A session in which a statement failed commits nothing, and goes on with the next transaction.
#[tokio::test]
async fn a_transaction_with_a_failed_statement_is_not_committed() {
    let vfs = Fixture::new().await;
    let engine = vfs.engine().clone();
    let working = tokio::task::spawn_blocking(move || {
        let mut session = engine.open().unwrap();
        session.begin(&[]).unwrap();
        let db = session.database();
        db.execute("UPDATE customer SET name = 'lost'", &[]).unwrap();
        // A name that is taken: told now, or by what follows.
        let failed = db.execute("INSERT INTO customer (id, name) VALUES (9, 'lost')", &[]);
        assert!(failed.and(db.settle()).is_err());
        session.rollback();
        session.begin(&[]).unwrap();
        session.database().execute("UPDATE customer SET name = 'kept'", &[]).unwrap();
        session.commit().unwrap();
    });
    working.await.unwrap();
    assert_eq!(vfs.store.customers().await.unwrap()[0].name, "kept");
}

/// VFS-24: who waits at one manager for a change that another makes, hears of it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_wakes_those_who_wait_at_another_manager() {
    let vfs = Fixture::new().await;
    if matches!(vfs.place.engine, Engine::Sqlite(_)) {
        return; // One process serves a file.
    }
    let second = vfs.second_manager().await;
    let mut since = FeedPosition(0);
    for number in 0..5 {
        let wait = Request { key: None, operation: Operation::Changes { since, wait_ms: 20_000 } };
        let waiting = second.perform(vfs.customer, wait, vfs.now());
        let change = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            vfs.touch(vfs.root, &format!("f{number}")).await;
            Instant::now()
        };
        let (woken, changed) =
            tokio::join!(async { (timeout(Duration::from_secs(10), waiting).await, Instant::now()) }, change);
        let (reply, at) = woken;
        let Answer::Changes { changes, position, .. } = reply.expect("woken").unwrap().answer else {
            panic!()
        };
        assert!(!changes.is_empty());
        assert!(at.saturating_duration_since(changed) < Duration::from_secs(1));
        since = position;
    }
}
