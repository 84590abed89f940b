//! Commands that give and take access by SRLs: they work on the directory database, and are in force everywhere within a
//! second (SRL-14).

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::id::{ClientFile, CustomerId};
use protocol::name::Name;
use protocol::srl::{Mark, SignedSrl};

use super::{Failed, File, write_new_secret};
use crate::config::Config;
use crate::host;
use crate::serve::open_directory;
use crate::vfs::{MetaStore, Revocation};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Give a customer a new secret. SRLs by the old one stay good until `retire`, or the next rotation.
    Rotate {
        #[command(flatten)]
        customer: OfCustomer,
        /// A new file for the secret.
        #[arg(long)]
        secret_out: PathBuf,
    },
    /// Take back the secret before the present one: no SRL by it is good any more.
    Retire(OfCustomer),
    /// Refuse all that is signed by a customer's secrets, until `resume`.
    Suspend(OfCustomer),
    /// End `suspend`.
    Resume(OfCustomer),
    /// Refuse an SRL; or all SRLs by which end users reach a file, or a folder and what is in it now.
    Revoke(Revoked),
    /// End `revoke`.
    Restore(Revoked),
    /// List what is revoked.
    Revoked(OfCustomer),
}

/// A customer of this center.
#[derive(Debug, Args)]
pub struct OfCustomer {
    #[command(flatten)]
    file: File,
    /// The customer.
    #[arg(long)]
    id: u32,
}

/// Something by which end users reach a customer's objects.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Revoked {
    #[command(flatten)]
    customer: OfCustomer,
    #[command(flatten)]
    what: What,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// One SRL, whole or without its host.
    #[arg(long, value_name = "URL")]
    srl: Option<String>,
    /// A file or folder, by its path in the customer's tree.
    #[arg(long)]
    path: Option<String>,
    /// A file that the customer calls by this id of its own.
    #[arg(long, value_name = "ID")]
    ufid: Option<String>,
}

impl AccessCommand {
    /// Does it; what the person is told.
    pub async fn run(self) -> Result<String, Failed> {
        match self {
            Self::Rotate { customer, secret_out } => {
                let (store, id) = customer.open().await?;
                let secret = write_new_secret(&secret_out)?;
                let rotated = store.rotate_secret(id, secret).await;
                if rotated.is_err() {
                    // It opens nothing; what cannot be removed does no harm.
                    let _ = fs::remove_file(&secret_out);
                }
                rotated?;
                Ok(format!(
                    "the new secret of customer {id} is in {}; `retire` takes the old one back",
                    secret_out.display()
                ))
            }
            Self::Retire(customer) => {
                let (store, id) = customer.open().await?;
                store.retire_secret(id).await?;
                Ok(format!("customer {id} has one secret"))
            }
            Self::Suspend(customer) => {
                let (store, id) = customer.open().await?;
                store.suspend(id, true).await?;
                Ok(format!("nothing that customer {id} signs is accepted"))
            }
            Self::Resume(customer) => {
                let (store, id) = customer.open().await?;
                store.suspend(id, false).await?;
                Ok(format!("what customer {id} signs is accepted"))
            }
            Self::Revoke(Revoked { customer, what }) => {
                let (store, id) = customer.open().await?;
                let revocations = what.revocations(&store, id).await?;
                let count = revocations.len();
                store.revoke(id, revocations, host::now()).await?;
                Ok(format!("revoked: {count}"))
            }
            Self::Restore(Revoked { customer, what }) => {
                let (store, id) = customer.open().await?;
                let revocations = what.revocations(&store, id).await?;
                let count = revocations.len();
                store.restore(id, revocations).await?;
                Ok(format!("restored: {count}"))
            }
            Self::Revoked(customer) => {
                let (store, id) = customer.open().await?;
                let revoked = store.revocations(id).await?;
                Ok(revoked.into_iter().map(|revocation| revocation.what).collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

impl OfCustomer {
    async fn open(&self) -> Result<(MetaStore, CustomerId), Failed> {
        let config = Config::load(&self.file.config)?;
        Ok((open_directory(&config).await?, CustomerId(self.id)))
    }
}

impl What {
    async fn revocations(&self, store: &MetaStore, id: CustomerId) -> Result<Vec<Revocation>, Failed> {
        match (&self.srl, &self.ufid, &self.path) {
            (Some(url), ..) => {
                let (srl, uri) = SignedSrl::parse(path_of(url))?;
                if srl.request()?.customer != id {
                    return Err(Failed(format!("that SRL is not one of customer {id}")));
                }
                // Without the certificate, which is what makes it good.
                let what = format!("SRL …/{uri} of request {}", srl.encoded);
                Ok(vec![Revocation { mark: Mark::of_srl(&srl.encoded), what }])
            }
            (None, Some(ufid), _) => {
                let mark = Mark::of_client_file(ClientFile::named(id, ufid.as_bytes()));
                Ok(vec![Revocation { mark, what: format!("file {ufid}") }])
            }
            (None, None, path) => {
                let parts = path.iter().flat_map(|path| path.split('/')).filter(|part| !part.is_empty());
                let names = parts.map(|part| Name::new(part.as_bytes())).collect::<Result<Vec<_>, _>>()?;
                Ok(store.marks_below(id, names).await?)
            }
        }
    }
}

/// The path of a URL, or the whole of what is none.
fn path_of(url: &str) -> &str {
    let behind_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url[behind_scheme..].find('/').map_or(url, |at| &url[behind_scheme + at..]);
    path.split_once('?').map_or(path, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_srl_is_taken_with_its_host_and_without() {
        for url in ["http://center.example:8080/a/b/c/d.jpg", "/a/b/c/d.jpg", "https://h/a/b/c/d.jpg?x=1"] {
            assert_eq!(path_of(url), "/a/b/c/d.jpg");
        }
        assert_eq!(path_of("nothing"), "nothing");
    }
}
