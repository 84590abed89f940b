//! The wildcards of a search (MS-FSA 2.1.4.4). Pure.
//!
//! | sign | matches |
//! |---|---|
//! | `*` | any characters |
//! | `?` | one character |
//! | `<` | any characters, but not past the last dot of the name |
//! | `>` | one character that is no dot; nothing before a dot or at the end |
//! | `"` | a dot, or nothing at the end |

/// A search, case aside.
#[derive(Debug)]
pub(crate) struct Pattern(Vec<char>);

impl Pattern {
    /// One that is at most as long as a name.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.chars().flat_map(char::to_lowercase).collect())
    }

    /// Whether it can match more than one name, case aside.
    pub fn is_wild(&self) -> bool {
        self.0.iter().any(|sign| matches!(sign, '*' | '?' | '<' | '>' | '"'))
    }

    /// Whether `name` is found by it. Takes time by the product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
        let last_dot = name.iter().rposition(|&letter| letter == '.');
        // Which parts of the pattern the letters so far may have used up.
        let mut reached = vec![false; self.0.len() + 1];
        reached[0] = true;
        self.skip(&mut reached, name.first().copied());
        for (at, &letter) in name.iter().enumerate() {
            let mut next = vec![false; reached.len()];
            for (place, &sign) in self.0.iter().enumerate().filter(|(place, _)| reached[*place]) {
                match sign {
                    '*' => next[place] = true,
                    '<' => next[place] |= Some(at) != last_dot,
                    '?' => next[place + 1] = true,
                    '>' => next[place + 1] |= letter != '.',
                    '"' => next[place + 1] |= letter == '.',
                    _ => next[place + 1] |= sign == letter,
                }
            }
            self.skip(&mut next, name.get(at + 1).copied());
            reached = next;
        }
        reached[self.0.len()]
    }

    /// Goes past what matches nothing where `next` is the next letter.
    fn skip(&self, reached: &mut [bool], next: Option<char>) {
        for (place, sign) in self.0.iter().enumerate() {
            let may_be_nothing = match sign {
                '*' | '<' => true,
                '>' => matches!(next, None | Some('.')),
                '"' => next.is_none(),
                _ => false,
            };
            if reached[place] && may_be_nothing {
                reached[place + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wildcards_match_as_documented() {
        let table = [
            ("*", "", true),
            ("*", "a.b", true),
            ("a?c", "aBc", true),
            ("a?c", "ac", false),
            ("*.txt", "A.TXT", true),
            ("*.txt", "a.txt.bak", false),
            ("<.txt", "a.b.txt", true),
            ("<", "a.b", false),
            ("a>>", "ab", true),
            ("a>", "a.", false),
            ("a\"", "a", true),
            ("a\"b", "a.b", true),
            ("a\"b", "axb", false),
            ("Straße", "STRASSE", false),
            ("", "", true),
            ("", "a", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    /// The same by trying every way.
    fn naive(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|used| naive(rest, &name[used..])),
            Some(('?', rest)) => !name.is_empty() && naive(rest, &name[1..]),
            Some((sign, rest)) => name.first() == Some(sign) && naive(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn every_way_is_tried(pattern in "[ab.*?]{0,8}", name in "[ab.]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new(&pattern).matches(&name), naive(&chars(&pattern), &chars(&name)));
        }

        #[test]
        fn a_name_finds_itself(name in "\\PC{0,40}") {
            let pattern = Pattern::new(&name);
            prop_assume!(!pattern.is_wild());
            prop_assert!(pattern.matches(&name));
        }
    }
}
