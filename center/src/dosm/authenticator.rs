//! Checks SRLs (SRL-14, DOSM-1).
//!
//! Remembers secrets, so that objects are served while the VFS cannot be asked (SYS-1).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::CustomerId;
use protocol::srl::{Secret, SignedSrl, SrlError, SrlRequest};

use super::directory::Directory;
use super::refusal::Refusal;

/// Seconds for which secrets are used without asking again: a rotated secret is good or bad everywhere after that.
const FRESH_SECONDS: u64 = 5;
/// Seconds for which they are used while the VFS cannot be asked.
const KEPT_SECONDS: u64 = 24 * 3_600;
/// Customers remembered.
const CUSTOMERS_MAX: usize = 10_000;

/// Who may do what, by the customers' secrets.
#[derive(Debug)]
pub struct Authenticator<D> {
    directory: Arc<D>,
    known: Mutex<HashMap<CustomerId, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    secrets: Arc<[Secret]>,
    asked: u64,
}

impl<D: Directory> Authenticator<D> {
    /// Asks this directory.
    pub fn new(directory: Arc<D>) -> Self {
        Self { directory, known: Mutex::default() }
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

    async fn secrets(&self, customer: CustomerId, now: u64) -> Result<Arc<[Secret]>, Refusal> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&customer).cloned();
        if let Some(known) = &known
            && now.abs_diff(known.asked) <= FRESH_SECONDS
        {
            return Ok(Arc::clone(&known.secrets));
        }
        match self.directory.secrets(customer).await {
            Ok(secrets) if secrets.is_empty() => Err(SrlError::NotAuthentic.into()),
            Ok(secrets) => Ok(self.remember(customer, secrets.into(), now)),
            Err(reason) => {
                let usable = known.filter(|known| now.abs_diff(known.asked) <= KEPT_SECONDS);
                usable.map(|known| known.secrets).ok_or(Refusal::Unavailable(reason))
            }
        }
    }

    fn remember(&self, customer: CustomerId, secrets: Arc<[Secret]>, asked: u64) -> Arc<[Secret]> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CUSTOMERS_MAX {
            known.retain(|_, known| asked.abs_diff(known.asked) <= FRESH_SECONDS);
        }
        if known.len() < CUSTOMERS_MAX {
            known.insert(customer, Known { secrets: Arc::clone(&secrets), asked });
        }
        secrets
    }
}
