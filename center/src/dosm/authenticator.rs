//! Checks SRLs (SRL-14, DOSM-1).
//!
//! Remembers secrets, so that objects are served while the VFS cannot be asked (SYS-1), and SRLs that were found
//! authentic, so that a URL asked for often costs a look and no hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use protocol::digest::Fingerprint;
use protocol::id::CustomerId;
use protocol::srl::{ObjectName, SKEW_SECONDS, Secret, SignedSrl, SrlError, SrlOperation, SrlRequest};
use subtle::ConstantTimeEq;

use super::directory::Directory;
use super::refusal::Refusal;

/// Seconds for which secrets are used without asking again: a rotated secret is good or bad everywhere after that.
const FRESH_SECONDS: u64 = 5;
/// Seconds for which they are used while the VFS cannot be asked.
const KEPT_SECONDS: u64 = 24 * 3_600;
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
    /// By encoded request.
    permits: Mutex<HashMap<Box<str>, Remembered>>,
}

#[derive(Clone, Debug)]
struct Known {
    secrets: Arc<[Secret]>,
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
    /// The secrets by which it was checked.
    secrets: Arc<[Secret]>,
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
        Self { directory, known: RwLock::default(), permits: Mutex::default() }
    }

    /// The request of an authentic SRL. `now` in seconds since the epoch.
    ///
    /// # Errors
    /// Unknown customers and wrong certificates are told apart by nobody.
    pub async fn authenticate(&self, srl: &SignedSrl, now: u64) -> Result<SrlRequest, Refusal> {
        let customer = srl.request()?.customer;
        let secrets = self.secrets(customer, now).await?;
        Ok(srl.authenticate(&secrets, now)?)
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

    /// Good for as long as its customer's secrets are those by which it was checked, and these need not be asked for.
    fn remembered(&self, encoded: &str, certificate: &str, now: u64) -> Option<Permit> {
        let permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let found = permits.get(encoded)?;
        let same = found.certificate.as_bytes().ct_eq(certificate.as_bytes());
        let secrets = self.secrets_at_hand(found.permit.customer, now)?;
        (bool::from(same) && Arc::ptr_eq(&secrets, &found.secrets)).then_some(found.permit)
    }

    fn check_at_hand(&self, path: &str, now: u64) -> Option<Permit> {
        let (srl, _) = SignedSrl::parse(path).ok()?;
        let secrets = self.secrets_at_hand(srl.request().ok()?.customer, now)?;
        let request = srl.authenticate(&secrets, now).ok()?;
        let SrlOperation::Fetch { object: ObjectName::Content(object) } = request.operation else {
            return None;
        };
        let permit = Permit { customer: request.customer, object, expires: request.expires };
        if srl.encoded.len() + srl.certificate.len() <= PERMIT_BYTES_MAX {
            let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
            if permits.len() >= PERMITS_MAX {
                permits.clear();
            }
            let remembered = Remembered { certificate: srl.certificate.into(), permit, secrets };
            permits.insert(srl.encoded.into(), remembered);
        }
        Some(permit)
    }

    fn secrets_at_hand(&self, customer: CustomerId, now: u64) -> Option<Arc<[Secret]>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&customer).filter(|known| known.is_usable(now)).map(|known| Arc::clone(&known.secrets))
    }

    async fn secrets(&self, customer: CustomerId, now: u64) -> Result<Arc<[Secret]>, Refusal> {
        if let Some(secrets) = self.secrets_at_hand(customer, now) {
            return Ok(secrets);
        }
        match self.directory.secrets(customer).await {
            Ok(secrets) if secrets.is_empty() => {
                self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&customer);
                Err(SrlError::NotAuthentic.into())
            }
            Ok(secrets) => Ok(self.remember(customer, secrets, now)),
            Err(reason) => self.kept(customer, now).ok_or(Refusal::Unavailable(reason)),
        }
    }

    fn remember(&self, customer: CustomerId, secrets: Vec<Secret>, now: u64) -> Arc<[Secret]> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // The same secrets stay the same to whatever was checked by them.
        let old = known.get(&customer).filter(|known| *known.secrets == *secrets);
        let secrets = old.map_or_else(|| secrets.into(), |old| Arc::clone(&old.secrets));
        if known.len() >= CUSTOMERS_MAX {
            known.retain(|_, known| known.is_usable(now));
        }
        if known.len() < CUSTOMERS_MAX {
            known.insert(customer, Known { secrets: Arc::clone(&secrets), asked: now, tried: now });
        }
        secrets
    }

    /// Secrets that are old, now that the VFS could not be asked. It is tried again after some seconds.
    fn kept(&self, customer: CustomerId, now: u64) -> Option<Arc<[Secret]>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_mut(&customer).filter(|known| now.abs_diff(known.asked) <= KEPT_SECONDS)?;
        known.tried = now;
        Some(Arc::clone(&known.secrets))
    }
}

#[cfg(test)]
mod tests {
    use protocol::digest::Content;
    use protocol::dosp::Reference;
    use protocol::id::{ClientFile, ObjectId, Token};
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
        asked: Mutex<u32>,
    }

    impl Directory for Vfs {
        async fn secrets(&self, customer: CustomerId) -> Result<Vec<Secret>, String> {
            *self.asked.lock().unwrap() += 1;
            let secrets = self.secrets.lock().unwrap().clone().ok_or("away")?;
            Ok(if customer == CustomerId(1) { secrets } else { Vec::new() })
        }

        async fn create_file(&self, _: CustomerId, _: NewFile) -> Result<ObjectId, VfsError> {
            Err(VfsError { code: VfsErrorCode::Denied, message: String::new() })
        }

        async fn store_client_file(&self, _: CustomerId, _: NewClientFile) -> Result<(), VfsError> {
            Ok(())
        }

        async fn find_client_file(&self, _: CustomerId, _: ClientFile) -> Result<Content, VfsError> {
            Ok(Content::EMPTY)
        }

        async fn delete_client_file(&self, _: CustomerId, _: ClientFile, _: Token) -> Result<(), VfsError> {
            Ok(())
        }

        async fn upload_page(&self, _: CustomerId) -> Result<Option<String>, String> {
            Ok(None)
        }

        async fn callback_hosts(&self, _: CustomerId) -> Result<String, String> {
            Ok(String::new())
        }

        async fn give_up(&self, _: Reference) -> Result<(), VfsError> {
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
