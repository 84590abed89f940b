//! How fast the store is: measured when asked for, never part of a test run.
//!
//! `cargo test --release -p center creates_per_second -- --ignored --nocapture`

use std::time::Instant;

use super::*;

const CLIENTS: usize = 64;
const CREATES_EACH: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn creates_per_second() {
    let vfs = Fixture::new().await;
    let started = Instant::now();
    let client = async |client: usize| {
        for number in 0..CREATES_EACH {
            let operation = Operation::CreateFile {
                parent: vfs.root,
                name: name(&format!("{client}-{number}")),
                metadata: vec![0; 64],
                upload: None,
                existing: Existing::Refuse,
            };
            let key = (((client * CREATES_EACH + number) as u128) << 64 | 0xabcdef).to_be_bytes();
            vfs.perform(Some(Token(key)), operation).await.unwrap();
        }
    };
    futures::future::join_all((0..CLIENTS).map(client)).await;
    let created = started.elapsed();
    let started = Instant::now();
    let listed = vfs.list(vfs.root, ENTRIES).await.len();
    assert_eq!(listed, CLIENTS * CREATES_EACH);
    println!(
        "{:.0} durable creates/s from {CLIENTS} clients; {:.2} ms to list {ENTRIES} entries",
        listed as f64 / created.as_secs_f64(),
        started.elapsed().as_secs_f64() * 1e3 * f64::from(ENTRIES) / listed as f64,
    );
}

const ENTRIES: u32 = 1_000;
