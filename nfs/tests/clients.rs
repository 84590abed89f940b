//! A client that others wrote, the crate `nfs3_client`, as a second opinion on the codecs (PORT-1).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use nfs3_client::Nfs3ConnectionBuilder;
use nfs3_client::nfs3_types::nfs3::{
    self, CREATE3args, GETATTR3args, LOOKUP3args, READ3args, READDIRPLUS3args, REMOVE3args, WRITE3args,
    createhow3, diropargs3, filename3, nfs_fh3, sattr3, stable_how,
};
use nfs3_client::nfs3_types::xdr_codec::Opaque;
use nfs3_client::tokio::TokioConnector;
use support::serve;

fn place<'a>(dir: &nfs_fh3, name: &'a str) -> diropargs3<'a> {
    diropargs3 { dir: dir.clone(), name: filename3(Opaque::borrowed(name.as_bytes())) }
}

#[tokio::test]
async fn another_client_finds_ports_mounts_writes_reads_lists_and_removes() {
    let server = tokio::task::spawn_blocking(serve).await.unwrap();
    let rpcbind = server.addresses.rpcbind[0].port();
    let mut client = Nfs3ConnectionBuilder::new(TokioConnector, "127.0.0.1", "/export")
        .portmapper_port(rpcbind)
        .connect_from_privileged_port(false)
        .mount()
        .await
        .unwrap();
    let root = client.root_nfs_fh3();
    let name = "naïve ünïcode";
    let data: Vec<u8> = (0..300_001u32).map(|index| index as u8).collect();

    let how = createhow3::GUARDED(sattr3::default());
    let made = client.create(&CREATE3args { where_: place(&root, name), how }).await.unwrap().unwrap();
    let nfs3::Nfs3Option::Some(file) = made.obj else { panic!("a handle") };
    assert!(made.dir_wcc.before.is_some() && made.dir_wcc.after.is_some());

    for (index, chunk) in data.chunks(100_000).enumerate() {
        let args = WRITE3args {
            file: file.clone(),
            offset: index as u64 * 100_000,
            count: chunk.len() as u32,
            stable: stable_how::UNSTABLE,
            data: Opaque::borrowed(chunk),
        };
        assert_eq!(client.write(&args).await.unwrap().unwrap().count, chunk.len() as u32);
    }

    let found = client.lookup(&LOOKUP3args { what: place(&root, name) }).await.unwrap().unwrap();
    assert_eq!(found.object, file);
    let attributes = client.getattr(&GETATTR3args { object: file.clone() }).await.unwrap().unwrap();
    assert_eq!(attributes.obj_attributes.size, data.len() as u64);
    let read = client.read(&READ3args { file, offset: 1, count: 1 << 20 }).await.unwrap().unwrap();
    assert!(read.eof && read.data.as_ref() == &data[1..]);

    let args = READDIRPLUS3args {
        dir: root.clone(),
        cookie: 0,
        cookieverf: Default::default(),
        dircount: 8192,
        maxcount: 65536,
    };
    let listing = client.readdirplus(&args).await.unwrap().unwrap().reply;
    let names: Vec<_> = listing.entries.0.iter().map(|entry| entry.name.0.to_vec()).collect();
    assert_eq!(names, [b".".to_vec(), b"..".to_vec(), name.as_bytes().to_vec()]);
    assert!(listing.eof);

    client.remove(&REMOVE3args { object: place(&root, name) }).await.unwrap().unwrap();
    client.unmount().await.unwrap();
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
