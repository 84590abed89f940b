//! Whether something is well, and what is not, in words. Pure.

use serde::Serialize;

/// How something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The worst of the reasons; [`Degree::Well`] without any.
    pub degree: Degree,
    /// What is not as it should be, the worst first.
    pub reasons: Vec<Reason>,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Degree {
    /// Not at all.
    Well,
    /// Work is done; somebody should look at it.
    Attention,
    /// Work waits, or data is in danger.
    Trouble,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// How bad.
    pub degree: Degree,
    /// In words.
    pub text: String,
}

impl Health {
    /// What these reasons make of it.
    pub fn of(mut reasons: Vec<Reason>) -> Self {
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.degree));
        let degree = reasons.first().map_or(Degree::Well, |worst| worst.degree);
        Self { degree, reasons }
    }
}

impl Reason {
    /// Somebody should look at it.
    pub fn attention(text: impl Into<String>) -> Self {
        Self { degree: Degree::Attention, text: text.into() }
    }

    /// It is bad.
    pub fn trouble(text: impl Into<String>) -> Self {
        Self { degree: Degree::Trouble, text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_first_and_what_is_equal_stays_in_order() {
        let reasons =
            [Reason::attention("a"), Reason::trouble("b"), Reason::attention("c"), Reason::trouble("d")];
        let health = Health::of(reasons.to_vec());
        let told: Vec<_> = health.reasons.iter().map(|reason| reason.text.as_str()).collect();
        assert_eq!((health.degree, told), (Degree::Trouble, vec!["b", "d", "a", "c"]));
        assert_eq!(Health::of(Vec::new()).degree, Degree::Well);
    }
}
