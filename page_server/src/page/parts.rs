//! What pages have several of: facts, tables, events, and whether all is well. Pure.

use std::fmt::Display;

use super::event_log::Entry;
use super::health::{Degree, Health};
use super::html::Html;
use super::words::when;

/// Most lines of a table; beyond them it is said where the others are.
pub const ROWS_MAX: usize = 200;

/// What it is in words, whether it is well, and what is not. Is read aloud when it changes, so nothing is in it that
/// always does.
pub fn overview(role: &str, Health { degree, reasons }: &Health) -> Html {
    let (class, mark, word) = match degree {
        Degree::Well => ("well", "✓", "Well"),
        Degree::Attention => ("attention", "!", "Needs attention"),
        Degree::Trouble => ("trouble", "✗", "In trouble"),
    };
    let reasons = reasons.iter().map(|reason| Html::new().raw("<li>").text(&reason.text).raw("</li>"));
    Html::new()
        .raw("<p id=\"role\">")
        .text(role)
        .raw("</p><p class=\"")
        .text(class)
        .raw("\"><span aria-hidden=\"true\">")
        .text(mark)
        .raw("</span> ")
        .text(word)
        .raw("</p><ul>")
        .then(&Html::all(reasons))
        .raw("</ul>")
}

/// The last events; `own` is what their sources need not say.
pub fn events(events: &[Entry], own: &str) -> Html {
    let rows = events.iter().map(|Entry { at, level, source, text, times }| {
        let again =
            if *times > 1 { format!(" (said {times} times, the last time then)") } else { String::new() };
        let source = source.strip_prefix(own).unwrap_or(source);
        row(&[&when(*at), level, &source, &format_args!("{text}{again}")])
    });
    table("Events", &["Time", "Level", "Source", "What"], rows, "the daemon's log")
}

/// Facts, one below the other.
pub fn list(facts: &Html) -> Html {
    Html::new().raw("<dl>").then(facts).raw("</dl>")
}

/// A name and what is to be said of it.
pub fn fact(name: impl Display, value: impl Display) -> Html {
    Html::new().raw("<div><dt>").text(name).raw("</dt><dd>").text(value).raw("</dd></div>")
}

/// A line of a table.
pub fn row(cells: &[&dyn Display]) -> Html {
    let cells = cells.iter().map(|cell| Html::new().raw("<td>").text(cell).raw("</td>"));
    Html::new().raw("<tr>").then(&Html::all(cells)).raw("</tr>")
}

/// With as many rows as a page bears; `more` has them all.
pub fn table(
    name: &str,
    columns: &[&'static str],
    rows: impl ExactSizeIterator<Item = Html>,
    more: &str,
) -> Html {
    let count = rows.len();
    if count == 0 {
        return Html::new().raw("<p>None.</p>");
    }
    let head = columns.iter().map(|column| Html::new().raw("<th scope=\"col\">").raw(column).raw("</th>"));
    // What is wider than a phone is moved by itself, also with keys.
    let table = Html::new()
        .raw("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"")
        .text(name)
        .raw("\"><table><thead><tr>")
        .then(&Html::all(head))
        .raw("</tr></thead><tbody>")
        .then(&Html::all(rows.take(ROWS_MAX)))
        .raw("</tbody></table></div>");
    match count.saturating_sub(ROWS_MAX) {
        0 => table,
        left => table.raw("<p>And ").text(left).raw(" more: see ").text(more).raw(".</p>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_bound_and_says_so() {
        let rows = |count: usize| (0..count).map(|_| row(&[&1])).collect::<Vec<_>>();
        let table = |count| table("T", &["A"], rows(count).into_iter(), "elsewhere");
        assert_eq!(table(0).as_str(), "<p>None.</p>");
        assert!(!table(ROWS_MAX).as_str().contains("more"));
        let more = table(ROWS_MAX + 2);
        assert_eq!(more.as_str().matches("<td>").count(), ROWS_MAX);
        assert!(more.as_str().ends_with("<p>And 2 more: see elsewhere.</p>"));
    }
}
