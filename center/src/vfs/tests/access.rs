//! What SRLs are checked by, and who hears of it when it changes (SRL-14).

use protocol::dosp::REVOKED_MAX;
use protocol::srl::Mark;

use super::*;
use crate::vfs::Revocation;

const NO_TIME: std::time::Duration = std::time::Duration::ZERO;

fn revocation(number: usize) -> Revocation {
    Revocation { mark: Mark::of_srl(&number.to_string()), what: number.to_string() }
}

impl Fixture {
    async fn heard(&self, since: u64) -> (u64, Vec<CustomerId>) {
        let news = self.store.access_news(since, NO_TIME).await.unwrap();
        (news.until, news.customers)
    }
}

/// Every change is told of once, from the very first on, and none that was before.
#[tokio::test]
async fn every_change_of_access_is_told_of_once() {
    let vfs = Fixture::new().await;
    let other = vfs.store.add_customer(new_customer(None, "D"), Timestamp(5)).await.unwrap().id;
    let (start, nobody) = vfs.heard(0).await;
    assert!(start > 0 && nobody.is_empty());
    assert_eq!(vfs.heard(start).await, (start, Vec::new()));

    vfs.store.revoke(vfs.customer, vec![revocation(1)], vfs.now()).await.unwrap();
    let (after, who) = vfs.heard(start).await;
    assert!(after > start && who == [vfs.customer]);
    let changes = [
        vfs.store.suspend(other, true).await,
        vfs.store.rotate_secret(vfs.customer, secret()).await,
        vfs.store.retire_secret(other).await,
        vfs.store.restore(vfs.customer, vec![revocation(1)]).await,
    ];
    assert!(changes.iter().all(Result::is_ok));
    let (end, who) = vfs.heard(after).await;
    assert_eq!(who, [other, vfs.customer], "each once, by its last change");
    assert_eq!(vfs.heard(end).await, (end, Vec::new()));
    assert_eq!(vfs.heard(0).await.0, end);
    assert!(vfs.store.suspend(CustomerId(77), true).await.is_err());
    assert_eq!(vfs.heard(end).await, (end, Vec::new()), "a refused change is none");
}

/// Whoever waits is told as soon as the change is seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_news_hears_at_once() {
    let vfs = Fixture::new().await;
    let watching = tokio::spawn(vfs.store.clone().watch_access());
    let (start, _) = vfs.heard(0).await;
    let began = std::time::Instant::now();
    let waiting = vfs.store.access_news(start, std::time::Duration::from_secs(30));
    let (news, changed) = tokio::join!(waiting, vfs.store.suspend(vfs.customer, true));
    changed.unwrap();
    assert_eq!(news.unwrap().customers, [vfs.customer]);
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    watching.abort();
}

/// A suspended customer has no secrets, and has them again afterwards.
#[tokio::test]
async fn a_suspended_customer_has_no_secrets() {
    let vfs = Fixture::new().await;
    vfs.store.revoke(vfs.customer, vec![revocation(1)], vfs.now()).await.unwrap();
    vfs.store.suspend(vfs.customer, true).await.unwrap();
    assert!(vfs.store.access(vfs.customer).await.unwrap().secrets.is_empty());
    vfs.store.suspend(vfs.customer, false).await.unwrap();
    let access = vfs.store.access(vfs.customer).await.unwrap();
    assert_eq!((access.secrets, access.revoked), (vec![secret()], vec![revocation(1).mark]));
    assert!(vfs.store.access(CustomerId(77)).await.unwrap().secrets.is_empty());
}

/// A path stands for what is there: a file's contents, a folder with all below it.
#[tokio::test]
async fn a_path_is_revoked_with_all_that_is_below_it() {
    let vfs = Fixture::new().await;
    let folder = vfs.mkdir(vfs.root, "a").await;
    let inner = vfs.mkdir(folder, "b").await;
    let stored = vfs.store(upload(7, 10));
    vfs.create(inner, "file", Some(stored)).await.unwrap();
    vfs.touch(vfs.root, "beside").await;
    let below = async |path: &[&str]| {
        let path = path.iter().map(|text| name(text)).collect();
        vfs.store.marks_below(vfs.customer, path).await.map_err(|error| error.code)
    };
    let marks: HashSet<Mark> =
        below(&["a"]).await.unwrap().iter().map(|revocation| revocation.mark).collect();
    let contents = Mark::of_contents(stored.content.fingerprint);
    assert_eq!(marks, HashSet::from([Mark::of_folder(folder), Mark::of_folder(inner), contents]));
    let file = below(&["a", "b", "file"]).await.unwrap();
    assert_eq!(file, [Revocation { mark: contents, what: "/a/b/file".to_owned() }]);
    assert_eq!(below(&["a", "none"]).await, Err(VfsErrorCode::NotFound));
    assert_eq!(below(&["beside", "none"]).await, Err(VfsErrorCode::NotFound));
    assert_eq!(below(&[]).await.unwrap().len(), 5);
}

/// Bounded: so many are revoked one by one, and one more is refused and changes nothing.
#[tokio::test]
async fn only_so_much_is_revoked_one_by_one() {
    let vfs = Fixture::new().await;
    let all: Vec<Revocation> = (0..REVOKED_MAX).map(revocation).collect();
    vfs.store.revoke(vfs.customer, all.clone(), vfs.now()).await.unwrap();
    vfs.store.revoke(vfs.customer, all, vfs.now()).await.unwrap();
    let (end, _) = vfs.heard(0).await;
    let more = vfs.store.revoke(vfs.customer, vec![revocation(REVOKED_MAX)], vfs.now()).await;
    assert!(matches!(more, Err(crate::vfs::StoreError::TooManyRevoked)), "{more:?}");
    assert_eq!(vfs.store.access(vfs.customer).await.unwrap().revoked.len(), REVOKED_MAX);
    assert_eq!(vfs.heard(0).await.0, end);
}
