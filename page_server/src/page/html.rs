//! Markup, made so that no value becomes markup: what is not written in this program is escaped. Pure.

use std::fmt::{self, Display, Write};

/// Well-formed markup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is written in this program.
    pub fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Any value, as text: fit for what stands between tags and within quoted attributes.
    pub fn text(mut self, value: impl Display) -> Self {
        // A String takes whatever is written.
        let _ = write!(Escaped(&mut self.0), "{value}");
        self
    }

    /// More markup.
    pub fn then(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// All of them, one after the other.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::new(), |all, part| all.then(&part))
    }

    /// The markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Writes text so that it is no markup (HTML Standard, "Writing HTML documents").
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // A browser may show them as anything, or turn the text around.
                control if control.is_control() || is_direction(control) => self.0.push('\u{fffd}'),
                letter => self.0.push(letter),
            }
        }
        Ok(())
    }
}

/// Marks that change the direction of what follows, so that a name looks like another (Unicode's UAX 9).
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_is_text_whatever_it_is() {
        let hostile = "<script>alert('1')</script>\" onload=\"x & \u{202e}y\n\0";
        let html = Html::new().raw("<td title=\"").text(hostile).raw("\">").text(7).raw("</td>");
        assert_eq!(
            html.as_str(),
            "<td title=\"&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot; onload=&quot;x &amp; \
             \u{fffd}y\u{fffd}\u{fffd}\">7</td>"
        );
    }

    proptest! {
        #[test]
        fn nothing_of_a_value_opens_or_closes_anything(value in any::<String>()) {
            let html = Html::new().text(&value);
            prop_assert!(!html.as_str().contains(['<', '>', '"', '\'']));
            let rest = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
            let rest = rest.iter().fold(html.as_str().to_owned(), |text, entity| text.replace(entity, ""));
            prop_assert!(!rest.contains('&'));
        }
    }
}
