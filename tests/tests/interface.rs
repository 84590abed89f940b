//! docs/interface.md and the schema of the XML documents: both say what our codecs do (LIB-1, VFS-3, VFS-19).

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::vfs::VfsErrorCode;
use protocol::vfs::xml::{
    decode_error, decode_replies, decode_requests, decode_stored, encode_error, encode_replies,
    encode_requests, encode_stored,
};

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn page() -> String {
    fs::read_to_string(root().join("docs/interface.md")).unwrap()
}

/// The documents that the page shows.
fn shown() -> Vec<String> {
    let page = page();
    let blocks = page.split("```xml\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// As our codecs write it: nothing between elements, one space before an attribute.
fn in_one_line(document: &str) -> String {
    document.lines().fold(String::new(), |whole, line| {
        let space = if whole.is_empty() || whole.ends_with('>') { "" } else { " " };
        whole + space + line.trim_start()
    })
}

/// What is read is written again; `None` if it cannot be read.
fn read_and_written(document: &str) -> Option<Vec<u8>> {
    let bytes = document.as_bytes();
    let start = document.strip_prefix(DECLARATION).unwrap_or(document);
    match start.split([' ', '>', '/']).next().unwrap() {
        "<requests" => decode_requests(bytes)
            .ok()
            .map(|document| encode_requests(&document.requests, document.stamp.as_ref())),
        "<replies" => decode_replies(bytes).ok().map(|replies| encode_replies(&replies)),
        "<stored" => decode_stored(bytes).ok().map(|stored| encode_stored(&stored)),
        "<error" => {
            decode_error(bytes).ok().map(|error| encode_error(&error.code, error.generation, &error.message))
        }
        other => panic!("a document of what kind? {other}"),
    }
}

/// Whether the schema allows each of these documents.
fn allowed(documents: &[String]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> =
        (0..documents.len()).map(|number| folder.path().join(format!("{number}.xml"))).collect();
    for (file, document) in files.iter().zip(documents) {
        fs::write(file, document).unwrap();
    }
    let schema = root().join("protocol/schema/vfs.xsd");
    let checked = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema"])
        .arg(schema)
        .args(&files)
        .output()
        .expect("xmllint: ./test installs what the tests need");
    let told = String::from_utf8(checked.stderr).unwrap();
    assert!(!told.contains("Schemas parser error"), "{told}");
    let lines: HashSet<&str> = told.lines().collect();
    files.iter().map(|file| lines.contains(format!("{} validates", file.display()).as_str())).collect()
}

/// LIB-1: each document of the page is one that our codecs read and write just so, and that the schema allows.
#[test]
fn the_documents_of_the_page_are_real() {
    let shown = shown();
    for document in &shown {
        let written = read_and_written(document).unwrap_or_else(|| panic!("cannot be read: {document}"));
        assert_eq!(String::from_utf8(written).unwrap(), format!("{DECLARATION}{}\n", in_one_line(document)));
    }
    assert!(allowed(&shown).into_iter().all(|allowed| allowed));
}

/// LIB-1: the page leaves out no operation, no answer and no code.
#[test]
fn the_page_is_complete() {
    let (page, shown) = (page(), shown().concat());
    let schema = fs::read_to_string(root().join("protocol/schema/vfs.xsd")).unwrap();
    let elements: Vec<&str> =
        schema.split("<xs:element name=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(elements.len() > 25, "{elements:?}");
    for element in elements {
        assert!(
            [' ', '>', '/'].iter().any(|end| shown.contains(&format!("<{element}{end}"))),
            "no example of <{element}>"
        );
    }
    for code in VfsErrorCode::ALL {
        assert!(page.contains(&format!("`{}`", code.as_str())), "{code:?}");
        assert!(schema.contains(&format!("value=\"{}\"", code.as_str())), "{code:?}");
    }
}

/// LIB-1: what our codecs write, the schema allows; and what one of the two refuses, the other refuses as well.
#[test]
fn schema_and_codecs_agree() {
    let mut good = shown();
    for target in ["vfs_requests", "vfs_replies"] {
        for entry in fs::read_dir(root().join("fuzz/corpus").join(target)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_str().unwrap().starts_with("seed-") {
                good.push(fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    assert!(good.len() > 20);
    let verdicts = allowed(&good);
    for (document, allowed) in good.iter().zip(&verdicts) {
        assert!(*allowed && read_and_written(document).is_some(), "{document}");
    }

    // Each document without one of its attributes, with one too many, and with odd values.
    let mut changed = Vec::new();
    for document in &good {
        let text = document.strip_prefix(DECLARATION).unwrap_or(document);
        changed.push(text.replacen("/>", " colour=\"red\"/>", 1));
        changed.push(text.replacen("/>", "><colour/></open-root>", 1));
        // In an error's text quotation marks stand as themselves.
        let tags = &text[..text.find("<error").unwrap_or(text.len())];
        let mut seen = 0;
        while let Some(value) = tags[seen..].find("=\"").map(|at| seen + at + 2) {
            let start = text[..value].rfind(' ').unwrap();
            let end = value + text[value..].find('"').unwrap();
            // That `id` or else both `parent` and `name` are there, no schema of this kind can say.
            if !["id", "parent", "name"].contains(&&text[start + 1..value - 2]) {
                changed.push(format!("{}{}", &text[..start], &text[end + 1..]));
            }
            for odd in ["", "-1", "1.5", "true", "1", "x", "5000000000", "99999999999999999999"] {
                changed.push(format!("{}{odd}{}", &text[..value], &text[end..]));
            }
            seen = end + 1;
        }
    }
    let verdicts = allowed(&changed);
    let mut refused = 0;
    for (document, allowed) in changed.iter().zip(&verdicts) {
        let is_read = read_and_written(document).is_some();
        assert_eq!(is_read, *allowed, "{document}");
        refused += usize::from(!is_read);
    }
    assert!(refused > 1_000, "only {refused} of {} were refused", changed.len());
}
