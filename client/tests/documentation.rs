//! The library's documentation: that its examples compile, doc tests show; that there is one for each call, this.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::Path;

/// LIB-2: every call that others can make has an example, and every one that can fail tells how.
#[test]
fn every_public_call_has_an_example_and_its_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut calls = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            if !(line.starts_with("pub fn ") || line.starts_with("pub async fn ")) {
                continue;
            }
            let page: Vec<&str> =
                lines[..at].iter().rev().take_while(|line| line.starts_with("///")).copied().collect();
            let has = |text: &str| page.iter().any(|line| line.contains(text));
            assert!(has("```"), "{}: no example: {line}", path.display());
            // As rustfmt sets it, the result stands in the line that ends the head.
            let result = lines[at..].iter().find(|line| line.ends_with('{')).unwrap();
            if result.contains("-> Result<") {
                assert!(has("# Errors"), "{}: tells no errors: {line}", path.display());
            }
            calls += 1;
        }
    }
    assert!(calls > 25, "only {calls} calls were found");
}
