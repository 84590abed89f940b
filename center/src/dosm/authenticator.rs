//! Checks SRLs (SRL-14, DOSM-1).
//!
//! Remembers secrets and revocations, so that objects are served while the VFS cannot be asked (SYS-1), and SRLs that were
//! found authentic, so that a URL asked for often costs a look and no hash. Hears from the VFS whose access changed, and
//! forgets what it knew of them: nothing is served by it any more, not even if the VFS cannot be asked then.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use protocol::digest::Fingerprint;
use protocol::dosp::operations::AccessOut;
use protocol::id::CustomerId;
use protocol::pair::{Asker, Generation, PairName};
use protocol::srl::{
    AccessMethod, Mark, ObjectName, SKEW_SECONDS, Secret, SignedSrl, SrlError, SrlOperation, SrlRequest,
};
use protocol::vfs::VfsError;
use subtle::ConstantTimeEq;
use tokio::time::sleep;

use super::directory::Directory;
use super::refusal::Refusal;

/// Pause before the VFS is asked again whose access changed, when it could not answer.
const NEWS_PAUSE: Duration = Duration::from_millis(300);
/// Seconds for which secrets are used without asking again, where no change is heard of.
const FRESH_SECONDS: u64 = 5;
/// Seconds for which they are used while the VFS cannot be asked.
const KEPT_SECONDS: u64 = 24 * 3_600;
/// Customers asked for at once when their access changed; the next news wait for them.
const ASKED_AT_ONCE_MAX: usize = 64;
/// Customers remembered.
const CUSTOMERS_MAX: usize = 10_000;
/// Authentic SRLs remembered; past it all are forgotten, and each costs one more hash.
const PERMITS_MAX: usize = 8_192;
/// Longest SRL remembered, without the customer's part: an ordinary one has some 150 bytes.
const PERMIT_BYTES_MAX: usize = 512;

/// Who may do what, by the customers' secrets.
#[derive(Debug)]
pub struct Authenticator<D> {
    directory: Arc<D>,
    known: RwLock<HashMap<CustomerId, Known>>,
    /// How often something was heard: an answer that was asked for before is not remembered after.
    heard: AtomicU64,
    /// By encoded request.
    permits: Mutex<HashMap<Box<str>, Remembered>>,
}

/// By what a customer's SRLs are checked.
#[derive(Debug, PartialEq, Eq)]
struct Rules {
    secrets: Vec<Secret>,
    revoked: HashSet<Mark>,
    /// The generations in force.
    pairs: HashMap<PairName, Generation>,
}

#[derive(Clone, Debug)]
struct Known {
    rules: Arc<Rules>,
    /// When the VFS said so.
    asked: u64,
    /// When it was last asked, perhaps in vain.
    tried: u64,
}

/// A FETCH that is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// To whom.
    pub customer: CustomerId,
    /// Of which object.
    pub object: Fingerprint,
    /// Until when, in seconds since the epoch; 0 for ever.
    pub expires: u64,
}

#[derive(Debug)]
struct Remembered {
    certificate: Box<str>,
    permit: Permit,
    /// By what it was checked.
    rules: Arc<Rules>,
}

impl Rules {
    /// The request of an SRL that is authentic, in time and not revoked. A storage port's own requests are not revoked with
    /// the files they ask for: to its clients these are still there.
    fn check(&self, srl: &SignedSrl, now: u64) -> Result<SrlRequest, Refusal> {
        let request = srl.authenticate(&self.secrets, now)?;
        if self.revoked.is_empty() {
            return Ok(request);
        }
        let target = match request.access {
            AccessMethod::StoragePort => None,
            _ => Mark::of_operation(&request.operation),
        };
        let marks = [Some(Mark::of_srl(&srl.encoded)), target];
        match marks.iter().flatten().any(|mark| self.revoked.contains(mark)) {
            true => Err(Refusal::Revoked),
            false => Ok(request),
        }
    }
}

impl Rules {
    /// 0 for a pair that is not known.
    fn in_force(&self, pair: &PairName) -> Generation {
        self.pairs.get(pair).copied().unwrap_or_default()
    }
}

impl Known {
    fn is_usable(&self, now: u64) -> bool {
        let fresh = |since: u64| now.abs_diff(since) <= FRESH_SECONDS;
        fresh(self.asked) || (fresh(self.tried) && now.abs_diff(self.asked) <= KEPT_SECONDS)
    }
}

impl<D: Directory> Authenticator<D> {
    /// Asks this directory.
    pub fn new(directory: Arc<D>) -> Self {
        Self { directory, known: RwLock::default(), heard: AtomicU64::new(0), permits: Mutex::default() }
    }

    /// The request of an authentic SRL. `now` in seconds since the epoch.
    ///
    /// # Errors
    /// Unknown customers and wrong certificates are told apart by nobody.
    pub async fn authenticate(&self, srl: &SignedSrl, now: u64) -> Result<SrlRequest, Refusal> {
        let customer = srl.request()?.customer;
        self.rules(customer, now).await?.check(srl, now)
    }

    /// What an SRL permits and the customer's part of its path, if it is an authentic FETCH of an object by its
    /// fingerprint and the VFS need not be asked; `None` says nothing about it.
    pub fn at_hand<'path>(&self, path: &'path str, now: u64) -> Option<(Permit, &'path str)> {
        let (encoded, rest) = path.strip_prefix('/')?.split_once('/')?;
        let (certificate, uri) = rest.split_once('/').unwrap_or((rest, ""));
        let permit = match self.remembered(encoded, certificate, now) {
            Some(permit) => permit,
            None => self.check_at_hand(path, now)?,
        };
        let in_time = permit.expires == 0 || permit.expires.saturating_add(SKEW_SECONDS) >= now;
        in_time.then_some((permit, uri))
    }

    /// Good for as long as its customer's rules are those by which it was checked, and these need not be asked for.
    fn remembered(&self, encoded: &str, certificate: &str, now: u64) -> Option<Permit> {
        let permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let found = permits.get(encoded)?;
        let same = found.certificate.as_bytes().ct_eq(certificate.as_bytes());
        let rules = self.rules_at_hand(found.permit.customer, now)?;
        (bool::from(same) && Arc::ptr_eq(&rules, &found.rules)).then_some(found.permit)
    }

    fn check_at_hand(&self, path: &str, now: u64) -> Option<Permit> {
        let (srl, _) = SignedSrl::parse(path).ok()?;
        let rules = self.rules_at_hand(srl.request().ok()?.customer, now)?;
        let request = rules.check(&srl, now).ok()?;
        let SrlOperation::Fetch { object: ObjectName::Content(object) } = request.operation else {
            return None;
        };
        let permit = Permit { customer: request.customer, object, expires: request.expires };
        if srl.encoded.len() + srl.certificate.len() <= PERMIT_BYTES_MAX {
            let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
            if permits.len() >= PERMITS_MAX {
                permits.clear();
            }
            let remembered = Remembered { certificate: srl.certificate.into(), permit, rules };
            permits.insert(srl.encoded.into(), remembered);
        }
        Some(permit)
    }

    fn rules_at_hand(&self, customer: CustomerId, now: u64) -> Option<Arc<Rules>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&customer).filter(|known| known.is_usable(now)).map(|known| Arc::clone(&known.rules))
    }

    /// Whether a port of a pair may change something still (FO-11). What the VFS does it looks at once more when it does
    /// it; this keeps a port that has lost from storing what nobody will name. `now` in seconds since the epoch.
    ///
    /// # Errors
    /// `superseded`: a newer generation than its own is in force.
    pub async fn admit(&self, asker: &Asker, now: u64) -> Result<(), Refusal> {
        let Asker { customer, stamp: Some(stamp) } = asker else { return Ok(()) };
        let mut rules = self.rules(*customer, now).await?;
        if rules.in_force(&stamp.pair) < stamp.generation {
            // The news of it may be on their way.
            rules = self.fresh_rules(*customer, now).await?;
        }
        match rules.in_force(&stamp.pair) {
            in_force if in_force > stamp.generation => Err(VfsError::superseded(in_force).into()),
            _ => Ok(()),
        }
    }

    async fn rules(&self, customer: CustomerId, now: u64) -> Result<Arc<Rules>, Refusal> {
        match self.rules_at_hand(customer, now) {
            Some(rules) => Ok(rules),
            None => self.fresh_rules(customer, now).await,
        }
    }

    async fn fresh_rules(&self, customer: CustomerId, now: u64) -> Result<Arc<Rules>, Refusal> {
        let heard = self.heard.load(Ordering::SeqCst);
        match self.directory.access(customer).await {
            Ok(AccessOut { secrets, .. }) if secrets.is_empty() => {
                self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&customer);
                Err(SrlError::NotAuthentic.into())
            }
            Ok(AccessOut { secrets, revoked, pairs }) => {
                let pairs = pairs.into_iter().map(|stamp| (stamp.pair, stamp.generation)).collect();
                let rules = Rules { secrets, revoked: revoked.into_iter().collect(), pairs };
                Ok(self.remember(customer, rules, heard, now))
            }
            Err(reason) => self.kept(customer, now).ok_or(Refusal::Unavailable(reason)),
        }
    }

    fn remember(&self, customer: CustomerId, rules: Rules, heard: u64, now: u64) -> Arc<Rules> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // The same rules stay the same to whatever was checked by them.
        let old = known.get(&customer).filter(|known| *known.rules == rules);
        let rules = old.map_or_else(|| Arc::new(rules), |old| Arc::clone(&old.rules));
        if known.len() >= CUSTOMERS_MAX {
            known.retain(|_, known| known.is_usable(now));
        }
        if known.len() < CUSTOMERS_MAX && self.heard.load(Ordering::SeqCst) == heard {
            known.insert(customer, Known { rules: Arc::clone(&rules), asked: now, tried: now });
        }
        rules
    }

    /// Listens to whose access changes, until dropped (SRL-14). `now` gives seconds since the epoch.
    pub async fn listen(&self, now: impl Fn() -> u64) {
        let mut since = 0;
        loop {
            match self.directory.access_news(since).await {
                Ok(news) => {
                    since = news.until;
                    self.hear(&news.customers, now()).await;
                }
                Err(reason) => {
                    tracing::debug!(reason, "changes of customers' access are not heard");
                    sleep(NEWS_PAUSE).await;
                }
            }
        }
    }

    /// Forgets these customers, and asks anew for those that it knew: so what they may do is known also when the VFS goes
    /// away before the next of their requests comes.
    async fn hear(&self, customers: &[CustomerId], now: u64) {
        for customer in self.forget(customers).into_iter().take(ASKED_AT_ONCE_MAX) {
            if let Err(refusal) = self.fresh_rules(customer, now).await {
                tracing::debug!(%customer, ?refusal, "a customer's changed access is asked for when it is needed");
            }
        }
    }

    /// Which of these customers it knew.
    fn forget(&self, customers: &[CustomerId]) -> Vec<CustomerId> {
        if customers.is_empty() {
            return Vec::new();
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that no answer of before comes in between.
        self.heard.fetch_add(1, Ordering::SeqCst);
        customers.iter().copied().filter(|customer| known.remove(customer).is_some()).collect()
    }

    /// Rules that are old, now that the VFS could not be asked. It is tried again after some seconds.
    fn kept(&self, customer: CustomerId, now: u64) -> Option<Arc<Rules>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_mut(&customer).filter(|known| now.abs_diff(known.asked) <= KEPT_SECONDS)?;
        known.tried = now;
        Some(Arc::clone(&known.rules))
    }
}

#[cfg(test)]
mod tests {
    use protocol::digest::Content;
    use protocol::dosp::Reference;
    use protocol::dosp::operations::AccessNewsOut;
    use protocol::id::{ClientFile, ObjectId, Token};
    use protocol::pair::Stamp;
    use protocol::srl::{AccessMethod, SrlKind, SrlVersion};
    use protocol::vfs::{VfsError, VfsErrorCode};

    use super::super::directory::{NewClientFile, NewFile};
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const OBJECT: Fingerprint = Fingerprint([7; 16]);

    /// A VFS with one customer's secrets, or one that is away.
    #[derive(Debug, Default)]
    struct Vfs {
        secrets: Mutex<Option<Vec<Secret>>>,
        revoked: Mutex<Vec<Mark>>,
        pairs: Mutex<Vec<Stamp>>,
        asked: Mutex<u32>,
    }

    impl Directory for Vfs {
        async fn access(&self, customer: CustomerId) -> Result<AccessOut, String> {
            *self.asked.lock().unwrap() += 1;
            let secrets = self.secrets.lock().unwrap().clone().ok_or("away")?;
            let secrets = if customer == CustomerId(1) { secrets } else { Vec::new() };
            let pairs = self.pairs.lock().unwrap().clone();
            Ok(AccessOut { secrets, revoked: self.revoked.lock().unwrap().clone(), pairs })
        }

        async fn access_news(&self, _: u64) -> Result<AccessNewsOut, String> {
            Err("no news in these tests".to_string())
        }

        async fn create_file(&self, _: Asker, _: NewFile) -> Result<ObjectId, VfsError> {
            Err(VfsError { code: VfsErrorCode::Denied, message: String::new() })
        }

        async fn store_client_file(&self, _: Asker, _: NewClientFile) -> Result<(), VfsError> {
            Ok(())
        }

        async fn find_client_file(&self, _: CustomerId, _: ClientFile) -> Result<Content, VfsError> {
            Ok(Content::EMPTY)
        }

        async fn delete_client_file(&self, _: Asker, _: ClientFile, _: Token) -> Result<(), VfsError> {
            Ok(())
        }

        async fn upload_page(&self, _: CustomerId) -> Result<Option<String>, String> {
            Ok(None)
        }

        async fn callback_hosts(&self, _: CustomerId) -> Result<String, String> {
            Ok(String::new())
        }

        async fn give_up(&self, _: Reference, _: Option<Stamp>) -> Result<(), VfsError> {
            Ok(())
        }
    }

    fn secret(number: u8) -> Secret {
        Secret::new(vec![number; 32]).unwrap()
    }

    fn path(operation: SrlOperation, expires: u64, number: u8) -> String {
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::HmacSha256,
            expires,
            access: AccessMethod::EndUser,
            customer: CustomerId(1),
            operation,
        };
        request.sign(&secret(number)).path(b"a/cat.jpg")
    }

    fn fetch(expires: u64, number: u8) -> String {
        path(SrlOperation::Fetch { object: ObjectName::Content(OBJECT) }, expires, number)
    }

    fn authenticator(secrets: &[u8]) -> Authenticator<Vfs> {
        let vfs = Vfs::default();
        *vfs.secrets.lock().unwrap() = Some(secrets.iter().map(|number| secret(*number)).collect());
        Authenticator::new(Arc::new(vfs))
    }

    impl Authenticator<Vfs> {
        async fn ask(&self, path: &str, now: u64) -> Result<SrlRequest, Refusal> {
            self.authenticate(&SignedSrl::parse(path).unwrap().0, now).await
        }

        fn rotate(&self, secrets: Option<&[u8]>) {
            let secrets = secrets.map(|secrets| secrets.iter().map(|number| secret(*number)).collect());
            *self.directory.secrets.lock().unwrap() = secrets;
        }
    }

    /// SRL-14: what is at hand is what was found authentic, by its whole certificate and for as long as it lasts.
    #[tokio::test]
    async fn an_srl_is_at_hand_while_its_secrets_are_fresh() {
        let authenticator = authenticator(&[1]);
        let url = fetch(NOW + 100, 1);
        assert_eq!(authenticator.at_hand(&url, NOW), None, "the secrets must be asked for");
        authenticator.ask(&url, NOW).await.unwrap();
        let permit = Permit { customer: CustomerId(1), object: OBJECT, expires: NOW + 100 };
        for _ in 0..2 {
            assert_eq!(authenticator.at_hand(&url, NOW), Some((permit, "a/cat.jpg")));
        }
        assert_eq!(authenticator.permits.lock().unwrap().len(), 1);
        let (signed, _) = url.rsplit_once("/a/").unwrap();
        assert_eq!(authenticator.at_hand(&format!("{signed}/other"), NOW), Some((permit, "other")));
        assert_eq!(authenticator.at_hand(signed, NOW), Some((permit, "")));
        let last = if signed.ends_with('0') { "1" } else { "0" };
        let forged = format!("{}{last}/a", &signed[..signed.len() - 1]);
        assert_eq!(authenticator.at_hand(&forged, NOW), None);
        assert_eq!(authenticator.at_hand(&fetch(NOW + 100, 2), NOW), None);
        assert_eq!(authenticator.at_hand(&url, NOW + 6), None, "stale");
        authenticator.ask(&url, NOW + 104).await.unwrap();
        assert!(authenticator.at_hand(&url, NOW + 105).is_some(), "SRL-4: the skew");
        assert_eq!(authenticator.at_hand(&url, NOW + 106), None, "SRL-4: expired");
    }

    /// FO-11: a port of an older generation is refused; one of a newer than is known has the VFS asked at once, so that the
    /// older is refused from then on, also while the VFS is away.
    #[tokio::test]
    async fn a_port_of_an_older_generation_is_refused() {
        let authenticator = authenticator(&[1]);
        let stamped = |generation| {
            let pair = PairName::parse("site-1").unwrap();
            Stamp { pair, generation: Generation(generation) }
        };
        let admit = async |generation| {
            let asker = Asker { customer: CustomerId(1), stamp: Some(stamped(generation)) };
            authenticator.admit(&asker, NOW).await.map_err(|refusal| match refusal {
                Refusal::Row(error) => error.code.generation(),
                other => panic!("{other:?}"),
            })
        };
        *authenticator.directory.pairs.lock().unwrap() = vec![stamped(1)];
        assert_eq!(admit(1).await, Ok(()));
        *authenticator.directory.pairs.lock().unwrap() = vec![stamped(2)];
        assert_eq!(admit(1).await, Ok(()), "the news are not here yet");
        assert_eq!(admit(2).await, Ok(()));
        assert_eq!(admit(1).await, Err(Some(Generation(2))));
        authenticator.rotate(None);
        assert_eq!((admit(1).await, admit(2).await), (Err(Some(Generation(2))), Ok(())));
        assert_eq!(admit(3).await, Ok(()), "who cannot ask believes it; the VFS has the last word");
        let unpaired = Asker::from(CustomerId(1));
        assert!(authenticator.admit(&unpaired, NOW).await.is_ok());
    }

    /// Everything but the FETCH of an object by its fingerprint has its other checks and is never at hand.
    #[tokio::test]
    async fn other_operations_are_not_at_hand() {
        let authenticator = authenticator(&[1]);
        authenticator.ask(&fetch(0, 1), NOW).await.unwrap();
        let object = ObjectName::Content(OBJECT);
        for operation in [
            SrlOperation::NoOp,
            SrlOperation::Fetch { object: ObjectName::ClientFile(ClientFile(OBJECT.0)) },
            SrlOperation::FetchAuth { object, callback: "http://x/".to_string() },
            SrlOperation::FetchDigests { fingerprint: OBJECT },
            SrlOperation::Delete { object: ObjectName::Content(OBJECT) },
        ] {
            assert_eq!(authenticator.at_hand(&path(operation, 0, 1), NOW), None);
        }
        for odd in ["", "/", "/a", "/a/b", "/vfs/v1/a/b", "/health"] {
            assert_eq!(authenticator.at_hand(odd, NOW), None, "{odd}");
        }
    }

    /// SRL-14: a secret that was taken away is good for five seconds at most, also for an SRL used all the time.
    #[tokio::test]
    async fn a_rotated_secret_is_honoured_in_seconds() {
        let authenticator = authenticator(&[1]);
        let (old, new) = (fetch(0, 1), fetch(0, 2));
        authenticator.ask(&old, NOW).await.unwrap();
        assert!(authenticator.at_hand(&old, NOW).is_some());
        authenticator.rotate(Some(&[1, 2]));
        assert!(authenticator.at_hand(&old, NOW + 5).is_some());
        authenticator.ask(&new, NOW + 6).await.unwrap();
        assert!(
            authenticator.at_hand(&old, NOW + 6).is_some() && authenticator.at_hand(&new, NOW + 6).is_some()
        );
        authenticator.rotate(Some(&[2]));
        assert!(authenticator.at_hand(&old, NOW + 11).is_some());
        assert_eq!(authenticator.at_hand(&old, NOW + 12), None);
        authenticator.ask(&new, NOW + 12).await.unwrap();
        assert!(authenticator.at_hand(&new, NOW + 12).is_some());
        assert_eq!(authenticator.at_hand(&old, NOW + 12), None);
        assert!(authenticator.ask(&old, NOW + 12).await.is_err());
        authenticator.rotate(Some(&[]));
        assert!(authenticator.ask(&new, NOW + 18).await.is_err());
        authenticator.rotate(None);
        assert!(authenticator.ask(&new, NOW + 18).await.is_err(), "a customer who is gone is not remembered");
    }

    /// SRL-14: what was revoked is refused though it is signed, by its SRL or by what it asks for; a storage port's requests
    /// for revoked contents are not.
    #[tokio::test]
    async fn what_is_revoked_is_refused_to_end_users() {
        let authenticator = authenticator(&[1]);
        let fetch_of = |object, expires| path(SrlOperation::Fetch { object }, expires, 1);
        let other = ObjectName::Content(Fingerprint([8; 16]));
        let (url, same, other) = (fetch(0, 1), fetch(NOW, 1), fetch_of(other, 0));
        let store = path(SrlOperation::Store { parent: ObjectId(5) }, 0, 1);
        let all = [&url, &same, &other, &store];
        let refused = async |revoked: &[Mark]| {
            *authenticator.directory.revoked.lock().unwrap() = revoked.to_vec();
            authenticator.forget(&[CustomerId(1)]);
            let mut refused = Vec::new();
            for url in all {
                let asked = authenticator.ask(url, NOW).await;
                assert!(matches!(asked, Ok(_) | Err(Refusal::Revoked)), "{asked:?}");
                assert_eq!(authenticator.at_hand(url, NOW).is_some(), asked.is_ok() && url != all[3]);
                refused.push(asked.is_err());
            }
            refused
        };
        let encoded = SignedSrl::parse(&url).unwrap().0.encoded;
        assert_eq!(refused(&[]).await, [false; 4]);
        assert_eq!(refused(&[Mark::of_srl(&encoded)]).await, [true, false, false, false]);
        assert_eq!(refused(&[Mark::of_contents(OBJECT)]).await, [true, true, false, false]);
        assert_eq!(refused(&[Mark::of_folder(ObjectId(5))]).await, [false, false, false, true]);
        let object = ObjectName::Content(OBJECT);
        let own = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::HmacSha256,
            expires: 0,
            access: AccessMethod::StoragePort,
            customer: CustomerId(1),
            operation: SrlOperation::Fetch { object },
        };
        *authenticator.directory.revoked.lock().unwrap() = vec![Mark::of_contents(OBJECT)];
        authenticator.forget(&[CustomerId(1)]);
        authenticator.ask(&own.sign(&secret(1)).path(b""), NOW).await.unwrap();
    }

    /// SYS-1, FO-11: what changed is asked for when it is heard of, once, and holds when the VFS goes away after that.
    #[tokio::test]
    async fn what_is_heard_to_have_changed_is_known_while_the_vfs_is_away() {
        let authenticator = authenticator(&[1]);
        let (old, new) = (fetch(0, 1), fetch(0, 2));
        authenticator.ask(&old, NOW).await.unwrap();
        authenticator.rotate(Some(&[2]));
        authenticator.hear(&[CustomerId(1), CustomerId(2)], NOW).await;
        assert_eq!(*authenticator.directory.asked.lock().unwrap(), 2, "nobody asks for who was not known");
        authenticator.rotate(None);
        assert!(authenticator.ask(&old, NOW).await.is_err());
        authenticator.ask(&new, NOW).await.unwrap();
        authenticator.hear(&[CustomerId(1)], NOW).await;
        assert!(authenticator.ask(&new, NOW).await.is_err(), "it could not be asked");
    }

    /// Whose access changed is not served by what was known before: not while the VFS is away, and not by an answer that
    /// was on its way then.
    #[tokio::test]
    async fn what_is_heard_to_have_changed_is_asked_again() {
        let authenticator = authenticator(&[1]);
        let url = fetch(0, 1);
        authenticator.ask(&url, NOW).await.unwrap();
        authenticator.forget(&[CustomerId(2)]);
        assert!(authenticator.at_hand(&url, NOW).is_some(), "another customer's news");
        authenticator.forget(&[CustomerId(1)]);
        assert_eq!(authenticator.at_hand(&url, NOW), None);
        authenticator.rotate(None);
        assert!(matches!(authenticator.ask(&url, NOW).await, Err(Refusal::Unavailable(_))));

        authenticator.rotate(Some(&[1]));
        let before = authenticator.heard.load(Ordering::SeqCst);
        authenticator.forget(&[CustomerId(1)]);
        let late = Rules { secrets: vec![secret(1)], revoked: HashSet::new(), pairs: HashMap::new() };
        authenticator.remember(CustomerId(1), late, before, NOW);
        assert_eq!(authenticator.at_hand(&url, NOW), None, "an answer of before");
    }

    /// SYS-1: while the VFS is away objects are served, and it is not asked for each of them.
    #[tokio::test]
    async fn secrets_are_kept_while_the_vfs_is_away() {
        let authenticator = authenticator(&[1]);
        let url = fetch(0, 1);
        authenticator.ask(&url, NOW).await.unwrap();
        authenticator.rotate(None);
        for seconds in [100, 103, 105] {
            authenticator.ask(&url, NOW + seconds).await.unwrap();
            assert!(authenticator.at_hand(&url, NOW + seconds).is_some());
        }
        assert_eq!(*authenticator.directory.asked.lock().unwrap(), 2);
        assert_eq!(authenticator.at_hand(&url, NOW + 106), None, "it is tried again");
        authenticator.ask(&url, NOW + KEPT_SECONDS).await.unwrap();
        assert!(authenticator.ask(&url, NOW + KEPT_SECONDS + 1).await.is_err());
        assert_eq!(authenticator.at_hand(&url, NOW + KEPT_SECONDS + 1), None);
    }

    /// Bounded, whatever is asked for.
    #[tokio::test]
    async fn only_so_many_srls_are_remembered() {
        let authenticator = authenticator(&[1]);
        authenticator.ask(&fetch(0, 1), NOW).await.unwrap();
        for expires in 0..=PERMITS_MAX as u64 {
            assert!(authenticator.at_hand(&fetch(NOW + expires, 1), NOW).is_some());
        }
        assert!(authenticator.permits.lock().unwrap().len() < PERMITS_MAX);
    }
}
