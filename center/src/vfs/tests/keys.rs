//! Idempotency keys: a repeated request gets the first answer (SRL-18, FO-12).

use super::*;

const KEY: Option<Token> = Some(Token([7; 16]));

#[tokio::test]
async fn a_repeated_change_gets_the_first_answer_and_has_no_second_effect() {
    let vfs = Fixture::new().await;
    let mkdir = || Operation::CreateFolder { parent: vfs.root, name: name("d"), metadata: b"m".to_vec() };
    let first = vfs.perform(KEY, mkdir()).await.unwrap();
    let Answer::Changed(Changed { row: Some(row), .. }) = &first else { panic!() };
    vfs.delete(row.id, Kind::Folder, false).await.unwrap();
    assert_eq!(vfs.perform(KEY, mkdir()).await.unwrap(), first);
    assert!(vfs.list(vfs.root, 10).await.is_empty());
}

#[tokio::test]
async fn a_repeated_refusal_is_the_first_one() {
    let vfs = Fixture::new().await;
    let remove = || Operation::Delete {
        target: Target::Name(vfs.root, name("f")),
        kind: Kind::File,
        recursive: false,
    };
    assert_eq!(vfs.perform(KEY, remove()).await.unwrap_err().code, VfsErrorCode::NotFound);
    vfs.touch(vfs.root, "f").await;
    assert_eq!(vfs.perform(KEY, remove()).await.unwrap_err().code, VfsErrorCode::NotFound);
    assert_eq!(vfs.list(vfs.root, 10).await.len(), 1);
}

/// Refusals that can be mended from outside are tried again under the same key.
#[tokio::test]
async fn a_refusal_that_can_be_mended_is_not_remembered() {
    let vfs = Fixture::new().await;
    let missing = upload(1, 10);
    let create = || Operation::CreateFile {
        parent: vfs.root,
        name: name("f"),
        metadata: Vec::new(),
        upload: Some(missing),
        existing: Existing::Refuse,
    };
    assert_eq!(vfs.perform(KEY, create()).await.unwrap_err().code, VfsErrorCode::NoSuchObject);
    vfs.store(missing);
    vfs.perform(KEY, create()).await.unwrap();
}

/// The first answer stands even when the contents it spoke of are gone.
#[tokio::test]
async fn a_repeated_upload_is_answered_though_its_reference_is_gone() {
    let vfs = Fixture::new().await;
    let stored = vfs.store(upload(1, 10));
    let create = || Operation::CreateFile {
        parent: vfs.root,
        name: name("f"),
        metadata: Vec::new(),
        upload: Some(stored),
        existing: Existing::Refuse,
    };
    let first = vfs.perform(KEY, create()).await.unwrap();
    let Answer::Changed(Changed { row: Some(row), .. }) = &first else { panic!() };
    vfs.delete(row.id, Kind::File, false).await.unwrap();
    vfs.keep_house().await;
    // The repetition has stored the object again before it asks: nobody else would give that up (REF-3).
    vfs.store(stored);
    assert_eq!(vfs.perform(KEY, create()).await.unwrap(), first);
    vfs.keep_house().await;
    assert!(!vfs.is_stored(stored));
}

/// A key used for other contents is refused and leaves nothing: `Ok` would tell its client that they are in the row.
#[tokio::test]
async fn a_key_used_for_other_contents_is_refused() {
    let vfs = Fixture::new().await;
    let (stored, other) = (vfs.store(upload(1, 10)), vfs.store(upload(2, 20)));
    let create = |upload, existing| Operation::CreateFile {
        parent: vfs.root,
        name: name("f"),
        metadata: Vec::new(),
        upload: Some(upload),
        existing,
    };
    let first = vfs.perform(KEY, create(stored, Existing::Refuse)).await.unwrap();
    let refused = vfs.perform(KEY, create(other, Existing::Refuse)).await.unwrap_err();
    assert_eq!(refused.code, VfsErrorCode::Invalid);
    assert_eq!(vfs.perform(KEY, create(stored, Existing::Refuse)).await.unwrap(), first);
    vfs.keep_house().await;
    assert!(vfs.is_stored(stored) && !vfs.is_stored(other));

    // Both looked for an answer before there was one: the writer refuses the second.
    let verified = |upload: Upload| {
        let Upload { content, token } = vfs.store(upload);
        Some(Verified { content, token: Some(token), asked: vfs.now() })
    };
    let request = |upload| Request { key: KEY, operation: create(upload, Existing::Refuse) };
    let third = upload(3, 30);
    let late = vfs.commit(request(third), verified(third)).await;
    assert_eq!(late.unwrap_err().code, VfsErrorCode::Invalid);

    // To open what is there uses no contents: the same answer again, though the file has others.
    let opening = || vfs.perform(Some(Token([8; 16])), create(third, Existing::Open));
    assert_eq!(opening().await.unwrap(), opening().await.unwrap());
}

#[tokio::test]
async fn answers_are_remembered_for_ten_minutes_by_customer_across_restarts() {
    let vfs = Fixture::new().await;
    let mkdir = || Operation::CreateFolder { parent: vfs.root, name: name("d"), metadata: Vec::new() };
    let first = vfs.perform(KEY, mkdir()).await.unwrap();
    let other = vfs.store.add_customer(new_customer(None, "D"), Timestamp(5)).await.unwrap();
    let reply = vfs.manager.perform(other.id, Request { key: KEY, operation: mkdir() }, vfs.now()).await;
    assert_eq!(reply.unwrap_err().code, VfsErrorCode::NotFound, "not the other customer's answer");

    let again = vfs.second_manager().await;
    let repeat = |now| again.perform(vfs.customer, Request { key: KEY, operation: mkdir() }, now);
    let made_at = vfs.now();
    let shortly_before = Timestamp(made_at.0 + 599_000_000_000);
    assert_eq!(repeat(shortly_before).await.unwrap().answer, first);
    let later = Timestamp(made_at.0 + 601_000_000_000);
    assert_eq!(repeat(later).await.unwrap_err().code, VfsErrorCode::Exists);
}

/// Many repetitions at one time are one change.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_repetitions_are_one_change() {
    let vfs = Fixture::new().await;
    let mkdir = || Operation::CreateFolder { parent: vfs.root, name: name("d"), metadata: Vec::new() };
    let replies = futures::future::join_all((0..32).map(|_| vfs.perform(KEY, mkdir()))).await;
    assert!(replies.iter().all(|reply| reply == &replies[0] && reply.is_ok()));
    assert_eq!(vfs.open(vfs.root).await.unwrap().version, 2);
}
