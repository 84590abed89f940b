//! Writers without a directory service: what the databases give at best.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::runtime::Builder;
use tokio_postgres::NoTls;

use super::Run;

/// What a create writes, as the center's schema has it, in as many statements.
const TABLES: &str = "CREATE TABLE entry (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER NOT NULL,
        parent INTEGER NOT NULL, name BLOB NOT NULL, changed INTEGER NOT NULL, metadata BLOB NOT NULL) STRICT;
    CREATE UNIQUE INDEX entry_name ON entry (parent, name);
    CREATE TABLE change (customer INTEGER NOT NULL, position INTEGER NOT NULL, id INTEGER NOT NULL,
        PRIMARY KEY (customer, position)) STRICT, WITHOUT ROWID;
    CREATE TABLE reply (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, document BLOB NOT NULL) STRICT;
    CREATE TABLE customer (id INTEGER PRIMARY KEY, position INTEGER NOT NULL) STRICT;
    INSERT INTO customer VALUES (1, 0);";

/// As long as the center's.
const METADATA: [u8; 64] = [0; 64];
const DOCUMENT: [u8; 600] = [b' '; 600];

/// One thread that commits what so many clients ask for together, as the center's does: SQLite and nothing else.
pub fn sqlite(path: &Path, clients: usize, duration: Duration) -> Run {
    let database = Connection::open(path).unwrap();
    database.pragma_update(None, "journal_mode", "wal").unwrap();
    database.pragma_update(None, "synchronous", "full").unwrap();
    database.execute_batch(TABLES).unwrap();
    let (queue, waiting) = mpsc::channel::<(u64, mpsc::Sender<()>)>();
    let writer = thread::spawn(move || {
        while let Ok(first) = waiting.recv() {
            let mut answers = Vec::new();
            database.execute_batch("BEGIN IMMEDIATE").unwrap();
            for (number, answer) in std::iter::once(first).chain(waiting.try_iter()) {
                write(&database, number);
                answers.push(answer);
            }
            database.execute_batch("COMMIT").unwrap();
            answers.into_iter().for_each(|answer| answer.send(()).unwrap());
        }
    });
    let run = clients_of(clients, duration, |client| {
        let queue = queue.clone();
        let (answer, answered) = mpsc::channel();
        move |number| {
            queue.send(((client as u64) << 32 | number, answer.clone())).unwrap();
            answered.recv().unwrap();
        }
    });
    drop(queue);
    writer.join().unwrap();
    run
}

fn write(database: &Connection, number: u64) {
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        database.prepare_cached(sql).unwrap().execute(values).unwrap();
    };
    let name = format!("{number:016x}");
    execute(
        "INSERT INTO entry (customer, parent, name, changed, metadata) VALUES (1, 100, ?1, 7, ?2)",
        params![name.as_bytes(), &METADATA[..]],
    );
    for _ in 0..2 {
        execute("UPDATE customer SET position = position + 1 WHERE id = 1", &[]);
        execute("INSERT INTO change SELECT 1, position, ?1 FROM customer WHERE id = 1", params![number]);
    }
    execute("INSERT INTO reply (key, document) VALUES (?1, ?2)", params![name.as_bytes(), &DOCUMENT[..]]);
}

/// So many connections, each of which inserts one row at a time and waits for it: PostgreSQL and nothing else.
pub fn postgres(server: &str, connections: usize, duration: Duration) -> Run {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(server, NoTls).await.unwrap();
        let driving = tokio::spawn(connection);
        let table = "CREATE TABLE entry (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer BIGINT NOT NULL,
            parent BIGINT NOT NULL, name BYTEA NOT NULL, changed BIGINT NOT NULL, metadata BYTEA NOT NULL);
            CREATE UNIQUE INDEX entry_name ON entry (parent, name)";
        client.batch_execute(table).await.unwrap();
        drop(client);
        driving.await.unwrap().unwrap();
    });
    clients_of(connections, duration, |number| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (client, insert) = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(server, NoTls).await.unwrap();
            tokio::spawn(connection);
            let sql =
                "INSERT INTO entry (customer, parent, name, changed, metadata) VALUES (1, 100, $1, 7, $2)";
            let insert = client.prepare(sql).await.unwrap();
            (client, insert)
        });
        move |count| {
            let name = format!("{number}-{count}").into_bytes();
            runtime.block_on(client.execute(&insert, &[&name, &&METADATA[..]])).unwrap();
        }
    })
}

/// Threads that each do one thing after the other for so long. `client` makes what does it, told its number.
pub fn clients_of<W: FnMut(u64) + Send>(
    clients: usize,
    duration: Duration,
    client: impl Fn(usize) -> W + Sync,
) -> Run {
    let (all_are_ready, start) = (std::sync::Barrier::new(clients + 1), std::sync::OnceLock::new());
    let latencies: Vec<f64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                let (client, ready, start) = (&client, &all_are_ready, &start);
                scope.spawn(move || {
                    let mut work = client(number);
                    ready.wait();
                    let start = *start.get_or_init(Instant::now);
                    let mut latencies = Vec::new();
                    for count in 0.. {
                        let began = Instant::now();
                        if began - start >= duration {
                            break;
                        }
                        work(count);
                        latencies.push(began.elapsed().as_secs_f64());
                    }
                    latencies
                })
            })
            .collect();
        all_are_ready.wait();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    Run { rate: latencies.len() as f64 / duration.as_secs_f64(), latencies, cost: f64::NAN }
}
