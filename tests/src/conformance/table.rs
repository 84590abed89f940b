//! The table as a page of the documentation, made of the cases themselves.

use std::fmt::Write;

use super::{cases, wire};

/// Where the page lies, from the root of the repository.
pub const PAGE: &str = "docs/conformance.md";

/// What stands above the table.
const PREAMBLE: &str = "# Conformance

What the storage port answers, procedure by procedure. Each line is a test of the same name: `cargo test -p e2e --test
conformance NAME`. The lines of NFS and MOUNT run with two clients by other people, `nfs3_client` and libnfs, against a
storage port with its storage center, and where it makes sense against the file system in memory of the crate `nfs`.

Of every reply in every test is checked besides: attributes come with errors too; those before and after a change are
those of GETATTR around it, for both folders of a RENAME; an error changes nothing; no right is granted that was not
asked for; a listing is no longer than the client takes, and its handles and attributes are those of its entries.
Where there is no object to tell attributes of (STALE, BADHANDLE) there are none.

Where RFC 1813 leaves a choice the answer is that of the Linux kernel's server, or the remark says otherwise.

This page is made by `UPDATE=1 cargo test -p e2e --test conformance the_page`, and a test compares it.
";

/// The whole page.
pub fn page() -> String {
    let mut page = PREAMBLE.to_owned();
    page.push_str(
        "\n## NFS and MOUNT\n\n| procedure | case | answer | test | remark |\n|---|---|---|---|---|\n",
    );
    for case in cases::all() {
        let _ = writeln!(
            page,
            "| {} | {} | {} | `{}` | {} |",
            case.procedure,
            case.condition,
            answer(&case.status.to_string()),
            case.name,
            case.note
        );
    }
    page.push_str("\n## RPC\n\nByte by byte, over TCP.\n\n| case | answer | test |\n|---|---|---|\n");
    for case in wire::CASES {
        let _ = writeln!(page, "| {} | {} | `{}` |", case.condition, case.answer, case.name);
    }
    page
}

/// A status without what all of them begin with.
fn answer(status: &str) -> &str {
    status.trim_start_matches("NFS3ERR_").trim_start_matches("NFS3_")
}
