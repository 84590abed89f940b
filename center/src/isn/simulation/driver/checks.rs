//! The comparisons of the disk with the model.

use std::collections::BTreeSet;
use std::path::Path;

use protocol::digest::{Content, Fingerprint};
use protocol::dosp::Reference;

use super::{Driver, Held, OBJECTS, ORPHAN_GRACE, Object, Step};
use crate::isn::fault::DiskError;
use crate::isn::files::{DiskFile, FileSystem};
use crate::isn::layout::Layout;
use crate::isn::quarantine::COPIES_MAX;
use crate::isn::scan::scan;

impl Driver {
    /// The disk is what the model says.
    pub(super) fn check(&mut self) -> Step {
        self.world().calm();
        // Looking may mean to put into the index what is found, or bad bytes aside.
        let is_full = self.world().is_full();
        self.world().make_room();
        let checked = match self.check_all() {
            // Nobody else has met the error yet that kept the index from being opened again.
            Err(Failure::Disk(_)) if self.world().is_harmed() => {
                self.start()?;
                self.world().calm();
                self.check_all()
            }
            checked => checked,
        };
        if is_full {
            self.world().fill_after(0);
        }
        checked.map_err(|error| match error {
            Failure::Wrong(what) => what,
            Failure::Disk(error) => format!("the disk cannot be asked: {error}"),
        })
    }

    fn check_all(&mut self) -> Result<(), Failure> {
        let draining = self.disk().draining();
        if self.model.draining.is_some_and(|known| known != draining) {
            return Err(wrong("the mark of a disk to be emptied changed by itself"));
        }
        self.model.draining = Some(draining);
        let there = self.all_references()?;
        // Before what was not sure becomes so.
        let acknowledged: BTreeSet<_> = OBJECTS
            .iter()
            .map(|object| object.content.fingerprint)
            .filter(|&object| self.model.is_held(object))
            .collect();
        for (reference, held) in &mut self.model.references {
            match (*held, there.contains(reference)) {
                (Held::Yes, false) => {
                    return Err(wrong(format!("{reference:?} was acknowledged and is lost")));
                }
                (Held::No, true) => return Err(wrong(format!("{reference:?} was given up and is there"))),
                (_, true) => *held = Held::Yes,
                (_, false) => *held = Held::No,
            }
        }
        if let Some(stranger) = there.iter().find(|there| !self.model.references.contains_key(there)) {
            return Err(wrong(format!("{stranger:?} comes from nowhere")));
        }
        for object in 0..OBJECTS.len() {
            let fingerprint = OBJECTS[object].content.fingerprint;
            let of_it: BTreeSet<_> =
                there.iter().copied().filter(|reference| reference.fingerprint == fingerprint).collect();
            let told = self.disk().references_of(fingerprint, None, 100)?;
            if told.into_iter().map(|(reference, _)| reference).collect::<BTreeSet<_>>() != of_it {
                return Err(wrong(format!("the references of {fingerprint} are not those of all")));
            }
            if !self.model.spoiled.contains(&fingerprint) {
                self.check_object(fingerprint, acknowledged.contains(&fingerprint))?;
            }
        }
        Ok(())
    }

    fn all_references(&self) -> Result<BTreeSet<Reference>, Failure> {
        let (mut all, mut after) = (BTreeSet::new(), None);
        loop {
            let page = self.disk().index().references(after, 5)?;
            let Some((last, _)) = page.last() else { return Ok(all) };
            after = Some(*last);
            all.extend(page.into_iter().map(|(reference, _)| reference));
        }
    }

    /// ISN-11: whatever can be seen of an object is whole, and what is held can be seen.
    fn check_object(&mut self, fingerprint: Fingerprint, acknowledged: bool) -> Result<(), Failure> {
        let held = self.model.is_held(fingerprint) && !self.model.gone.contains(&fingerprint);
        let of_it = |object: &&Object| object.content.fingerprint == fingerprint;
        let found = self.disk().find(fingerprint)?;
        let Some(content) = found else {
            return if held {
                Err(wrong(format!("{fingerprint} was acknowledged and is lost")))
            } else {
                Ok(())
            };
        };
        let Some(object) = OBJECTS.iter().filter(of_it).find(|object| object.content == content) else {
            return Err(wrong(format!("{content:?} was never stored")));
        };
        match self.model.stored.get(&fingerprint) {
            Some(stored) if acknowledged && OBJECTS[*stored].content != content => {
                return Err(wrong(format!("{content:?} took the place of an acknowledged object")));
            }
            // A store that was not acknowledged has taken place.
            _ => {
                let stored = OBJECTS.iter().position(|object| object.content == content).unwrap();
                self.model.stored.insert(fingerprint, stored);
                // Without its row in the index it is only found by the next scan, or by whoever stores it again.
                if self.disk().index().object(fingerprint)?.is_some() {
                    self.model.gone.remove(&fingerprint);
                }
            }
        }
        let bytes = match self.disk().open_object(fingerprint) {
            Ok((_, file, _)) => {
                let mut bytes = vec![0; usize::try_from(content.size).unwrap()];
                file.read_exact_at(&mut bytes, 0).map_err(DiskError::from)?;
                bytes
            }
            Err(DiskError::Missing(_)) if !held => return Ok(()),
            Err(error) => return Err(wrong(format!("{content:?} cannot be opened: {error}"))),
        };
        if bytes == object.bytes { Ok(()) } else { Err(wrong(format!("{content:?} has other bytes"))) }
    }

    /// ISN-11: when nobody holds anything, nothing is left.
    pub(super) fn empty(&mut self) -> Step {
        self.start()?;
        self.world().calm();
        self.world().make_room();
        self.empty_all().map_err(|error| match error {
            Failure::Wrong(what) => what,
            Failure::Disk(error) => format!("the disk cannot be emptied: {error}"),
        })
    }

    fn empty_all(&mut self) -> Result<(), Failure> {
        for reference in self.model.references.keys() {
            self.disk().release(*reference, self.now, self.now)?;
        }
        scan(self.disk(), self.now)?;
        for suspect in self.disk().take_suspects() {
            self.disk().verify(suspect)?;
        }
        self.now += 10 * ORPHAN_GRACE;
        self.collect_now()?;
        let objects = self.disk().index().objects(None, 100)?;
        if objects != [Content::EMPTY] || self.disk().index().count()? != 1 {
            return Err(wrong(format!("objects nobody holds are left: {objects:?}")));
        }
        let missing = self.disk().missing(None, 100)?;
        if !missing.is_empty() || self.disk().index().has_old_releases(u64::MAX)? {
            return Err(wrong("the index remembers what nobody holds"));
        }
        let layout = Layout::new(Path::new("/"));
        let mut left = self.files_below(&layout.objects())?;
        left.extend(self.files_below(&layout.temporary())?);
        if left != [format!("{}.MD5", Content::EMPTY.fingerprint)] {
            return Err(wrong(format!("files are left: {left:?}")));
        }
        if self.files_below(&layout.quarantine())?.len() > COPIES_MAX {
            return Err(wrong("too many copies in quarantine"));
        }
        Ok(())
    }

    fn files_below(&self, folder: &Path) -> Result<Vec<String>, DiskError> {
        let mut found = Vec::new();
        for entry in self.files().list(folder)? {
            if entry.is_folder {
                found.extend(self.files_below(&folder.join(entry.name))?);
            } else {
                found.push(entry.name.to_string_lossy().into_owned());
            }
        }
        Ok(found)
    }
}

/// Why a comparison with the model ended.
enum Failure {
    /// The disk is wrong.
    Wrong(String),
    /// It does not answer.
    Disk(DiskError),
}

impl<E: Into<DiskError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Disk(error.into())
    }
}

fn wrong(what: impl Into<String>) -> Failure {
    Failure::Wrong(what.into())
}
