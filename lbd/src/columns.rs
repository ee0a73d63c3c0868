//! Columns of text, and text that fits a terminal.

use std::borrow::Cow;
use std::io::IsTerminal;

/// A column that is cut is not made narrower than this.
const NARROWEST: usize = 8;

/// Lines with the columns under each other; trailing blanks are left out.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let every: Vec<usize> = (0..N).collect();
    let widths: Vec<usize> = every.iter().map(|&column| widest(rows, column)).collect();
    rows.iter().map(|row| line(row, &every, &widths)).collect()
}

/// The same within a width, if there is one. What does not fit is left out, in this order of columns; what then is still
/// too wide is cut.
pub(crate) fn fitted<const N: usize>(
    rows: &[[String; N]],
    width: Option<usize>,
    leave_out: &[usize],
) -> Vec<String> {
    let Some(width) = width else { return columns(rows) };
    let mut shown: Vec<usize> = (0..N).collect();
    let mut widths: Vec<usize> = shown.iter().map(|&column| widest(rows, column)).collect();
    let whole = |widths: &[usize]| widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    for unwanted in leave_out {
        if whole(&widths) <= width {
            break;
        }
        if let Some(at) = shown.iter().position(|column| column == unwanted) {
            shown.remove(at);
            widths.remove(at);
        }
    }
    while whole(&widths) > width {
        let Some(broadest) = widths.iter_mut().max().filter(|it| **it > NARROWEST) else { break };
        *broadest -= 1;
    }
    rows.iter().map(|row| line(row, &shown, &widths)).collect()
}

fn widest<const N: usize>(rows: &[[String; N]], column: usize) -> usize {
    rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
}

fn line<const N: usize>(row: &[String; N], shown: &[usize], widths: &[usize]) -> String {
    let mut line = String::new();
    for (&column, &width) in shown.iter().zip(widths) {
        let cell = harmless(&row[column]);
        let count = cell.chars().count();
        if count > width {
            line.extend(cell.chars().take(width.saturating_sub(1)).chain(['…']));
        } else {
            line += &cell;
            line.extend(std::iter::repeat_n(' ', width - count));
        }
        line += "  ";
    }
    line.truncate(line.trim_end().len());
    line
}

/// A text in lines of this width, if there is one, each but the first after `indent` blanks.
pub(crate) fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    let text = harmless(text);
    let Some(width) = width else { return text.into_owned() };
    let mut wrapped = String::new();
    let mut used = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > indent && used + 1 + length > width {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else if used > indent {
            wrapped.push(' ');
            used += 1;
        }
        wrapped += word;
        used += length;
    }
    wrapped
}

/// What others wrote steers no terminal, and turns no line round.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let steers =
        |it: char| it.is_control() || matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(steers) { text.replace(steers, "\u{fffd}").into() } else { text.into() }
}

/// How wide standard output is, if it is a terminal.
pub(crate) fn terminal_width() -> Option<usize> {
    let is_terminal = std::io::stdout().is_terminal();
    let (width, _) = is_terminal.then(|| ratatui::crossterm::terminal::size().ok()).flatten()?;
    // A terminal that does not know says 0.
    (width > 0).then_some(width.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<[String; 3]> {
        [["SERVICE", "ADDRESS", "WHY"], ["default/a-long-name-of-a-service", "192.0.2.1", "the lowest"]]
            .map(|row| row.map(str::to_owned))
            .to_vec()
    }

    #[test]
    fn what_fits_is_shown_whole() {
        assert_eq!(fitted(&rows(), Some(80), &[2]), columns(&rows()));
        assert_eq!(fitted(&rows(), None, &[2]), columns(&rows()));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_then_cut() {
        assert_eq!(fitted(&rows(), Some(44), &[2])[1], "default/a-long-name-of-a-service  192.0.2.1");
        let narrow = fitted(&rows(), Some(30), &[2]);
        assert_eq!(narrow[1], "default/a-long-nam…  192.0.2.1");
        assert_eq!(narrow[0], "SERVICE              ADDRESS");
        let least = fitted(&rows(), Some(1), &[2]);
        assert_eq!(least[1], "default…  192.0.2…");
    }

    #[test]
    fn nothing_of_others_steers_the_terminal() {
        let row = ["a\x1b[2Jb".to_owned(), "c\rd".to_owned()];
        for width in [None, Some(80)] {
            assert_eq!(fitted(std::slice::from_ref(&row), width, &[]), ["a\u{fffd}[2Jb  c\u{fffd}d"]);
            assert_eq!(wrapped("a\nb\x07", width, 0), "a\u{fffd}b\u{fffd}");
        }
    }

    #[test]
    fn a_cell_has_no_end() {
        let rows = [["a".repeat(70_000), "b".to_owned()], ["c".to_owned(), "d".to_owned()]];
        assert_eq!(columns(&rows)[1].len(), 70_003);
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", Some(9), 2), "one two\n  three");
        assert_eq!(wrapped("one two three", None, 2), "one two three");
        assert_eq!(wrapped("averylongword b", Some(4), 2), "averylongword\n  b");
    }
}
