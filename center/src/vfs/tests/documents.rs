//! Request documents: authentication, order, answers (VFS-3, VFS-9, VFS-11, VFS-19).

use protocol::srl::{
    AccessMethod, ObjectName, SignedSrl, SrlError, SrlKind, SrlOperation, SrlRequest, SrlVersion,
    control_ticket,
};
use protocol::vfs::xml;

use super::*;
use crate::vfs::DocumentError;

fn control(vfs: &Fixture, secret: &Secret, document: &[u8], version: SrlVersion) -> SignedSrl {
    SrlRequest {
        kind: SrlKind::Standard,
        version,
        expires: 300,
        access: AccessMethod::StoragePort,
        customer: vfs.customer,
        operation: SrlOperation::Control { ticket: control_ticket(version, secret, document) },
    }
    .sign(secret)
}

fn mkdir_and_list(vfs: &Fixture) -> Vec<u8> {
    let operations = [
        Operation::CreateFolder { parent: vfs.root, name: name("d"), metadata: Vec::new() },
        Operation::CreateFolder { parent: vfs.root, name: name("d"), metadata: Vec::new() },
        Operation::OpenFolder { folder: vfs.root, after: None, limit: 10, srl_expires: Some(1_000) },
    ];
    xml::encode_requests(&operations.map(|operation| Request { key: None, operation }), None)
}

async fn handle(vfs: &Fixture, srl: &SignedSrl, document: &[u8]) -> Result<Vec<Reply>, DocumentError> {
    let answer = vfs.manager.handle(srl, document, Timestamp(200_000_000_000)).await?;
    Ok(xml::decode_replies(&answer).unwrap())
}

/// VFS-3: each operation of a document is answered by itself, in order.
#[tokio::test]
async fn operations_are_answered_in_order_and_by_themselves() {
    let vfs = Fixture::new().await;
    let document = mkdir_and_list(&vfs);
    for version in [SrlVersion::Md5, SrlVersion::HmacSha256] {
        let replies = handle(&vfs, &control(&vfs, &secret(), &document, version), &document).await.unwrap();
        assert_eq!(replies.len(), 3);
        assert_eq!(replies[1].as_ref().unwrap_err().code, VfsErrorCode::Exists);
        let Answer::Folder { entries, more: false, .. } = &replies[2].as_ref().unwrap().answer else {
            panic!()
        };
        assert_eq!(entries.len(), 1);
    }
}

/// VFS-3: changes in a row are committed together, and still each has its own key, its own answer and its own failure.
#[tokio::test]
async fn changes_in_a_row_stand_each_for_itself() {
    let vfs = Fixture::new().await;
    let stored = vfs.store(upload(1, 10));
    let create = |text: &str, upload| Operation::CreateFile {
        parent: vfs.root,
        name: name(text),
        metadata: Vec::new(),
        upload,
        existing: Existing::Refuse,
    };
    let remove = |text: &str| Operation::Delete {
        target: Target::Name(vfs.root, name(text)),
        kind: Kind::File,
        recursive: false,
    };
    let key = |number| Some(Token([number; 16]));
    let requests = [
        Request { key: key(1), operation: create("a", None) },
        Request { key: key(2), operation: create("a", None) },
        Request { key: key(1), operation: create("a", None) },
        Request { key: key(3), operation: create("unstored", Some(upload(2, 20))) },
        Request { key: key(4), operation: create("stored", Some(stored)) },
        Request { key: key(5), operation: remove("a") },
        Request { key: key(6), operation: remove("a") },
    ];
    let document = xml::encode_requests(&requests, None);
    let srl = control(&vfs, &secret(), &document, SrlVersion::HmacSha256);
    let replies = handle(&vfs, &srl, &document).await.unwrap();
    let codes: Vec<_> = replies.iter().map(|reply| reply.as_ref().err().map(|error| error.code)).collect();
    let (exists, missing) = (Some(VfsErrorCode::Exists), Some(VfsErrorCode::NotFound));
    assert_eq!(codes, [None, exists, None, Some(VfsErrorCode::NoSuchObject), None, None, missing]);
    assert_eq!(replies[0], replies[2], "the same key");
    let names: Vec<_> = vfs.list(vfs.root, 10).await.into_iter().map(|row| row.name).collect();
    assert_eq!(names, [Some(name("stored"))]);
    assert_eq!(handle(&vfs, &srl, &document).await.unwrap(), replies, "repeated as a whole");
}

/// VFS-9: what does not authenticate does nothing.
#[tokio::test]
async fn forged_expired_and_foreign_documents_are_refused_without_effect() {
    let vfs = Fixture::new().await;
    let document = mkdir_and_list(&vfs);
    let version = SrlVersion::HmacSha256;
    let good = control(&vfs, &secret(), &document, version);
    let other = Secret::new(b"another secret of 16".to_vec()).unwrap();

    let changed = [&document[..], b" "].concat();
    let not_signed = handle(&vfs, &good, &changed).await;
    assert!(matches!(not_signed, Err(DocumentError::Refused(SrlError::NotAuthentic))), "{not_signed:?}");
    let forged = handle(&vfs, &control(&vfs, &other, &document, version), &document).await;
    assert!(matches!(forged, Err(DocumentError::Refused(SrlError::NotAuthentic))), "{forged:?}");
    let late = vfs.manager.handle(&good, &document, Timestamp(306_000_000_000)).await;
    assert!(matches!(late, Err(DocumentError::Refused(SrlError::Expired))), "{late:?}");

    let base = good.request().unwrap();
    let stranger = SrlRequest { customer: CustomerId(77), ..base.clone() }.sign(&secret());
    let stranger = handle(&vfs, &stranger, &document).await;
    assert!(matches!(stranger, Err(DocumentError::Refused(SrlError::NotAuthentic))), "{stranger:?}");
    let browser = SrlRequest { access: AccessMethod::EndUser, ..base.clone() }.sign(&secret());
    let browser = handle(&vfs, &browser, &document).await;
    assert!(matches!(browser, Err(DocumentError::Refused(SrlError::NotAllowed))), "{browser:?}");
    let other_operation = SrlRequest { operation: SrlOperation::NoOp, ..base }.sign(&secret());
    let other_operation = handle(&vfs, &other_operation, &document).await;
    assert!(matches!(other_operation, Err(DocumentError::Refused(SrlError::NotAllowed))));

    assert!(vfs.list(vfs.root, 10).await.is_empty());
}

#[tokio::test]
async fn a_document_that_is_none_is_malformed() {
    let vfs = Fixture::new().await;
    let too_long = vec![b' '; (1 << 20) + 1];
    for document in [&b"no xml"[..], b"", b"<requests><format-disk/></requests>", &too_long] {
        let srl = control(&vfs, &secret(), document, SrlVersion::Md5);
        let refused = handle(&vfs, &srl, document).await;
        assert!(matches!(refused, Err(DocumentError::Malformed(_))), "{refused:?}");
    }
}

/// SRL-14: after a rotation both secrets are accepted, after the next one the oldest is not.
#[tokio::test]
async fn secrets_rotate_without_a_gap() {
    let vfs = Fixture::new().await;
    let numbered = |number: u8| Secret::new(vec![number; 16]).unwrap();
    let document = xml::encode_requests(&[Request { key: None, operation: Operation::OpenRoot }], None);
    let works = async |secret: &Secret, at: i64| {
        let srl = control(&vfs, secret, &document, SrlVersion::HmacSha256);
        vfs.manager.handle(&srl, &document, Timestamp(at * 1_000_000_000)).await.is_ok()
    };
    assert!(works(&secret(), 100).await);
    vfs.store.rotate_secret(vfs.customer, numbered(1)).await.unwrap();
    assert!(works(&secret(), 110).await && works(&numbered(1), 110).await);
    vfs.store.rotate_secret(vfs.customer, numbered(2)).await.unwrap();
    assert!(!works(&secret(), 120).await);
    assert!(works(&numbered(1), 120).await && works(&numbered(2), 120).await);
}

/// VFS-11, VFS-19: answers carry SRLs that anybody may use until they expire: download for files, upload for folders.
#[tokio::test]
async fn rows_come_with_signed_srls_where_asked_for() {
    let vfs = Fixture::new().await;
    let stored = vfs.store(upload(5, 10));
    vfs.create(vfs.root, "a b.jpg", Some(stored)).await.unwrap();
    let operation =
        Operation::OpenFolder { folder: vfs.root, after: None, limit: 10, srl_expires: Some(1_000) };
    let Ok(Answer::Folder { folder, entries, .. }) = vfs.perform(None, operation).await else { panic!() };
    let check = |text: &str, now| {
        let (srl, uri) = SignedSrl::parse(text).unwrap();
        srl.authenticate(&[secret()], now).map(|request| (request, uri.to_owned()))
    };
    let download = entries[0].srl.as_deref().unwrap();
    let (request, uri) = check(download, 999).unwrap();
    assert_eq!((request.access, request.version), (AccessMethod::EndUser, SrlVersion::Md5));
    let object = ObjectName::Content(stored.content.fingerprint);
    assert_eq!((request.operation, uri.as_str()), (SrlOperation::Fetch { object }, "a%20b.jpg"));
    assert_eq!(check(download, 1_010).unwrap_err(), SrlError::Expired);
    let (request, _) = check(folder.srl.as_deref().unwrap(), 999).unwrap();
    assert_eq!(request.operation, SrlOperation::Store { parent: vfs.root });
    assert_eq!(vfs.open(vfs.root).await.unwrap().srl, None);
}

/// SYS-1: with the storage cluster stopped, folders still open.
#[tokio::test]
async fn folders_open_while_the_cluster_is_down() {
    let vfs = Fixture::new().await;
    vfs.touch(vfs.root, "f").await;
    vfs.cluster.is_down.store(true, Ordering::SeqCst);
    assert_eq!(vfs.list(vfs.root, 10).await.len(), 1);
    vfs.mkdir(vfs.root, "d").await;
}
