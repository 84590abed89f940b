//! Compares the rows of the VFS with the references of whoever holds the objects, both ways (REF-4).
//!
//! The rows are the truth. A reference a row has and the holders lost is restored; one that no row has is an upload
//! that was never finished, and is given up when it is old enough.

use std::fmt;
use std::future::Future;

use protocol::dosp::operations::RowReference;
use protocol::dosp::{LACKING_MAX, Reference};

use crate::objects::Unavailable;
use crate::vfs::{Held, MetaStore, of_seconds};

/// References without a row that are told one by one; of the others, only how many there are.
const ORPHANS_TOLD_MAX: u64 = 20;

/// Whoever holds the objects and the references to them.
pub trait Holders: Send + Sync {
    /// Compares the names on all disks with their indexes (ISN-2).
    fn scan(&self, now: u64) -> impl Future<Output = Result<Scanned, Unavailable>> + Send;

    /// What is there of these rows' objects and references: one answer for each, in order.
    fn compare(
        &self,
        rows: &[RowReference],
    ) -> impl Future<Output = Result<Vec<Compared>, Unavailable>> + Send;

    /// Restores the reference of a row wherever its object is. Answers whether it is anywhere.
    fn restore(&self, row: RowReference, now: u64) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// Tells that the references of all rows were restored since [`Self::scan`]: who had lost some has them again.
    fn restored(&self) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// A page of references after `after`, in order, each once, with the earliest second it was made in; empty at the
    /// end.
    fn references(
        &self,
        after: Option<Reference>,
    ) -> impl Future<Output = Result<Vec<(Reference, u64)>, Unavailable>> + Send;

    /// Gives up a reference unless it was renewed at `renewed_before` or later. Answers whether it did.
    fn release_orphan(
        &self,
        reference: Reference,
        renewed_before: u64,
        now: u64,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

/// What a scan found and mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Objects on the disks.
    pub objects: u64,
    /// Of these, unknown to an index before.
    pub found: u64,
    /// In an index, but no longer on the disk.
    pub lost: u64,
}

/// How many holders have an object and a reference to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// With all their copies.
    pub held: u64,
    /// That have a copy without the reference.
    pub lacking: u64,
}

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

/// Compares, page by page, while both go on changing: what an upload is just doing may show as an orphan. An orphan is
/// given up when it was not renewed for `orphan_grace` seconds.
///
/// # Errors
/// The reason why one of the two could not be asked.
pub async fn reconcile<H: Holders>(
    vfs: &MetaStore,
    holders: &H,
    mode: Mode,
    orphan_grace: u64,
    now: u64,
) -> Result<Report, String> {
    let mut report = Report::default();
    if mode == Mode::Repair {
        report.scanned = holders.scan(now).await.map_err(text)?;
    }
    rows_to_references(vfs, holders, mode, now, &mut report).await?;
    if mode == Mode::Repair {
        holders.restored().await.map_err(text)?;
    }
    let renewed_before = now.saturating_sub(orphan_grace);
    references_to_rows(vfs, holders, mode, renewed_before, now, &mut report).await?;
    report.pending = vfs.releases_pending().await.map_err(text)?;
    Ok(report)
}

async fn rows_to_references<H: Holders>(
    vfs: &MetaStore,
    holders: &H,
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
            for held in page.chunks(LACKING_MAX) {
                let row = |held: &Held| RowReference { content: held.content, customer, token: held.token };
                let rows: Vec<RowReference> = held.iter().map(row).collect();
                let compared = holders.compare(&rows).await.map_err(text)?;
                for ((held, row), compared) in held.iter().zip(rows).zip(compared) {
                    report.rows += 1;
                    if compared.held > 0 && compared.lacking == 0 {
                        continue;
                    }
                    let object = row.content.fingerprint;
                    let Compared { held: nodes_with, lacking: nodes_without } = compared;
                    tracing::debug!(%object, nodes_with, nodes_without, "a row's reference is lacking");
                    settle_row(vfs, holders, mode, now, (held, row, compared), report).await?;
                }
            }
        }
    }
    Ok(())
}

/// A row whose object or reference is missing somewhere.
async fn settle_row<H: Holders>(
    vfs: &MetaStore,
    holders: &H,
    mode: Mode,
    now: u64,
    (held, row, compared): (&Held, RowReference, Compared),
    report: &mut Report,
) -> Result<(), String> {
    let (customer, fingerprint) = (row.customer, row.content.fingerprint);
    // The row may have changed since the page was read.
    if !vfs.is_referenced(customer, fingerprint, row.token).await.map_err(text)? {
        return Ok(());
    }
    let is_here = match mode {
        Mode::Repair => {
            let is_here = holders.restore(row, now).await.map_err(text)?;
            // What was restored after the row had gone would stay: it is given up once more, unless a row holds it.
            let reference = Reference { fingerprint, customer, token: row.token };
            let given_up = vfs.give_up_unheld(reference, None, of_seconds(now)).await;
            given_up.map_err(|failure| text(failure.into_vfs_error()))?;
            is_here
        }
        Mode::Compare => compared.held + compared.lacking > 0,
    };
    if is_here {
        report.unheld += 1;
    } else {
        report.lost += 1;
        tracing::error!(%customer, file = %held.file, object = %fingerprint, "a file's object is lost");
    }
    Ok(())
}

async fn references_to_rows<H: Holders>(
    vfs: &MetaStore,
    holders: &H,
    mode: Mode,
    renewed_before: u64,
    now: u64,
    report: &mut Report,
) -> Result<(), String> {
    let mut after = None;
    loop {
        let page = holders.references(after).await.map_err(text)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (reference, renewed) in page {
            report.references += 1;
            let (customer, token) = (reference.customer, reference.token);
            if vfs.is_referenced(customer, reference.fingerprint, token).await.map_err(text)? {
                continue;
            }
            report.orphans += 1;
            if report.orphans <= ORPHANS_TOLD_MAX {
                let object = reference.fingerprint;
                tracing::info!(%customer, %object, %token, renewed, "a reference has no row");
            }
            if mode == Mode::Repair && renewed < renewed_before {
                let released = holders.release_orphan(reference, renewed_before, now).await.map_err(text)?;
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
    use std::sync::{Arc, Mutex};

    use protocol::id::{CustomerId, ObjectId, Timestamp, Token};
    use protocol::name::Name;
    use protocol::srl::Secret;
    use protocol::vfs::{Existing, Kind, Operation, Request, Target, Upload};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use tempfile::TempDir;

    use super::*;
    use crate::isn::{Isn, Settings};
    use crate::local::LocalCluster;
    use crate::objects::{Announced, Objects, Upload as _};
    use crate::vfs::{DirectoryManager, Engine, NewCustomer, Quota, keep_house};

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

    /// A VFS, and a node that was stopped after a file of these bytes was made. The node's disks are in the folder.
    async fn stopped_with_a_file(bytes: &'static [u8]) -> (TempDir, MetaStore) {
        let folder = tempfile::tempdir().unwrap();
        for disk in ["0", "1"] {
            std::fs::create_dir(folder.path().join(disk)).unwrap();
        }
        let vfs = MetaStore::open(Engine::Sqlite(folder.path().join("vfs.db"))).await.unwrap();
        make_file(&vfs, &open(folder.path()).await, bytes).await;
        (folder, vfs)
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
        let incoming = isn.receive(bytes.len() as u64, NOW).await.unwrap().write(bytes.into()).await.unwrap();
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
        let (folder, vfs) = stopped_with_a_file(b"held on two disks").await;
        std::fs::remove_file(folder.path().join("1/index.redb")).unwrap();

        let isn = open(folder.path()).await;
        assert!(isn.lost_references());
        assert_eq!(reconcile(&vfs, &isn, Mode::Compare, ORPHAN_GRACE, NOW).await.unwrap().unheld, 1);
        assert_eq!(reconcile(&vfs, &isn, Mode::Repair, ORPHAN_GRACE, NOW).await.unwrap().unheld, 1);
        assert!(!isn.lost_references());
        drop(isn);

        // Told once, and not again at the next start.
        let isn = open(folder.path()).await;
        assert!(!isn.lost_references());
        assert!(isn.references_restored().await.is_err(), "nothing was scanned since the start");
        let report = reconcile(&vfs, &isn, Mode::Repair, ORPHAN_GRACE, NOW).await.unwrap();
        assert_eq!((report.rows, report.unheld, report.lost), (1, 0, 0));
        assert_eq!(isn.collect(NOW + 10 * ORPHAN_GRACE).await.unwrap(), 0);
    }

    /// A node that lost its references, and whose customer removes the file in the moment before they are restored.
    struct Racing {
        isn: Isn,
        vfs: MetaStore,
        manager: DirectoryManager<LocalCluster<Isn>>,
        file: Mutex<Option<ObjectId>>,
    }

    impl Holders for Racing {
        async fn scan(&self, now: u64) -> Result<Scanned, Unavailable> {
            Holders::scan(&self.isn, now).await
        }

        async fn compare(&self, rows: &[RowReference]) -> Result<Vec<Compared>, Unavailable> {
            self.isn.compare(rows).await
        }

        async fn restore(&self, row: RowReference, now: u64) -> Result<bool, Unavailable> {
            let file = self.file.lock().unwrap().take();
            if let Some(file) = file {
                let operation =
                    Operation::Delete { target: Target::Id(file), kind: Kind::File, recursive: false };
                let request = Request { key: None, operation };
                self.manager.perform(row.customer, request, Timestamp(3)).await.unwrap();
                release_all(&self.vfs, &self.isn).await;
            }
            Holders::restore(&self.isn, row, now).await
        }

        async fn restored(&self) -> Result<(), Unavailable> {
            self.isn.restored().await
        }

        async fn references(&self, after: Option<Reference>) -> Result<Vec<(Reference, u64)>, Unavailable> {
            self.isn.references(after).await
        }

        async fn release_orphan(&self, one: Reference, before: u64, now: u64) -> Result<bool, Unavailable> {
            self.isn.release_orphan(one, before, now).await
        }
    }

    async fn release_all(vfs: &MetaStore, isn: &Isn) {
        let cluster = LocalCluster::new(isn.clone(), None);
        let house = keep_house(vfs.clone(), &cluster, || of_seconds(NOW));
        let pending = async {
            while vfs.releases_pending().await.unwrap() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = house => {}
            () = pending => {}
        }
    }

    /// REF-4: a reference that is restored just after its row was removed is given up again.
    #[tokio::test]
    async fn what_is_restored_too_late_is_given_up_again() {
        let (folder, vfs) = stopped_with_a_file(b"removed meanwhile").await;
        std::fs::remove_file(folder.path().join("0/index.redb")).unwrap();
        std::fs::remove_file(folder.path().join("1/index.redb")).unwrap();

        let isn = open(folder.path()).await;
        let [row] = vfs.references(CustomerId(1), None).await.unwrap()[..] else { panic!("one row") };
        let manager = DirectoryManager::new(vfs.clone(), Arc::new(LocalCluster::new(isn.clone(), None)));
        let racing = Racing { isn, vfs: vfs.clone(), manager, file: Mutex::new(Some(row.file)) };
        reconcile(&vfs, &racing, Mode::Repair, ORPHAN_GRACE, NOW).await.unwrap();
        release_all(&vfs, &racing.isn).await;
        assert!(racing.isn.references(None).await.unwrap().is_empty());
    }
}
