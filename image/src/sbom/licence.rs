//! Licences as SPDX expressions.
//!
//! Crates write SPDX, older ones with a slash. Debian's machine-readable copyright files have names and a grammar of
//! their own (DEP-5); names that SPDX does not have become `LicenseRef-Debian-…`, as SPDX has it for such. Copyright
//! files in free text only name the texts below `/usr/share/common-licenses`; these are told as names, for whether
//! "or any later version" goes with them nobody can say without reading.

use std::collections::BTreeSet;

/// What something may be used under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Licence {
    /// An SPDX expression.
    Expression(String),
    /// Names that are not SPDX's, never empty.
    Named(Vec<String>),
}

/// DEP-5's short names that SPDX spells otherwise, in lower case and without "or later".
const SPDX: &[(&str, &str)] = &[
    ("afl-2.1", "AFL-2.1"),
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bzip2-1.0.6", "bzip2-1.0.6"),
    ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    ("cc0", "CC0-1.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("expat", "MIT"),
    ("fsfap", "FSFAP"),
    ("isc", "ISC"),
    ("mit", "MIT"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2.0", "MPL-2.0"),
    ("openssl", "OpenSSL"),
    ("unicode-dfs-2016", "Unicode-DFS-2016"),
    ("unlicense", "Unlicense"),
    ("zlib", "Zlib"),
];

/// GNU's, with and without "or later".
const GNU: &[(&str, &str)] = &[
    ("gpl-1", "GPL-1.0"),
    ("gpl-2", "GPL-2.0"),
    ("gpl-3", "GPL-3.0"),
    ("lgpl-2", "LGPL-2.0"),
    ("lgpl-2.1", "LGPL-2.1"),
    ("lgpl-3", "LGPL-3.0"),
];

impl Licence {
    /// The field `license` of a crate. `None`: it is empty.
    pub fn of_crate(field: &str) -> Option<Self> {
        let field = field.trim();
        (!field.is_empty()).then(|| Self::Expression(field.replace('/', " OR ")))
    }

    /// A Debian package's copyright file. All licences of all its files hold together.
    pub fn of_debian(copyright: &str) -> Self {
        let fields = dep5(copyright);
        let expressions =
            fields.iter().map(|field| expression(field)).filter(|text| !text.is_empty()).collect::<Vec<_>>();
        if !expressions.is_empty() {
            return Self::Expression(all(expressions));
        }
        let named: BTreeSet<String> = copyright
            .split("common-licenses/")
            .skip(1)
            .map(|rest| {
                let end =
                    rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-.+".contains(letter));
                rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', '-']).to_owned()
            })
            .filter(|name| !name.is_empty())
            .collect();
        match named.is_empty() {
            true => Self::Named(vec!["as its copyright file says".to_owned()]),
            false => Self::Named(named.into_iter().collect()),
        }
    }

    /// The field `licenses` of a package of Buildroot: names separated by commas, with remarks in brackets.
    pub fn of_buildroot(field: &str) -> Self {
        let mut names = Vec::new();
        let (mut name, mut depth) = (String::new(), 0_usize);
        for letter in field.chars() {
            match letter {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if letter == ',' && depth == 0 {
                names.push(std::mem::take(&mut name));
            } else {
                name.push(letter);
            }
        }
        names.push(name);
        let names: BTreeSet<String> =
            names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        match names.is_empty() {
            true => Self::Named(vec!["unknown".to_owned()]),
            false => Self::Named(names.into_iter().collect()),
        }
    }
}

/// The values of `License` in the paragraphs that are about files, and in the first one; empty if the file is free
/// text.
fn dep5(copyright: &str) -> BTreeSet<String> {
    let mut lines = copyright.lines();
    let is_dep5 =
        lines.next().is_some_and(|line| line.starts_with("Format:") && line.contains("copyright-format"));
    if !is_dep5 {
        return BTreeSet::new();
    }
    let mut fields = BTreeSet::new();
    // The first paragraph is about the whole.
    let (mut of_files, mut licence) = (true, None);
    for line in lines.chain([""]) {
        if line.trim().is_empty() {
            if let Some(licence) = licence.take().filter(|_| of_files) {
                fields.insert(licence);
            }
            of_files = false;
        } else if line.starts_with("Files:") {
            of_files = true;
        } else if let Some(value) =
            line.strip_prefix("License:").map(str::trim).filter(|value| !value.is_empty())
        {
            licence = Some(value.to_owned());
        }
    }
    fields
}

/// DEP-5's grammar: `and` binds closer than `or`, and either with a comma before it less than both.
fn expression(field: &str) -> String {
    let split = |text: &str, word: &str| -> Vec<String> {
        let mut parts = vec![String::new()];
        for token in text.split_whitespace() {
            let comma = word.starts_with(',');
            let last = parts.len() - 1;
            if token.eq_ignore_ascii_case(word.trim_start_matches(", "))
                && (!comma || parts[last].ends_with(','))
            {
                let ended = parts[last].trim_end_matches(',').to_owned();
                parts[last] = ended;
                parts.push(String::new());
            } else {
                if !parts[last].is_empty() {
                    parts[last].push(' ');
                }
                parts[last].push_str(token);
            }
        }
        parts.retain(|part| !part.is_empty());
        parts
    };
    let either = |parts: Vec<String>| join(parts, " OR ");
    either(
        split(field, ", or")
            .iter()
            .map(|part| {
                all(split(part, ", and")
                    .iter()
                    .map(|part| {
                        either(
                            split(part, "or")
                                .iter()
                                .map(|part| {
                                    all(split(part, "and").iter().map(|name| short_name(name)).collect())
                                })
                                .collect(),
                        )
                    })
                    .collect())
            })
            .collect(),
    )
}

/// One of DEP-5's short names, perhaps `with` an exception.
fn short_name(name: &str) -> String {
    let name = name.trim_end_matches(',');
    let lower = name.to_ascii_lowercase();
    if let Some((_, spdx)) = SPDX.iter().find(|(short, _)| *short == lower) {
        return (*spdx).to_owned();
    }
    if lower == "apache-2.0 with llvm exception" {
        return "Apache-2.0 WITH LLVM-exception".to_owned();
    }
    let (version, later) = match lower.strip_suffix('+') {
        Some(version) => (version, "-or-later"),
        None => (lower.as_str(), "-only"),
    };
    let version = version.strip_suffix(".0").unwrap_or(version);
    if let Some((_, spdx)) = GNU.iter().find(|(short, _)| *short == version) {
        return format!("{spdx}{later}");
    }
    let mut words: Vec<String> = name.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        if let Some(version) = word.strip_suffix('+') {
            *word = format!("{version}-or-later");
        }
    }
    let reference: String = words
        .join("-")
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect();
    format!("LicenseRef-Debian-{}", reference.trim_matches('-'))
}

/// All of them hold. What says so itself needs no brackets.
fn all(parts: Vec<String>) -> String {
    let flat = parts.iter().flat_map(|part| {
        let only_and = !part.contains(" OR ");
        part.split(if only_and { " AND " } else { "\n" }).map(str::to_owned)
    });
    join(flat.collect(), " AND ")
}

/// Each once, in brackets where it is more than one licence.
fn join(parts: Vec<String>, operator: &str) -> String {
    let mut seen = BTreeSet::new();
    let parts: Vec<String> = parts.into_iter().filter(|part| seen.insert(part.clone())).collect();
    if let [part] = &parts[..] {
        return part.clone();
    }
    let parts: Vec<String> = parts
        .iter()
        .map(|part| match part.contains(" AND ") || part.contains(" OR ") {
            true => format!("({part})"),
            false => part.clone(),
        })
        .collect();
    parts.join(operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_crates_mean_or_by_a_slash() {
        assert_eq!(
            Licence::of_crate("MIT/Apache-2.0"),
            Some(Licence::Expression("MIT OR Apache-2.0".to_owned()))
        );
        assert_eq!(Licence::of_crate("  "), None);
    }

    #[test]
    fn the_grammar_of_debian_becomes_that_of_spdx() {
        for (field, spdx) in [
            ("GPL-2", "GPL-2.0-only"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("Expat", "MIT"),
            ("GPL-2 or BSD-2-clause", "GPL-2.0-only OR BSD-2-Clause"),
            ("ISC or Expat and Zlib", "ISC OR (MIT AND Zlib)"),
            ("GPL-2+ or AFL-2.1, and Expat", "(GPL-2.0-or-later OR AFL-2.1) AND MIT"),
            ("Apache-2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"),
            ("GPL-2+ with Autoconf exception", "LicenseRef-Debian-GPL-2-or-later-with-Autoconf-exception"),
            ("Expat, and ISC and Expat", "MIT AND ISC"),
            ("ISC+IBM", "LicenseRef-Debian-ISC-IBM"),
            ("public-domain", "LicenseRef-Debian-public-domain"),
        ] {
            assert_eq!(expression(field), spdx, "{field}");
        }
    }

    #[test]
    fn all_files_count_and_texts_of_licences_do_not() {
        let copyright = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nSource: here\n\n\
            Files: *\nCopyright: 2020 A\nLicense: GPL-2\n\nFiles: b\nLicense: ISC\n Text of it.\n .\n More.\n\n\
            Files: c\nLicense: GPL-2\n\nLicense: MPL-2.0\n Text.\n";
        assert_eq!(Licence::of_debian(copyright), Licence::Expression("GPL-2.0-only AND ISC".to_owned()));
    }

    #[test]
    fn free_text_names_the_texts_it_points_to() {
        let copyright = "It is free: /usr/share/common-licenses/LGPL-2.1, and `/usr/share/common-licenses/GPL-2'.\n\
            See /usr/share/common-licenses/GPL-2.\n";
        assert_eq!(
            Licence::of_debian(copyright),
            Licence::Named(vec!["GPL-2".to_owned(), "LGPL-2.1".to_owned()])
        );
        assert_eq!(
            Licence::of_debian("Do as you like."),
            Licence::Named(vec!["as its copyright file says".to_owned()])
        );
    }

    #[test]
    fn remarks_in_brackets_stay_with_their_licence() {
        assert_eq!(
            Licence::of_buildroot("GPL-2.0 (programs, and tests), LGPL-2.1+"),
            Licence::Named(vec!["GPL-2.0 (programs, and tests)".to_owned(), "LGPL-2.1+".to_owned()])
        );
        assert_eq!(Licence::of_buildroot(""), Licence::Named(vec!["unknown".to_owned()]));
    }

    proptest::proptest! {
        #[test]
        fn any_copyright_file_gives_a_licence(copyright in "\\PC*", field in "[A-Za-z0-9+., ]{0,60}") {
            let whole = format!("Format: copyright-format\n\nFiles: *\nLicense: {field}\n");
            for licence in [Licence::of_debian(&copyright), Licence::of_debian(&whole)] {
                match licence {
                    Licence::Expression(text) => proptest::prop_assert!(!text.trim().is_empty()),
                    Licence::Named(names) => proptest::prop_assert!(!names.is_empty()),
                }
            }
        }
    }
}
