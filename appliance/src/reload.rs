//! A changed configuration, taken by a running port (design decision 11).
//!
//! The whole file is read and checked first; a bad one changes nothing. Then the exports are replaced as one, and the
//! customers' secrets and rules of folders. What a port holds open for as long as it runs (addresses, directories,
//! caches) stays as it was, and the answer names it: nothing is ignored in silence.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::id::CustomerId;
use serde::{Deserialize, Serialize};

use crate::center::Fenced;
use crate::config::{Change, Config, ConfigError, ExportEntry, changes};
use crate::customer::Customer;
use crate::port::{self, StartError};
use crate::translator::Translator;

type Center = Fenced<client::Center>;

/// What came of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Reloaded {
    /// In force from now on.
    pub changed: Vec<String>,
    /// Stands in the file, but needs a start of the port.
    pub at_next_start: Vec<String>,
}

/// Lets a running port take changes of its configuration file.
pub struct Reloader {
    path: PathBuf,
    at_start: Config,
    /// Held for the length of a reload: one at a time.
    in_force: Mutex<Config>,
    customers: HashMap<CustomerId, Arc<Customer<Center>>>,
    translator: Arc<Translator<Center>>,
}

impl Reloader {
    /// For a port that was started with `config`, read from `path`.
    pub fn new(
        path: PathBuf,
        config: Config,
        customers: HashMap<CustomerId, Arc<Customer<Center>>>,
        translator: Arc<Translator<Center>>,
    ) -> Self {
        Self { path, in_force: Mutex::new(config.clone()), at_start: config, customers, translator }
    }

    /// Whether `path` is the file this port was started with.
    pub fn is_of(&self, path: &Path) -> bool {
        match (fs::canonicalize(path), fs::canonicalize(&self.path)) {
            (Ok(asked), Ok(own)) => asked == own,
            _ => path == self.path,
        }
    }

    /// The file this port was started with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again and takes what can be taken. Blocks on the disk.
    ///
    /// # Errors
    /// Nothing was changed: the port would not start with this configuration.
    pub fn reload(&self) -> Result<Reloaded, StartError> {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = Config::load(&self.path)?;
        let mut secrets = port::check(&wanted)?;
        let impossible = |message: String| ConfigError::Impossible { path: self.path.clone(), message };
        let next = merged(&self.at_start, &in_force, &wanted);
        let exports = next.exports().map_err(|same| impossible(same.to_string()))?;
        let mut rules = next.folder_rules();
        secrets.retain(|(id, secret)| {
            self.customers.get(id).is_some_and(|customer| *customer.secret() != *secret)
        });
        let told = |result: Result<Vec<Change>, _>| {
            result.map_err(|error: toml::ser::Error| impossible(error.to_string()))
        };
        let at_next_start = told(changes(&next, &wanted))?;
        let mut changed = told(changes(&in_force, &next))?;
        changed.extend(secrets.iter().map(|(id, _)| Change::of_entry("customer", id, "secret")));
        changed.sort();

        // From here nothing can fail.
        for (id, secret) in secrets {
            if let Some(customer) = self.customers.get(&id) {
                customer.set_secret(secret);
            }
        }
        for (id, customer) in &self.customers {
            customer.set_rules(rules.remove(id).unwrap_or_default());
        }
        self.translator.set_exports(exports);
        *in_force = next;
        let text = |changes: Vec<Change>| changes.iter().map(ToString::to_string).collect();
        Ok(Reloaded { changed: text(changed), at_next_start: text(at_next_start) })
    }

    /// The same away from the threads that serve, told in the log.
    ///
    /// # Errors
    /// As one line for the operator.
    pub async fn run(self: Arc<Self>) -> Result<Reloaded, String> {
        let reloaded = match tokio::task::spawn_blocking(move || self.reload()).await {
            Ok(reloaded) => reloaded.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match &reloaded {
            Ok(Reloaded { changed, at_next_start }) => {
                tracing::info!("configuration reloaded; changed: {}", listed(changed));
                if !at_next_start.is_empty() {
                    tracing::warn!("takes effect at the next start: {}", listed(at_next_start));
                }
            }
            Err(error) => tracing::error!("configuration not reloaded, nothing was changed: {error}"),
        }
        reloaded
    }
}

fn listed(changes: &[String]) -> String {
    if changes.is_empty() { "nothing".to_owned() } else { changes.join(", ") }
}

/// What a port started with `at_start` can make of `wanted`: its exports and rules of customers that are served, and
/// the files of their secrets. An export given to a customer who is not served yet stays as it is in force.
fn merged(at_start: &Config, in_force: &Config, wanted: &Config) -> Config {
    let is_served = |id: u32| at_start.customer.iter().any(|customer| customer.id == id);
    let servable = |entry: &ExportEntry| match is_served(entry.customer) {
        true => Some(entry.clone()),
        false => in_force.export.iter().find(|known| known.path == entry.path).cloned(),
    };
    let mut next = at_start.clone();
    next.export = wanted.export.iter().filter_map(servable).collect();
    next.folder = wanted.folder.iter().filter(|folder| is_served(folder.customer)).cloned().collect();
    for customer in &mut next.customer {
        if let Some(entry) = wanted.customer.iter().find(|entry| entry.id == customer.id) {
            customer.secret_file.clone_from(&entry.secret_file);
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FolderEntry;

    const EXAMPLE: &str = include_str!("../storage-port.example.toml");

    fn config(edit: impl FnOnce(&mut Config)) -> Config {
        let mut config: Config = toml::from_str(EXAMPLE).unwrap();
        edit(&mut config);
        config
    }

    fn add_customer(config: &mut Config, id: u32) {
        let secret_file = format!("/secret-{id}").into();
        config.customer.push(crate::config::Customer { id, secret_file });
    }

    #[test]
    fn exports_of_customers_not_served_stay_as_they_are() {
        let start = config(|_| {});
        let wanted = config(|config| {
            add_customer(config, 2);
            config.export[0].customer = 2;
            config.export[1].read_only = true;
            for customer in [1, 2] {
                let (path, cached) = ("/a".to_owned(), Some(false));
                config.folder.push(FolderEntry { customer, path, srl_seconds: None, cached, quiet_ms: None });
            }
            config.export.push(ExportEntry { path: "/two".into(), customer: 2, ..config.export[0].clone() });
        });
        let next = merged(&start, &start, &wanted);
        let exports: Vec<_> =
            next.export.iter().map(|entry| (&*entry.path, entry.customer, entry.read_only)).collect();
        assert_eq!(exports, [("/export", 1, false), ("/SRL", 1, true)]);
        assert_eq!(next.customer.len(), 1);
        let folders: Vec<_> = next.folder.iter().map(|folder| folder.customer).collect();
        assert_eq!(folders, [1], "rules as well");
    }

    #[test]
    fn what_belongs_to_the_running_port_stays() {
        let start = config(|config| add_customer(config, 2));
        let wanted = config(|config| {
            config.center.dosm = vec!["https://other.example".into()];
            config.customer[0].secret_file = "/elsewhere".into();
            config.export.remove(0);
        });
        let next = merged(&start, &start, &wanted);
        let ids: Vec<_> = next.customer.iter().map(|customer| customer.id).collect();
        assert_eq!(ids, [1, 2], "a customer is served until the port ends: his writes are to be uploaded");
        assert_eq!(next.customer[0].secret_file, Path::new("/elsewhere"));
        let exports = next.exports().unwrap();
        let hosts: Vec<_> = exports.iter().map(|export| (&*export.path, &*export.srl.host)).collect();
        assert_eq!(hosts, [("/SRL", "https://center.example:8443")], "SRLs name the center in use");
        let later: Vec<_> = changes(&next, &wanted).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(later, ["[[customer]] 2 removed", "[center] dosm"]);
    }
}
