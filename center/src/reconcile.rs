//! Compares the rows of the VFS with the references of the storage node, both ways (REF-4).
//!
//! The rows are the truth. A reference a row has and the disks lost is restored; one that no row has is an upload
//! that was never finished, and is given up when it is old enough.

use std::fmt;

use crate::isn::{Isn, Scanned};
use crate::vfs::MetaStore;

/// Whether to mend what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Look only.
    Compare,
    /// Mend it.
    Repair,
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows with contents.
    pub rows: u64,
    /// References on the disks.
    pub references: u64,
    /// Rows whose reference a copy of the object was missing; restored by [`Mode::Repair`].
    pub unheld: u64,
    /// Rows whose object is on no disk.
    pub lost: u64,
    /// References that no row has.
    pub orphans: u64,
    /// Of these, given up.
    pub collected: u64,
    /// Releases that the VFS has still to send.
    pub pending: u64,
    /// What reading the disks' names found; zeros unless repairing.
    pub scanned: Scanned,
}

impl Report {
    /// Whether rows and references are the same after this run.
    pub fn agrees(&self, mode: Mode) -> bool {
        let unheld = if mode == Mode::Repair { 0 } else { self.unheld };
        self.lost + unheld + (self.orphans - self.collected) == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, references, unheld, lost, orphans, collected, pending, .. } = self;
        writeln!(f, "rows with contents       {rows}")?;
        writeln!(f, "references on the disks  {references}")?;
        writeln!(f, "rows without reference   {unheld}")?;
        writeln!(f, "rows without object      {lost}")?;
        writeln!(f, "references without row   {orphans}, of which given up {collected}")?;
        write!(f, "releases under way       {pending}")
    }
}

/// Compares, page by page, while both go on changing: what an upload is just doing may show as an orphan.
///
/// # Errors
/// The reason why one of the two could not be asked.
pub async fn reconcile(vfs: &MetaStore, isn: &Isn, mode: Mode, now: u64) -> Result<Report, String> {
    let mut report = Report::default();
    if mode == Mode::Repair {
        report.scanned = isn.scan(now).await.map_err(text)?;
    }
    rows_to_references(vfs, isn, mode, now, &mut report).await?;
    references_to_rows(vfs, isn, mode, now, &mut report).await?;
    report.pending = vfs.releases_pending().await.map_err(text)?;
    Ok(report)
}

async fn rows_to_references(
    vfs: &MetaStore,
    isn: &Isn,
    mode: Mode,
    now: u64,
    report: &mut Report,
) -> Result<(), String> {
    for customer in vfs.customers().await.map_err(text)? {
        let customer = customer.id;
        let mut after = None;
        loop {
            let page = vfs.references(customer, after).await.map_err(text)?;
            let Some(last) = page.last() else { break };
            after = Some((last.content.fingerprint, last.token));
            for held in page {
                report.rows += 1;
                if isn.holds_every_copy(customer, held.content, held.token).await.map_err(text)? {
                    continue;
                }
                // The row may have changed since the page was read.
                let fingerprint = held.content.fingerprint;
                if !vfs.is_referenced(customer, fingerprint, held.token).await.map_err(text)? {
                    continue;
                }
                let here = match mode {
                    Mode::Repair => {
                        isn.restore(customer, held.content, held.token, now).await.map_err(text)?
                    }
                    Mode::Compare => isn.has_object(held.content).await.map_err(text)?,
                };
                if here {
                    report.unheld += 1;
                } else {
                    report.lost += 1;
                    tracing::error!(%customer, file = %held.file, object = %fingerprint, "a file's object is lost");
                }
            }
        }
    }
    Ok(())
}

async fn references_to_rows(
    vfs: &MetaStore,
    isn: &Isn,
    mode: Mode,
    now: u64,
    report: &mut Report,
) -> Result<(), String> {
    let renewed_before = now.saturating_sub(isn.settings().orphan_grace_seconds);
    let mut after = None;
    loop {
        let page = isn.references(after).await.map_err(text)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (reference, renewed) in page {
            report.references += 1;
            let (customer, token) = (reference.customer, reference.token);
            if vfs.is_referenced(customer, reference.fingerprint, token).await.map_err(text)? {
                continue;
            }
            report.orphans += 1;
            if mode == Mode::Repair && renewed < renewed_before {
                let released = isn.release_orphan(reference, renewed_before, now).await.map_err(text)?;
                report.collected += u64::from(released);
            }
        }
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use protocol::id::{CustomerId, Timestamp, Token};
    use protocol::name::Name;
    use protocol::srl::Secret;
    use protocol::vfs::{Existing, Operation, Request, Upload};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::isn::{Announced, Settings};
    use crate::local::LocalCluster;
    use crate::vfs::{DirectoryManager, NewCustomer, Quota};

    const NOW: u64 = 1_800_000_000;
    const ORPHAN_GRACE: u64 = 86_400;

    async fn open(folder: &Path) -> Isn {
        let settings = Settings {
            cluster: "test".to_owned(),
            node: 1,
            disks: ["0", "1"].map(|disk| folder.join(disk)).to_vec(),
            reserve_bytes: 0,
            unlink_grace_seconds: 600,
            orphan_grace_seconds: ORPHAN_GRACE,
        };
        Isn::open(settings, StdRng::seed_from_u64(1), NOW).await.unwrap()
    }

    /// Makes a file of stored bytes.
    async fn make_file(vfs: &MetaStore, isn: &Isn, bytes: &'static [u8]) {
        let new = NewCustomer {
            id: Some(CustomerId(1)),
            name: "A".to_owned(),
            secret: Secret::new(b"0123456789abcdef".to_vec()).unwrap(),
            quota: Quota::default(),
            root_metadata: Vec::new(),
        };
        let customer = vfs.add_customer(new, Timestamp(1)).await.unwrap();
        let token = Token([1; 16]);
        let incoming = isn.receive(bytes.len() as u64).await.unwrap().write(bytes.into()).await.unwrap();
        let content = incoming.finish(Announced::default(), customer.id, token, NOW).await.unwrap();
        let operation = Operation::CreateFile {
            parent: customer.root,
            name: Name::new(b"f").unwrap(),
            metadata: Vec::new(),
            upload: Some(Upload { content, token }),
            existing: Existing::Refuse,
        };
        let manager = DirectoryManager::new(vfs.clone(), Arc::new(LocalCluster::new(isn.clone(), None)));
        manager.perform(customer.id, Request { key: None, operation }, Timestamp(2)).await.unwrap();
    }

    /// REF-4, ISN-2: the reference comes back to the disk that lost it though the other one has it still.
    #[tokio::test]
    async fn both_copies_outlive_the_loss_of_one_index() {
        let folder = tempfile::tempdir().unwrap();
        for disk in ["0", "1"] {
            std::fs::create_dir(folder.path().join(disk)).unwrap();
        }
        let vfs = MetaStore::open(&folder.path().join("vfs.db")).unwrap();
        let isn = open(folder.path()).await;
        make_file(&vfs, &isn, b"held on two disks").await;
        drop(isn);
        std::fs::remove_file(folder.path().join("1/index.redb")).unwrap();

        let isn = open(folder.path()).await;
        assert!(isn.lost_references());
        assert_eq!(reconcile(&vfs, &isn, Mode::Compare, NOW).await.unwrap().unheld, 1);
        assert_eq!(reconcile(&vfs, &isn, Mode::Repair, NOW).await.unwrap().unheld, 1);
        let report = reconcile(&vfs, &isn, Mode::Repair, NOW).await.unwrap();
        assert_eq!((report.rows, report.unheld, report.lost), (1, 0, 0));
        assert_eq!(isn.collect(NOW + 10 * ORPHAN_GRACE).await.unwrap(), 0);
    }
}
