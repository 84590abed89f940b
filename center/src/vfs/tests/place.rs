//! Where a test's database is.

use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::vfs::engine::{Engine, Postgres};

/// A database of its own, empty and prepared by whoever opens it.
pub struct Place {
    pub engine: Engine,
    /// Removed at the end. The server's databases go with the server.
    _folder: Option<TempDir>,
}

impl Place {
    pub async fn new() -> Self {
        match std::env::var("VFS_TEST_POSTGRES") {
            Ok(server) => Self { engine: on_server(&server).await, _folder: None },
            Err(_) => Self::sqlite(),
        }
    }

    /// A file, whatever the tests run on.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { engine: Engine::Sqlite(folder.path().join("vfs.db")), _folder: Some(folder) }
    }
}

async fn on_server(server: &str) -> Engine {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("vfs_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
    let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
    let driving = tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    drop(client);
    driving.await.unwrap().unwrap();
    Engine::Postgres(Postgres::new(&format!("{server} dbname={name}"), None).unwrap())
}
