//! What a directory manager does, from what it and the others know. Pure.

use std::net::SocketAddr;

use protocol::dosp::operations::{DirectoryStateOut, Generation};

use crate::vfs::mirror::Position;

/// What another directory manager said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Where it is reached.
    pub address: SocketAddr,
    /// What it said.
    pub state: DirectoryStateOut,
}

/// What a directory manager does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It changes the directory.
    Writes,
    /// It would write, and does not: before it has asked the others, or without the witness's leave.
    Waits,
    /// It has what another one writes: that one's address, if it is heard of.
    Follows(Option<SocketAddr>),
}

/// Which of two generations is the later one. With the same number, which two takeovers by force at one time would
/// make, all agree on one of them by its writer's name.
pub fn is_later(one: &Generation, other: &Generation) -> bool {
    (one.number, &one.writer) > (other.number, &other.writer)
}

/// What the manager of `center` does whose database knows of `own` as the last generation, while `told` is the last one
/// that anybody ever told it of. `has_asked`: all others answered, or were given the time for it.
pub fn role_of(
    center: &str,
    own: &Generation,
    told: Option<&Generation>,
    heard: &[Heard],
    has_asked: bool,
) -> Role {
    let last = told.filter(|told| is_later(told, own)).unwrap_or(own);
    // Also of a generation of this center's that its own database does not know: it was restored from a backup, and the
    // rest of what it wrote is with the others. Nobody is followed then, until one of them takes over.
    if last.writer != center || is_later(last, own) {
        let writer = heard.iter().find(|heard| heard.state.center == last.writer);
        return Role::Follows(writer.map(|writer| writer.address));
    }
    if has_asked { Role::Writes } else { Role::Waits }
}

/// Whether the manager of `center`, which follows and has what is at `position`, may ask for the directory: its writer
/// says nothing, or that it does not write, and of the other followers, which all answer, none has more. Of several
/// that have the same, the first by name asks.
pub fn may_claim(center: &str, position: &Position, heard: &[Heard], others: &[&str]) -> bool {
    let Position { generation, number } = position;
    let said = |other: &str| heard.iter().find(|heard| heard.state.center == other).map(|heard| &heard.state);
    others.iter().all(|other| match said(other) {
        Some(state) if *other == generation.writer => !state.writes,
        Some(state) => {
            !state.writes && (*number, std::cmp::Reverse(center)) > (state.position, std::cmp::Reverse(other))
        }
        None => *other == generation.writer,
    }) && generation.number > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(number: u64, writer: &str) -> Generation {
        Generation { number, writer: writer.to_owned(), first: 1 }
    }

    fn heard(center: &str, port: u16, generation: Generation) -> Heard {
        let state = DirectoryStateOut { center: center.to_owned(), generation, position: 5, writes: true };
        Heard { address: address(port), state }
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 10, 100, 1], port))
    }

    /// VFS-21: one writes, the others follow it; a later generation, from whomever it was heard, ends an earlier one.
    #[test]
    fn the_latest_generation_says_who_writes() {
        let north = generation(1, "north");
        let role = |own: &Generation, told: Option<&Generation>, heard: &[Heard]| {
            role_of("north", own, told, heard, true)
        };
        assert_eq!(role(&north, None, &[]), Role::Writes);
        assert_eq!(role_of("north", &north, None, &[], false), Role::Waits);
        assert_eq!(role(&north, Some(&north), &[heard("south", 1, north.clone())]), Role::Writes);
        let south = generation(2, "south");
        let there = [heard("west", 2, south.clone()), heard("south", 1, south.clone())];
        assert_eq!(role(&north, Some(&south), &there), Role::Follows(Some(address(1))));
        assert_eq!(role(&north, Some(&south), &there[..1]), Role::Follows(None), "it is not reached itself");
        assert_eq!(role(&south, None, &[]), Role::Follows(None));
        assert_eq!(role(&generation(3, "north"), Some(&south), &there), Role::Writes);
        assert_eq!(role(&generation(0, ""), None, &[]), Role::Follows(None), "it has not heard of a writer");
    }

    /// VFS-21: who follows asks for the directory when the writer is away or does not write, and nobody who answers has
    /// more; with a third center only if that answers.
    #[test]
    fn the_follower_that_has_most_claims() {
        let position = |number| Position { generation: generation(1, "north"), number };
        let silent = |center: &str, number| {
            let mut heard = heard(center, 1, generation(1, "north"));
            (heard.state.writes, heard.state.position) = (false, number);
            heard
        };
        let writes = heard("north", 1, generation(1, "north"));
        let two = |heard: &[Heard]| may_claim("south", &position(5), heard, &["north"]);
        assert!(two(&[]));
        assert!(!two(std::slice::from_ref(&writes)));
        assert!(two(&[silent("north", 9)]), "it is there and does not write");
        let three = |heard: &[Heard]| may_claim("south", &position(5), heard, &["north", "west"]);
        assert!(!three(&[]), "west may have more");
        assert!(three(&[silent("west", 5)]), "by its name");
        assert!(three(&[silent("west", 4)]) && !three(&[silent("west", 6)]));
        assert!(!may_claim("west", &position(5), &[silent("south", 5)], &["north", "south"]));
        let never = Position { generation: generation(0, ""), number: 0 };
        assert!(!may_claim("south", &never, &[], &["north"]));
    }

    /// VFS-21: of two that took over by force at one time one gives way, and both agree on which.
    #[test]
    fn two_takeovers_at_one_time_have_one_winner() {
        let (north, south) = (generation(2, "north"), generation(2, "south"));
        let there = [heard("south", 1, south.clone())];
        assert_eq!(role_of("north", &north, Some(&south), &there, true), Role::Follows(Some(address(1))));
        assert_eq!(role_of("south", &south, Some(&north), &[], true), Role::Writes);
    }

    /// VFS-21: a writer whose database was restored from a backup does not go on from there.
    #[test]
    fn a_writer_that_forgot_does_not_write() {
        let told = generation(3, "north");
        let role = role_of("north", &generation(1, "north"), Some(&told), &[], true);
        assert_eq!(role, Role::Follows(None));
    }
}
