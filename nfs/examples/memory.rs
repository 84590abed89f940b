//! Serves an empty file system in memory as `/export`, for trying clients:
//!
//! ```text
//! cargo run -p nfs --example memory -- 20049
//! nfs-ls nfs://127.0.0.1/export?nfsport=20049&mountport=20049
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use nfs::filesystem::Time;
use nfs::memory::MemoryFilesystem;
use nfs::server::Server;
use nfs::settings::{Rpcbind, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse::<u16>())?;
    let nfs = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
    let server = Server::bind(Settings { nfs, rpcbind: Rpcbind::Off, ..Settings::default() }).await?;
    println!("serving /export at {}", server.addresses().nfs[0]);
    let start = Time { seconds: 1_000_000_000, nanos: 0 };
    let filesystem = Arc::new(MemoryFilesystem::new(&["/export"], start));
    server.serve(filesystem, std::future::pending()).await;
    Ok(())
}
