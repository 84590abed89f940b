//! Curves of the last hour as drawings (SVG), with the same in words for who does not see them. Pure.

use super::history::{Point, SPAN};
use super::html::Html;

/// Of the drawing, in its own units; the page gives it its size.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 80.0;

/// Lines of one scale.
pub struct Chart<'a> {
    /// What is drawn.
    pub title: &'static str,
    /// The highest value there can be, if there is one; else the highest there was.
    pub full: Option<f64>,
    /// A value for people.
    pub shown: fn(f64) -> String,
    /// Each with its name. The second is dashed.
    pub lines: &'a [(&'static str, Vec<Point>)],
}

impl Chart<'_> {
    /// The drawing below its title.
    pub fn draw(&self) -> Html {
        let highest =
            self.lines.iter().flat_map(|(_, points)| points).map(|(_, value)| *value).fold(0.0, f64::max);
        let full = self.full.unwrap_or(highest).max(f64::MIN_POSITIVE);
        let told: Vec<String> = self.lines.iter().map(|(name, points)| self.told(name, points)).collect();
        let lines = self.lines.iter().zip(["line first", "line second"]).map(|((_, points), class)| {
            Html::new()
                .raw("<polyline class=\"")
                .text(class)
                .raw("\" points=\"")
                .text(path(points, full))
                .raw("\"/>")
        });
        Html::new()
            .raw("<figure><figcaption><b>")
            .text(self.title)
            .raw("</b> ")
            .text(told.join("; "))
            .raw(
                "</figcaption><svg viewBox=\"0 0 360 80\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
            )
            .then(&Html::all(lines))
            .raw("</svg></figure>")
    }

    fn told(&self, name: &str, points: &[Point]) -> String {
        let name = if name.is_empty() { String::new() } else { format!("{name} ") };
        let highest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        match points.last() {
            Some((_, last)) => format!("{name}{}, at most {}", (self.shown)(*last), (self.shown)(highest)),
            None => format!("{name}nothing yet"),
        }
    }
}

/// Left an hour ago, right now; zero below.
fn path(points: &[Point], full: f64) -> String {
    let place = |(ago, value): &Point| {
        let x = WIDTH * (1.0 - (ago.as_secs_f64() / SPAN.as_secs_f64()).min(1.0));
        let y = (HEIGHT - 2.0) * (1.0 - (value / full).clamp(0.0, 1.0)) + 1.0;
        format!("{x:.1},{y:.1}")
    };
    points.iter().map(place).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_is_within_its_drawing() {
        let ago = Duration::from_secs;
        let points = [(ago(4000), 10.0), (ago(3600), 0.0), (ago(1800), 5.0), (ago(0), 99.0)];
        assert_eq!(path(&points, 10.0), "0.0,1.0 0.0,79.0 180.0,40.0 360.0,1.0");
    }

    #[test]
    fn what_is_drawn_is_told() {
        let lines = [("in", vec![(Duration::ZERO, 3.0)]), ("out", Vec::new())];
        let chart =
            Chart { title: "WAN", full: None, shown: |value| format!("{value:.0} B/s"), lines: &lines };
        let drawn = chart.draw();
        assert!(drawn.as_str().contains("<b>WAN</b> in 3 B/s, at most 3 B/s; out nothing yet<"), "{drawn:?}");
        assert!(drawn.as_str().contains("points=\"360.0,1.0\"") && drawn.as_str().contains("points=\"\""));
    }
}
