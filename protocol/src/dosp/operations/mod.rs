//! All operations: an empty type for each, with its code, and its structures.
//!
//! To add one: its structures with their layout, a line `operation!` with a code that was never used, a line in
//! [`ALL`]; then a handler at the daemon and a function at the client (DOSP-9).

mod contents;
mod directory;
mod elsewhere;
mod mirror;
mod objects;
mod references;
mod upkeep;
mod watch;

pub use self::contents::*;
pub use self::directory::*;
pub use self::elsewhere::*;
pub use self::mirror::*;
pub use self::objects::*;
pub use self::references::*;
pub use self::upkeep::*;
pub use self::watch::*;

use super::Operation;

/// `operation!(Name = code "name": In => Out)`: an operation and its structures.
macro_rules! operation {
    ($(#[$doc:meta])* $name:ident = $code:literal $text:literal: $in:ty => $out:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl $crate::dosp::Operation for $name {
            const CODE: u16 = $code;
            const NAME: &'static str = $text;
            type In = $in;
            type Out = $out;
        }
    };
}
use operation;

/// Every operation's code and name, in order of the code.
pub const ALL: &[(u16, &str)] = &[
    entry::<Null>(),
    entry::<Store>(),
    entry::<Retrieve>(),
    entry::<RetrieveRange>(),
    entry::<Delete>(),
    entry::<GetContents>(),
    entry::<Heartbeat>(),
    entry::<GetDiskState>(),
    entry::<GetDiskStatus>(),
    entry::<Keep>(),
    entry::<Hold>(),
    entry::<Locate>(),
    entry::<Digests>(),
    entry::<References>(),
    entry::<Lacking>(),
    entry::<ReleaseOrphan>(),
    entry::<Verify>(),
    entry::<Drain>(),
    entry::<Scan>(),
    entry::<GetNodeStatus>(),
    entry::<Name>(),
    entry::<Replicate>(),
    entry::<Entitled>(),
    entry::<Restored>(),
    entry::<Access>(),
    entry::<CreateFile>(),
    entry::<GiveUp>(),
    entry::<UploadPage>(),
    entry::<CallbackHosts>(),
    entry::<StoreClientFile>(),
    entry::<FindClientFile>(),
    entry::<DeleteClientFile>(),
    entry::<AccessNews>(),
    entry::<DirectoryState>(),
    entry::<PullDirectory>(),
    entry::<CopyDirectory>(),
    entry::<HandOver>(),
    entry::<Forward>(),
    entry::<RenewLease>(),
    entry::<ClaimLease>(),
    entry::<Members>(),
    entry::<Find>(),
];

const fn entry<O: Operation>() -> (u16, &'static str) {
    (O::CODE, O::NAME)
}

/// The name of an operation, for logs and metrics.
pub fn name(code: u16) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dosp::announcement::{Announcement, Deleted, Failed, New, Updated};

    /// DOSP-9: no code and no name is given twice.
    #[test]
    fn codes_and_names_are_unique() {
        let mut codes: Vec<u16> = ALL.iter().map(|(code, _)| *code).collect();
        assert!(codes.is_sorted());
        codes.extend([New::CODE, Deleted::CODE, Updated::CODE, Failed::CODE]);
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        let mut names: Vec<&str> = ALL.iter().map(|(_, name)| *name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        assert_eq!((name(19), name(63)), (Some("digests"), None));
    }
}
