//! HTML in which nothing of what others wrote becomes markup.

use std::fmt::{self, Display, Write};

use k8s_openapi::jiff::Timestamp;

/// Rows that a table shows at once.
const ROWS: usize = 200;

/// Text of others, between tags or in an attribute's quotes.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                // An event's data has no carriage returns, and nobody means the others.
                control if control.is_control() => self.0.write_char(' ')?,
                other => self.0.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// What a table has in one place.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// A text as it is.
    Text(String),
    /// A moment.
    Time(Timestamp),
    /// What is told of a row in a few words, more prominent if something is wrong.
    Mark(&'static str, bool),
}

impl Cell {
    pub(super) fn text(text: impl Display) -> Self {
        Self::Text(text.to_string())
    }

    /// Nothing is a dash: it is not forgotten.
    pub(super) fn or_dash(text: Option<impl Display>) -> Self {
        text.map_or_else(|| Self::Text("–".to_owned()), Self::text)
    }

    fn contains(&self, words: &str) -> bool {
        match self {
            Self::Text(text) => text.to_lowercase().contains(words),
            Self::Mark(text, _) => text.to_lowercase().contains(words),
            Self::Time(_) => false,
        }
    }
}

impl Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Escaped(text).fmt(f),
            Self::Time(at) => {
                let shown = at.strftime("%Y-%m-%d %H:%M:%S UTC");
                write!(f, "<time datetime=\"{at}\">{shown}</time>")
            }
            Self::Mark(text, false) => write!(f, "<span class=\"mark\">{}</span>", Escaped(text)),
            Self::Mark(text, true) => write!(f, "<strong class=\"mark\">! {}</strong>", Escaped(text)),
        }
    }
}

/// One line of a table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Something is wrong with it, so that it comes first.
    pub(super) wrong: bool,
    pub(super) cells: Vec<Cell>,
}

impl Row {
    pub(super) fn sound(cells: impl Into<Vec<Cell>>) -> Self {
        Self { wrong: false, cells: cells.into() }
    }

    /// Whether any of its cells has these words, in lower case.
    pub(super) fn contains(&self, words: &str) -> bool {
        words.is_empty() || self.cells.iter().any(|cell| cell.contains(words))
    }
}

/// Puts something behind a text.
pub(super) fn add(html: &mut String, more: fmt::Arguments<'_>) {
    // A text takes all that it is given.
    let _ = html.write_fmt(more);
}

/// The rows that have these words, as a table; those that something is wrong with come first. Of very many only the
/// first are shown, with a word about the others.
pub(super) fn table(headings: &[&str], rows: impl Iterator<Item = Row>, words: &str, none: &str) -> String {
    let mut all = 0;
    let counted = rows.inspect(|_| all += 1);
    let mut found: Vec<Row> = counted.filter(|row| row.contains(words)).collect();
    found.sort_by_key(|row| !row.wrong);
    if found.is_empty() {
        let none = if all == 0 { none.to_owned() } else { format!("None of {all} has these words.") };
        return format!("<p class=\"none\">{}</p>", Escaped(none));
    }
    let mut html = "<table><thead><tr>".to_owned();
    for heading in headings {
        add(&mut html, format_args!("<th scope=\"col\">{}</th>", Escaped(heading)));
    }
    html += "</tr></thead><tbody>";
    for row in found.iter().take(ROWS) {
        html += if row.wrong { "<tr class=\"wrong\">" } else { "<tr>" };
        for (heading, cell) in headings.iter().zip(&row.cells) {
            // A narrow screen has no room for a line of headings.
            add(&mut html, format_args!("<td data-label=\"{}\">{cell}</td>", Escaped(heading)));
        }
        html += "</tr>";
    }
    html += "</tbody></table>";
    if found.len() > ROWS {
        let more = found.len() - ROWS;
        add(
            &mut html,
            format_args!("<p class=\"more\">{more} more are not shown: search for those you look for.</p>"),
        );
    } else if found.len() < all {
        add(&mut html, format_args!("<p class=\"more\">{} of {all} have these words.</p>", found.len()));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_becomes_markup() {
        let escaped = Escaped("<img src=x onerror='a(\"b\")'>&\r\n").to_string();
        assert_eq!(escaped, "&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;  ");
    }

    #[test]
    fn what_is_wrong_comes_first_and_what_is_too_much_is_counted() {
        let row =
            |number: usize| Row { wrong: number == 999, cells: vec![Cell::text(format!("row {number}"))] };
        let html = table(&["Row"], (0..1000).map(row), "", "none");
        assert!(html.find("row 999") < html.find("row 0<"), "{html}");
        assert_eq!(html.matches("<tr").count(), 1 + ROWS);
        assert!(html.contains("800 more are not shown"), "{html}");
        let html = table(&["Row"], (0..1000).map(row), "row 77", "none");
        assert!(html.contains("11 of 1000 have these words"), "{html}");
        assert!(table(&["Row"], (0..3).map(row), "x", "none").contains("None of 3 has these words"));
        assert!(table(&["Row"], (0..0).map(row), "x", "Nobody.").contains("Nobody."));
    }
}
