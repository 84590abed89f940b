//! The lines of the table, procedure by procedure.

mod attributes;
mod create;
mod data;
mod handles;
mod list;
mod lookup;
mod read_only;
mod remove;
mod rename;
mod system;

use super::Case;
use super::call::Handle;
use super::scene::Scene;

/// All lines, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let parts: [&[Case]; 10] = [
        attributes::CASES,
        lookup::CASES,
        data::CASES,
        create::CASES,
        remove::CASES,
        rename::CASES,
        list::CASES,
        system::CASES,
        handles::CASES,
        read_only::CASES,
    ];
    parts.into_iter().flatten()
}

/// The root of the customer with the small quota, and a name in it for this case.
fn quota_folder(s: &mut Scene<'_>) -> (Handle, String) {
    (s.mount("/quota"), s.name.clone())
}
