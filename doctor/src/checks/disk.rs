//! Whether what is configured fits on the disks (PORT-4, PORT-21).

use page_server::amount;

use super::or_ok;
use crate::plan::Folder;
use crate::report::Finding;
use crate::shell::disks::{Found, Room};

const CHECK: &str = "disk";
/// A folder without a bound of its own holds snapshots and small files.
const LITTLE: u64 = 16 << 20;

pub(super) fn judge(folders: &[Folder], found: &[Found]) -> Vec<Finding> {
    let pairs: Vec<_> = folders.iter().zip(found).collect();
    let findings: Vec<_> = pairs
        .iter()
        .filter_map(|(folder, found)| {
            let place = format!("{} {}", folder.key, folder.path.display());
            match found {
                Found::Unusable(why) => Some(Finding::fault(
                    CHECK,
                    format!("{place}: {why}"),
                    "name a folder that this daemon may use, and see that its disk is mounted",
                )),
                Found::Silent => Some(Finding::fault(
                    CHECK,
                    format!("{place}: the disk gives no answer"),
                    "look into the kernel's log; replace the disk",
                )),
                Found::Room(room) => {
                    let shares = Shares::of(room.device, &pairs);
                    of_room(folder, room, &place, &shares)
                }
            }
        })
        .collect();
    or_ok(findings, || Finding::ok(CHECK, "there is room for all that is configured"))
}

/// What the folders on one file system may hold.
struct Shares<'a> {
    /// All of them together.
    promised: u64,
    /// The first of those that have a bound: by it they are told once.
    first: Option<&'a Folder>,
}

impl<'a> Shares<'a> {
    fn of(device: u64, pairs: &[(&'a Folder, &Found)]) -> Self {
        let is_here = |found: &Found| matches!(found, Found::Room(room) if room.device == device);
        let here: Vec<_> =
            pairs.iter().filter(|(_, found)| is_here(found)).map(|(folder, _)| *folder).collect();
        let promised = here.iter().filter_map(|folder| folder.bytes).fold(0, u64::saturating_add);
        Self { promised, first: here.into_iter().find(|folder| folder.bytes.is_some()) }
    }
}

/// One finding at most: the rest follows from the first.
fn of_room(folder: &Folder, room: &Room, place: &str, shares: &Shares<'_>) -> Option<Finding> {
    if room.is_read_only {
        let mend =
            "mount it to be written; if the kernel made it so after an error, check or replace the disk";
        return Some(Finding::fault(CHECK, format!("{place}: the disk is read-only"), mend));
    }
    if room.is_denied {
        let text = format!("{place}: this user may not write there");
        return Some(Finding::fault(
            CHECK,
            text,
            "give the folder to the daemon's user, or look as that user",
        ));
    }
    let Some(bytes) = folder.bytes else {
        return (room.free < LITTLE).then(|| {
            let text = format!("{place}: {} are free", amount::bytes(room.free));
            Finding::fault(CHECK, text, format!("make room: {} at least", amount::bytes(LITTLE)))
        });
    };
    let promised = shares.promised;
    if promised > room.total {
        if shares.first != Some(folder) {
            return None;
        }
        let what = if promised > bytes { "this folder and others on the disk" } else { "this folder" };
        let text = format!(
            "{place}: {what} may hold {}, and the whole disk has {}",
            amount::bytes(promised),
            amount::bytes(room.total)
        );
        return Some(Finding::fault(CHECK, text, "lower `bytes`, or take a larger disk"));
    }
    if let Some(own) = room.own
        && own.saturating_add(room.free) < bytes
    {
        let text = format!(
            "{place}: {} of the {} it may hold are left, for others fill the disk",
            amount::bytes(own.saturating_add(room.free)),
            amount::bytes(bytes)
        );
        return Some(Finding::fault(CHECK, text, "remove what others have there, or lower `bytes`"));
    }
    room.is_root.then(|| {
        let text =
            format!("{place}: it is on the disk of the operating system, which stops when that is full");
        Finding::warning(CHECK, text, "give it a disk of its own; is that disk not mounted?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::outcome;
    use crate::report::Outcome;

    const GIB: u64 = 1 << 30;

    fn folder(key: &'static str, bytes: Option<u64>) -> Folder {
        Folder { key, path: format!("/data/{}", key.len()).into(), bytes }
    }

    fn room() -> Room {
        Room { device: 7, total: 10 * GIB, free: 6 * GIB, own: Some(4 * GIB), ..Room::default() }
    }

    /// PORT-4, PORT-21: the edges of what fits.
    #[test]
    fn what_is_configured_must_fit() {
        let of = |bytes, room| judge(&[folder("[journal] dir", bytes)], &[Found::Room(room)]);
        assert_eq!(outcome(&of(Some(10 * GIB), room())), Outcome::Ok);
        let told = of(Some(10 * GIB + 1), room());
        assert!(told[0].text.contains("the whole disk has 10.0 GiB"), "{told:?}");
        let told = of(Some(10 * GIB), Room { free: 6 * GIB - 1, ..room() });
        assert!(told.len() == 1 && told[0].text.contains("others fill"), "{told:?}");
        assert_eq!(
            outcome(&of(Some(10 * GIB), Room { free: 0, own: None, ..room() })),
            Outcome::Ok,
            "not counted"
        );
        assert_eq!(outcome(&of(None, Room { free: LITTLE, ..room() })), Outcome::Ok);
        assert_eq!(outcome(&of(None, Room { free: LITTLE - 1, ..room() })), Outcome::Fault);
        let read_only = of(Some(99 * GIB), Room { is_read_only: true, is_root: true, ..room() });
        assert!(read_only.len() == 1 && read_only[0].text.contains("read-only"), "{read_only:?}");
        assert_eq!(outcome(&of(Some(GIB), Room { is_denied: true, ..room() })), Outcome::Fault);
        assert_eq!(outcome(&of(Some(GIB), Room { is_root: true, ..room() })), Outcome::Warning);
        assert_eq!(outcome(&of(None, Room { is_root: true, ..room() })), Outcome::Ok, "state is small");
    }

    #[test]
    fn folders_on_one_disk_share_it() {
        let two = [folder("[[cache.disk]] path", Some(6 * GIB)), folder("[journal] dir", Some(5 * GIB))];
        let told = judge(&two, &[Found::Room(room()), Found::Room(room())]);
        assert!(
            told.len() == 1 && told[0].text.contains("and others on the disk may hold 11.0 GiB"),
            "{told:?}"
        );
        let apart = judge(&two, &[Found::Room(room()), Found::Room(Room { device: 8, ..room() })]);
        assert_eq!(outcome(&apart), Outcome::Ok);
        assert_eq!(outcome(&judge(&two[..1], &[Found::Silent])), Outcome::Fault);
        assert_eq!(outcome(&judge(&two[..1], &[Found::Unusable("no".into())])), Outcome::Fault);
        assert_eq!([amount::bytes(1023), amount::bytes(1536)], ["1023 bytes", "1.5 KiB"]);
    }
}
