//! Rules of folders (PORT-14): how long SRLs of the files below are good, whether these files are cached, how long they
//! wait for their upload. Pure.
//!
//! A rule belongs to a path, not to the folder that is there now: a folder that is moved or renamed falls under the
//! rules of its new place.

use std::collections::HashMap;
use std::time::Duration;

/// What is said of the files below a folder; `None` where nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Seconds for which an SRL is good at least, 0 for ever; else what the export says.
    pub srl_seconds: Option<u64>,
    /// Whether what is read and uploaded is kept on the cache's disks; else it is.
    pub cached: Option<bool>,
    /// How long a file is quiet before it is uploaded; else what `[upload]` says.
    pub quiet: Option<Duration>,
}

impl Rule {
    /// This rule, and where it says nothing, the one `above` it.
    fn or(self, above: Self) -> Self {
        Self {
            srl_seconds: self.srl_seconds.or(above.srl_seconds),
            cached: self.cached.or(above.cached),
            quiet: self.quiet.or(above.quiet),
        }
    }
}

/// The rules of one customer.
#[derive(Clone, Debug, Default)]
pub struct FolderRules {
    top: Node,
    shortest_quiet: Option<Duration>,
    longest_quiet: Option<Duration>,
}

/// A folder that has a rule, or is on the way to one.
#[derive(Clone, Debug, Default)]
struct Node {
    rule: Rule,
    below: HashMap<Vec<u8>, Node>,
}

impl FolderRules {
    /// Rules, each for the folder that these names lead to from the customer's root. Of two for one folder, what the
    /// later one says counts.
    pub fn new(rules: impl IntoIterator<Item = (Vec<Vec<u8>>, Rule)>) -> Self {
        let mut all = Self::default();
        for (names, rule) in rules {
            let node = names.into_iter().fold(&mut all.top, |node, name| node.below.entry(name).or_default());
            node.rule = rule.or(node.rule);
            all.shortest_quiet = [all.shortest_quiet, rule.quiet].into_iter().flatten().min();
            all.longest_quiet = all.longest_quiet.max(rule.quiet);
        }
        all
    }

    /// Whether no folder has a rule: then nobody has to know in which folder a file is.
    pub fn is_empty(&self) -> bool {
        self.top.below.is_empty() && self.top.rule == Rule::default()
    }

    /// What holds for the files right in the folder that these names lead to from the customer's root: for each key,
    /// what the deepest folder on the way says that says something.
    pub fn at<'a>(&self, names: impl IntoIterator<Item = &'a [u8]>) -> Rule {
        let (mut node, mut rule) = (&self.top, self.top.rule);
        for name in names {
            let Some(next) = node.below.get(name) else { break };
            (node, rule) = (next, next.rule.or(rule));
        }
        rule
    }

    /// The shortest time that any rule has files wait for their upload.
    pub fn shortest_quiet(&self) -> Option<Duration> {
        self.shortest_quiet
    }

    /// The longest such time.
    pub fn longest_quiet(&self) -> Option<Duration> {
        self.longest_quiet
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(path: &str) -> Vec<Vec<u8>> {
        path.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect()
    }

    fn at(rules: &FolderRules, path: &str) -> Rule {
        rules.at(names(path).iter().map(Vec::as_slice))
    }

    fn srl(seconds: u64) -> Rule {
        Rule { srl_seconds: Some(seconds), ..Rule::default() }
    }

    const UNCACHED: Rule = Rule { srl_seconds: None, cached: Some(false), quiet: None };

    #[test]
    fn a_rule_holds_below_its_folder_by_whole_names() {
        let rules = FolderRules::new([(names("/films/new"), srl(5))]);
        for (path, seconds) in [
            ("/", None),
            ("/films", None),
            ("/films/new", Some(5)),
            ("/films/new/a/b", Some(5)),
            ("/films/newer", None),
            ("/new", None),
            ("/other/films/new", None),
        ] {
            assert_eq!(at(&rules, path).srl_seconds, seconds, "{path}");
        }
    }

    #[test]
    fn each_key_is_as_the_deepest_folder_says_that_says_it() {
        let quiet = Some(Duration::from_secs(600));
        let rules = FolderRules::new([
            (names("/a/b"), UNCACHED),
            (names("/"), srl(0)),
            (names("/a"), Rule { quiet, cached: Some(true), ..srl(7) }),
        ]);
        assert_eq!(at(&rules, "/"), srl(0));
        assert_eq!(at(&rules, "/a/b/c"), Rule { srl_seconds: Some(7), cached: Some(false), quiet });
        assert_eq!(at(&rules, "/a/c").cached, Some(true));
    }

    #[test]
    fn the_shortest_and_the_longest_wait_are_known() {
        let waits = |rules: &FolderRules| (rules.shortest_quiet(), rules.longest_quiet());
        assert_eq!(waits(&FolderRules::new([(names("/"), srl(0))])), (None, None));
        let of = |seconds| Rule { quiet: Some(Duration::from_secs(seconds)), ..Rule::default() };
        let rules = FolderRules::new([
            (names("/a"), of(9)),
            (names("/a/b"), of(1)),
            (names("/c"), of(600)),
            (names("/d"), srl(0)),
        ]);
        assert_eq!(waits(&rules), (of(1).quiet, of(600).quiet));
    }

    #[test]
    fn without_rules_there_is_nothing_to_look_up() {
        assert!(FolderRules::default().is_empty());
        assert!(!FolderRules::new([(names("/"), srl(0))]).is_empty());
        assert!(!FolderRules::new([(names("/a"), srl(0))]).is_empty());
    }

    proptest! {
        /// Against the plainest reading: of all rules whose folder is on the way, the longest one that has the key.
        #[test]
        fn rules_are_those_of_the_longest_paths(
            paths in proptest::collection::btree_map(
                proptest::collection::vec("[ab]", 0..4),
                (proptest::option::of(0..9_u64), proptest::option::of(any::<bool>())),
                0..6,
            ),
            asked in proptest::collection::vec("[abc]", 0..6),
        ) {
            let bytes = |path: &[String]| path.iter().map(|name| name.clone().into_bytes()).collect::<Vec<_>>();
            let rules = FolderRules::new(paths.iter().map(|(path, &(srl_seconds, cached))| {
                (bytes(path), Rule { srl_seconds, cached, quiet: None })
            }));
            let on_the_way = || paths.iter().filter(|(path, _)| asked.starts_with(path));
            let longest = |has: fn(&(Option<u64>, Option<bool>)) -> bool| {
                on_the_way().filter(|(_, rule)| has(rule)).max_by_key(|(path, _)| path.len()).map(|(_, rule)| *rule)
            };
            let found = rules.at(bytes(&asked).iter().map(Vec::as_slice));
            prop_assert_eq!(found.srl_seconds, longest(|(seconds, _)| seconds.is_some()).and_then(|rule| rule.0));
            prop_assert_eq!(found.cached, longest(|(_, cached)| cached.is_some()).and_then(|rule| rule.1));
        }
    }
}
