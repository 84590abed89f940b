//! Files that a customer calls by ids of its own (PRIV-4), and the replacing CREATE FILE they rest on.

use protocol::id::ClientFile;
use protocol::vfs::Body;

use super::*;

const FILE: ClientFile = ClientFile([0x5a; 16]);

impl Fixture {
    async fn store_as(&self, file: ClientFile, upload: Upload, replace: bool) -> Result<(), VfsErrorCode> {
        let stored =
            self.manager.store_client_file(self.customer.into(), file, upload, replace, self.now()).await;
        stored.map_err(|error| error.code)
    }

    async fn found(&self, file: ClientFile) -> Result<Content, VfsErrorCode> {
        let found = self.manager.find_client_file(self.customer, file, self.now()).await;
        found.map_err(|error| error.code)
    }

    async fn remove(&self, file: ClientFile, key: Token) -> Result<(), VfsErrorCode> {
        let removed = self.manager.delete_client_file(self.customer.into(), file, key, self.now()).await;
        removed.map_err(|error| error.code)
    }
}

/// PRIV-4: there is one file of a name; it is replaced when that is wanted and removed, and gives its contents up then.
#[tokio::test]
async fn a_file_of_ones_own_naming_is_stored_replaced_and_removed() {
    let vfs = Fixture::new().await;
    assert_eq!(vfs.found(FILE).await, Err(VfsErrorCode::NotFound));
    assert_eq!(vfs.remove(FILE, Token([9; 16])).await, Err(VfsErrorCode::NotFound));
    let [first, second, third] = [1, 2, 3].map(|number| vfs.store(upload(number, 10)));
    vfs.store_as(FILE, first, false).await.unwrap();
    assert_eq!(vfs.found(FILE).await, Ok(first.content));
    assert_eq!(vfs.store_as(FILE, second, false).await, Err(VfsErrorCode::Exists));
    assert_eq!(vfs.found(FILE).await, Ok(first.content));
    vfs.store_as(FILE, third, true).await.unwrap();
    assert_eq!(vfs.found(FILE).await, Ok(third.content));
    vfs.keep_house().await;
    assert!(!vfs.is_stored(first) && vfs.is_stored(third));
    assert_eq!((vfs.usage().await.files_used, vfs.usage().await.bytes_used), (1, 10));

    vfs.remove(FILE, Token([8; 16])).await.unwrap();
    assert_eq!(vfs.remove(FILE, Token([8; 16])).await, Ok(()), "SRL-18: the first answer once more");
    assert_eq!(vfs.found(FILE).await, Err(VfsErrorCode::NotFound));
    vfs.keep_house().await;
    assert!(!vfs.is_stored(third));
    assert_eq!((vfs.usage().await.files_used, vfs.usage().await.bytes_used), (0, 0));
}

/// SRL-17: each customer has its own; the tree shows nothing of them, and the comparison with the nodes knows them.
#[tokio::test]
async fn such_files_are_their_customers_alone_and_in_no_folder() {
    let vfs = Fixture::new().await;
    let stored = vfs.store(upload(1, 10));
    vfs.store_as(FILE, stored, false).await.unwrap();
    assert!(vfs.list(vfs.root, 10).await.is_empty());
    let shown = vfs.perform(None, Operation::OpenRoot).await.unwrap();
    assert!(matches!(shown, Answer::Row(Row { version: 1, body: Body::Folder { subfolders: 0 }, .. })));
    let held = vfs.store.references(vfs.customer, None).await.unwrap();
    assert_eq!(held.iter().map(|held| held.token).collect::<Vec<_>>(), [stored.token]);

    let other = vfs.store.add_customer(new_customer(None, "D"), Timestamp(5)).await.unwrap();
    let found = vfs.manager.find_client_file(other.id, FILE, vfs.now()).await;
    assert_eq!(found.unwrap_err().code, VfsErrorCode::NotFound);
    let nobody = vfs.manager.find_client_file(CustomerId(77), FILE, vfs.now()).await;
    assert_eq!(nobody.unwrap_err().code, VfsErrorCode::NotFound);
}

/// VFS-15: a recursive delete that is still clearing up hides its own rows and no others.
#[tokio::test]
async fn a_recursive_delete_leaves_such_files_alone() {
    let vfs = Fixture::new().await;
    vfs.store_as(FILE, vfs.store(upload(1, 10)), false).await.unwrap();
    let folder = vfs.mkdir(vfs.root, "large").await;
    // More than go in the first step.
    for number in 0..600 {
        vfs.touch(folder, &number.to_string()).await;
    }
    vfs.delete(folder, Kind::Folder, true).await.unwrap();
    assert_eq!(vfs.found(FILE).await, Ok(upload(1, 10).content));
    let second = vfs.store(upload(2, 10));
    vfs.store_as(FILE, second, true).await.unwrap();
    assert_eq!(vfs.found(FILE).await, Ok(second.content));
    vfs.keep_house().await;
    assert_eq!(vfs.usage().await.files_used, 1);
}

/// SRL-18: a token stands for one request. The same for another file, or for a removal, is told and has no effect.
#[tokio::test]
async fn a_token_stores_one_file_and_removes_none() {
    let vfs = Fixture::new().await;
    let (stored, other) = (vfs.store(upload(1, 10)), ClientFile([0x5b; 16]));
    vfs.store_as(FILE, stored, false).await.unwrap();
    assert_eq!(vfs.store_as(FILE, stored, false).await, Ok(()));
    assert_eq!(vfs.store_as(other, stored, false).await, Err(VfsErrorCode::Invalid));
    assert_eq!(vfs.remove(FILE, stored.token).await, Err(VfsErrorCode::Invalid));
    assert_eq!(
        (vfs.found(FILE).await, vfs.found(other).await),
        (Ok(stored.content), Err(VfsErrorCode::NotFound))
    );
}

/// PRIV-4: the quota holds for such files too, and a refused replacement leaves what is there.
#[tokio::test]
async fn a_replacement_over_the_quota_is_refused() {
    let vfs = Fixture::with_quota(Quota { bytes: Some(15), files: Some(1) }).await;
    let (small, large) = (vfs.store(upload(1, 10)), vfs.store(upload(2, 16)));
    vfs.store_as(FILE, small, false).await.unwrap();
    assert_eq!(vfs.store_as(FILE, large, true).await, Err(VfsErrorCode::QuotaExceeded));
    assert_eq!(vfs.found(FILE).await, Ok(small.content));
    let another = vfs.store(upload(3, 1));
    assert_eq!(vfs.store_as(ClientFile([0; 16]), another, true).await, Err(VfsErrorCode::QuotaExceeded));
}

/// VFS-16: a replacing CREATE makes the file or gives it contents and metadata; it keeps its id, and a folder stays.
#[tokio::test]
async fn a_create_may_replace_a_file() {
    let vfs = Fixture::new().await;
    let create = |upload, metadata: &[u8]| Operation::CreateFile {
        parent: vfs.root,
        name: name("f"),
        metadata: metadata.to_vec(),
        upload,
        existing: Existing::Replace,
    };
    let stored = vfs.store(upload(1, 10));
    let made = vfs.change(create(Some(stored), b"one")).await.unwrap();
    assert!(made.created && made.before.is_none());
    let replaced = vfs.change(create(None, b"two")).await.unwrap();
    let (old, new) = (made.row.unwrap(), replaced.row.unwrap());
    assert!(!replaced.created && replaced.before.unwrap().version == old.version);
    assert_eq!((new.id, new.version), (old.id, old.version + 1));
    assert_eq!((new.metadata.as_slice(), new.body), (&b"two"[..], Body::File { content: Content::EMPTY }));
    vfs.keep_house().await;
    assert!(!vfs.is_stored(stored));
    vfs.mkdir(vfs.root, "d").await;
    let onto_folder = Operation::CreateFile {
        parent: vfs.root,
        name: name("d"),
        metadata: Vec::new(),
        upload: None,
        existing: Existing::Replace,
    };
    assert_eq!(vfs.change(onto_folder).await.unwrap_err(), VfsErrorCode::IsFolder);
}
