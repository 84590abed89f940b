//! What the writer owes its followers, and so whether a change may be answered (VFS-22, GEO-4). Pure: told the time.
//!
//! A change is answered when one follower has it on its disk. If none has within [`PATIENCE`] the writer goes *alone*:
//! it answers without, until a follower has caught up. With a witness it must be allowed to write, and to go alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a change waits for a follower.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Followers remembered: more than there may be other centers.
const FOLLOWERS_MAX: usize = 64;

/// Whether the writer answers what no follower has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// It does not.
    No,
    /// It would, and the witness has not been told yet.
    Wanted,
    /// It does.
    Yes,
}

/// What is known of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Number of the last entry on its disk.
    pub has: u64,
    /// When it asked last.
    pub heard: Instant,
    /// The last entry it was handed, if that was all there was then.
    offered: Option<u64>,
}

/// Whether a change is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is safe, or the writer is alone.
    Answer,
    /// The same, from now on without a follower: to be told loudly.
    AnswerAlone,
    /// Not now, and nobody knows whether it will stand.
    Refuse,
    /// Look again when something has happened, or then.
    WaitUntil(Instant),
}

/// Who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// As the database says.
    Always,
    /// Until then, by the witness; as the database says.
    Until(Instant),
    /// Not now.
    Never,
}

/// All of it.
#[derive(Debug)]
pub struct Debts {
    /// Followers are waited for: in the process that serves, not in a command.
    attended: bool,
    permission: Permission,
    has_witness: bool,
    alone: Alone,
    /// The last entry that was answered, or may have been before the start, without that a follower has it.
    unfollowed: Option<u64>,
    followers: BTreeMap<String, Follower>,
}

impl Default for Debts {
    fn default() -> Self {
        Self {
            attended: false,
            permission: Permission::Always,
            has_witness: false,
            alone: Alone::No,
            unfollowed: None,
            followers: BTreeMap::new(),
        }
    }
}

impl Debts {
    /// From now on followers are waited for, and nothing is changed before that is permitted.
    pub fn attend(&mut self, has_witness: bool) {
        (self.attended, self.has_witness) = (true, has_witness);
        self.permission = Permission::Never;
    }

    /// This center begins to write behind this entry: it, and those before, may have been answered alone.
    pub fn begin(&mut self, position: u64) {
        self.unfollowed = self.unfollowed.max(Some(position));
    }

    /// Who may write from now on.
    pub fn permit(&mut self, permission: Permission) {
        self.permission = permission;
        if permission == Permission::Never {
            // Whoever writes next has his own debts.
            self.alone = Alone::No;
        }
    }

    /// Whether changes are made now.
    pub fn may_write(&self, now: Instant) -> bool {
        match self.permission {
            Permission::Always => true,
            Permission::Until(end) => now < end,
            Permission::Never => false,
        }
    }

    /// Whether the writer answers without followers.
    pub fn alone(&self) -> Alone {
        self.alone
    }

    /// The witness knows that the writer may answer alone; whether it was waiting for that.
    pub fn go_alone(&mut self) -> bool {
        let is_wanted = self.alone == Alone::Wanted;
        if is_wanted {
            self.alone = Alone::Yes;
        }
        is_wanted
    }

    /// Whether changes are answered, were, or are about to be, that no follower has: then nobody may take over.
    pub fn owes(&self) -> bool {
        self.alone != Alone::No || self.unfollowed.is_some()
    }

    /// A follower asked, and has this much. Whether it has caught up with a writer that was alone.
    pub fn pulled(&mut self, center: &str, has: u64, now: Instant) -> bool {
        if self.followers.len() >= FOLLOWERS_MAX && !self.followers.contains_key(center) {
            return false;
        }
        let follower = Follower { has, heard: now, offered: None };
        let before = self.followers.insert(center.to_owned(), follower);
        let is_level = before.and_then(|before| before.offered).is_some_and(|offered| has >= offered);
        let joins = is_level && self.alone != Alone::No;
        if joins {
            self.alone = Alone::No;
        }
        // Since nothing more is answered alone, there is an end to what was.
        if self.alone == Alone::No && self.unfollowed.is_some_and(|last| has >= last) {
            self.unfollowed = None;
        }
        joins
    }

    /// It was handed entries up to this one, which was the last.
    pub fn offered_all(&mut self, center: &str, until: u64) {
        if let Some(follower) = self.followers.get_mut(center) {
            follower.offered = Some(until);
        }
    }

    /// Whether a change that was committed at `since` as this entry is answered.
    pub fn verdict(&mut self, number: u64, since: Instant, now: Instant) -> Verdict {
        if !self.attended || self.followers.values().any(|follower| follower.has >= number) {
            return Verdict::Answer;
        }
        if !self.may_write(now) {
            return Verdict::Refuse;
        }
        let overdue = since + PATIENCE;
        match self.alone {
            Alone::Yes => {
                self.unfollowed = self.unfollowed.max(Some(number));
                Verdict::Answer
            }
            Alone::No if now < overdue => Verdict::WaitUntil(overdue),
            _ if self.has_witness => {
                self.alone = Alone::Wanted;
                Verdict::WaitUntil(now + PATIENCE)
            }
            _ => {
                self.alone = Alone::Yes;
                self.unfollowed = self.unfollowed.max(Some(number));
                Verdict::AnswerAlone
            }
        }
    }

    /// The followers that asked since the start.
    pub fn followers(&self) -> impl Iterator<Item = (&str, &Follower)> {
        self.followers.iter().map(|(center, follower)| (center.as_str(), follower))
    }

    /// Up to here, `others` followers have all; 0 while one of them was not heard of.
    pub fn all_have(&self, others: usize) -> u64 {
        match self.followers.len() < others {
            true => 0,
            false => self.followers.values().map(|follower| follower.has).min().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writing(has_witness: bool) -> Debts {
        let mut debts = Debts::default();
        debts.attend(has_witness);
        debts.permit(Permission::Always);
        debts
    }

    /// VFS-22, GEO-4: a change waits for a follower's disk, for 2 s to the millisecond; then the writer is alone, says
    /// so once, and is joined again by a follower that has all it was offered.
    #[test]
    fn a_change_waits_for_a_follower_and_then_goes_alone() {
        let (mut debts, start) = (writing(false), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        debts.pulled("south", 6, start);
        assert_eq!(debts.verdict(6, start, at(1)), Verdict::Answer);
        assert_eq!(debts.verdict(7, start, at(1_999)), Verdict::WaitUntil(at(2_000)));
        assert_eq!(debts.verdict(7, start, at(2_000)), Verdict::AnswerAlone);
        assert_eq!(debts.verdict(8, at(2_000), at(2_001)), Verdict::Answer, "alone");
        assert!(!debts.pulled("south", 6, at(3_000)), "it has not caught up");
        debts.offered_all("south", 8);
        assert_eq!(debts.verdict(9, at(3_000), at(3_001)), Verdict::Answer, "still alone");
        assert!(debts.pulled("south", 8, at(3_100)));
        assert_eq!(debts.verdict(9, at(3_100), at(3_101)), Verdict::WaitUntil(at(5_100)));
        assert!(!debts.pulled("south", 9, at(3_200)), "told once");
        assert_eq!(debts.verdict(9, at(3_100), at(3_201)), Verdict::Answer);
    }

    /// VFS-21: with a witness nobody goes alone before the witness knows, and nobody answers without permission.
    #[test]
    fn with_a_witness_nobody_goes_alone_untold() {
        let (mut debts, start) = (writing(true), Instant::now());
        let late = start + PATIENCE;
        debts.permit(Permission::Until(late + PATIENCE));
        assert_eq!(debts.verdict(1, start, late), Verdict::WaitUntil(late + PATIENCE));
        assert_eq!(debts.alone(), Alone::Wanted);
        assert_eq!(debts.verdict(1, start, late + PATIENCE), Verdict::Refuse, "the lease has run out");
        debts.permit(Permission::Until(late + 9 * PATIENCE));
        assert!(debts.go_alone() && !debts.go_alone());
        assert_eq!(debts.verdict(1, start, late + PATIENCE), Verdict::Answer);
        debts.permit(Permission::Never);
        assert_eq!(debts.verdict(1, start, late + PATIENCE), Verdict::Refuse);
        debts.pulled("south", 1, late);
        assert_eq!(debts.verdict(1, start, late + PATIENCE), Verdict::Answer, "safe, whoever writes now");
    }

    /// VFS-21: a writer owes until a follower has all that was answered without one, also before a restart, and also
    /// what was answered between the follower's last two questions.
    #[test]
    fn a_writer_owes_what_it_answered_alone() {
        let (mut debts, start) = (Debts::default(), Instant::now());
        debts.attend(false);
        debts.begin(4);
        debts.permit(Permission::Always);
        debts.pulled("south", 3, start);
        assert!(debts.owes(), "entry 4 may have been answered before the start");
        debts.pulled("south", 4, start);
        assert!(!debts.owes());
        assert_eq!(debts.verdict(5, start, start + PATIENCE), Verdict::AnswerAlone);
        debts.pulled("south", 4, start + PATIENCE);
        debts.offered_all("south", 5);
        assert_eq!(debts.verdict(6, start + PATIENCE, start + PATIENCE), Verdict::Answer);
        assert!(debts.pulled("south", 5, start + PATIENCE), "changes wait again");
        assert!(debts.owes(), "6 was answered");
        debts.pulled("south", 6, start + PATIENCE);
        assert!(!debts.owes());
    }

    /// A command's process has no followers, and waits for none.
    #[test]
    fn who_does_not_serve_waits_for_nobody() {
        let now = Instant::now();
        assert_eq!(Debts::default().verdict(1, now, now), Verdict::Answer);
        let mut debts = Debts::default();
        debts.attend(false);
        assert!(!debts.may_write(now), "not before it is permitted");
    }

    /// What all have may go: only once all were heard of.
    #[test]
    fn nothing_may_go_before_all_were_heard_of() {
        let (mut debts, now) = (writing(false), Instant::now());
        debts.pulled("south", 7, now);
        assert_eq!((debts.all_have(1), debts.all_have(2)), (7, 0));
        debts.pulled("west", 5, now);
        assert_eq!(debts.all_have(2), 5);
    }
}
