//! The VFS on PostgreSQL, with two directory managers in front of it: whoever fails, what was acknowledged is there, and
//! what was asked for twice happened once (VFS-1, VFS-4).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use client::Center;
use e2e::managers::Managers;
use e2e::poll;
use e2e::postgres::Postgres;
use protocol::id::ObjectId;
use protocol::name::Name;
use protocol::vfs::{Answer, Existing, Operation, Request, Row};
use tokio::runtime::Runtime;

/// Who changes the tree at the same time.
const CLIENTS: usize = 64;
/// Load before, between and after what befalls the servers.
const QUIET: Duration = Duration::from_secs(2);
/// A client asks again for so long; a failure that takes longer is one.
const DEADLINE: Duration = Duration::from_secs(60);

fn create(parent: ObjectId, name: &str) -> Request {
    let name = Name::new(name.as_bytes()).unwrap();
    // Refused where the name is taken: a change made twice is one that its client cannot explain.
    let existing = Existing::Refuse;
    let operation = Operation::CreateFile { parent, name, metadata: Vec::new(), upload: None, existing };
    Request { key: None, operation }
}

fn update(id: ObjectId, number: usize) -> Request {
    let metadata = Some(number.to_be_bytes().to_vec());
    let operation =
        Operation::Update { id, if_version: None, metadata, modified: None, changed: None, upload: None };
    Request { key: None, operation }
}

async fn change(center: &Center, request: Request) -> Row {
    let answered = center.operate(request).await.unwrap();
    let Answer::Changed(changed) = answered.answer else { panic!("not a change: {answered:?}") };
    changed.row.unwrap()
}

async fn root(center: &Center) -> ObjectId {
    let request = Request { key: None, operation: Operation::OpenRoot };
    let Answer::Row(row) = center.operate(request).await.unwrap().answer else { panic!("no root") };
    row.id
}

async fn entries(center: &Center, folder: ObjectId) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    loop {
        let after = all.last().map(|row| row.id);
        let operation = Operation::OpenFolder { folder, after, limit: 1_000, srl_expires: None };
        let answer = center.operate(Request { key: None, operation }).await.unwrap().answer;
        let Answer::Folder { entries, more, .. } = answer else { panic!("no folder") };
        all.extend(entries);
        if !more {
            return all;
        }
    }
}

/// Makes files, and counts in one of them by its version, until told to stop; how many changes were acknowledged.
async fn work(
    center: Center,
    root: ObjectId,
    client: usize,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
) -> usize {
    let counter = change(&center, create(root, &format!("counter-{client}"))).await;
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        change(&center, create(root, &format!("file-{client}-{number}"))).await;
        number += 1;
        let row = change(&center, update(counter.id, number)).await;
        assert_eq!(row.version, number as u64 + 1, "each update happened once");
        done.fetch_add(1, Ordering::SeqCst);
    }
    number
}

/// VFS-3: 64 clients make files by XML over HTTP, while either directory manager is killed, the database server, and the
/// server for good with its standby promoted.
#[test]
fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let dir = tempfile::Builder::new().prefix("storage-port-e2e-").tempdir().unwrap();
    let mut primary = Postgres::start(dir.path());
    primary.database("vfs");
    let standby = primary.standby(dir.path());
    let ((host, port), (other_host, other_port)) = (primary.host(), standby.host());
    let database = format!("host={host},{other_host} port={port},{other_port} user=storage dbname=vfs");
    let mut pair = Managers::start(dir.path(), &database);

    let runtime = Runtime::new().unwrap();
    let root = runtime.block_on(root(&pair.client(0).with_deadline(DEADLINE)));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            runtime.spawn(work(
                pair.client(client % 2).with_deadline(DEADLINE),
                root,
                client,
                stop.clone(),
                done.clone(),
            ))
        })
        .collect();
    let goes_on = |what: &str| {
        let before = done.load(Ordering::SeqCst);
        poll::until(what, DEADLINE, || (done.load(Ordering::SeqCst) > before + 2 * CLIENTS).then_some(()));
        poll::pause(QUIET);
    };

    goes_on("changes before anything happens");
    pair.one.kill_9();
    goes_on("changes without the first directory manager");
    pair.one.restart();
    pair.two.kill_9();
    goes_on("changes without the second directory manager");
    pair.two.restart();
    primary.kill_9();
    primary.restart();
    goes_on("changes after the database server's crash");
    primary.kill_9();
    standby.promote();
    goes_on("changes after the standby's promotion");
    stop.store(true, Ordering::SeqCst);

    runtime.block_on(async {
        let mut expected = BTreeSet::new();
        let mut acknowledged = 0;
        for (client, worked) in clients.into_iter().enumerate() {
            let files = worked.await.unwrap();
            acknowledged += 2 * files;
            expected.insert(format!("counter-{client}"));
            expected.extend((0..files).map(|number| format!("file-{client}-{number}")));
        }
        for manager in 0..2 {
            let found = entries(&pair.client(manager).with_deadline(DEADLINE), root).await;
            let names = found
                .iter()
                .map(|row| String::from_utf8_lossy(row.name.as_ref().unwrap().as_bytes()).into_owned());
            assert_eq!(names.collect::<BTreeSet<_>>(), expected, "what was acknowledged, and nothing else");
            assert_eq!(found.len(), expected.len());
        }
        println!("{acknowledged} changes acknowledged, all of them there once");
    });
}
