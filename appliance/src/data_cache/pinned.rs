//! Which objects are to be kept. Shared by all disks: a file that comes later is looked up here.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use super::key::ObjectKey;

/// See the module.
#[derive(Debug, Default)]
pub struct Pinned(RwLock<HashSet<ObjectKey>>);

impl Pinned {
    /// Whether an object's files are to be kept.
    pub fn contains(&self, object: &ObjectKey) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(object)
    }

    /// They are from now on.
    pub fn insert(&self, object: ObjectKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(object);
    }

    /// They are no longer.
    pub fn remove(&self, object: &ObjectKey) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}
