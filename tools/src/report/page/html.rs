//! Text into HTML and SVG. Every string that did not come from this folder's source goes through
//! [`escaped`]; every figure that `report.json` has too goes through [`figure`].

use std::fmt::Write;

use serde::Serialize;

/// Escapes text for element content and for double-quoted attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are not allowed in HTML, not even as references.
            character if character.is_control() && !matches!(character, '\n' | '\t') => out.push('\u{fffd}'),
            character => out.push(character),
        }
    }
    out
}

/// A figure as people read it, which carries the exact value and its key in `report.json`, so that
/// a test (or a script) can hold the page against the document.
pub(super) fn figure<T: Serialize>(key: &str, value: T, shown: &str) -> String {
    let value = serde_json::to_string(&value).expect("a number becomes JSON");
    format!(r#"<data data-key="{}" value="{}">{}</data>"#, escaped(key), escaped(&value), escaped(shown))
}

/// A coordinate with one decimal, without a trailing `.0`: the page's bulk is coordinates.
pub(super) fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}

/// The commands of a path through these points; empty for fewer than two.
pub(super) fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::new();
    if points.len() < 2 {
        return out;
    }
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(out, "{}{} {}", if i == 0 { "M" } else { "L" }, place(*x), place(*y));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_stays_text() {
        assert_eq!(
            escaped("<b a=\"1\" b='2'>&\u{1}"),
            "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;\u{fffd}"
        );
        assert_eq!(figure("a.b", 1.5, "<1.5>"), r#"<data data-key="a.b" value="1.5">&lt;1.5&gt;</data>"#);
    }

    #[test]
    fn paths_are_short() {
        assert_eq!(path(&[(1.0, 2.0), (3.25, 4.04)]), "M1 2L3.2 4");
        assert_eq!(path(&[(1.0, 2.0)]), "");
    }
}
