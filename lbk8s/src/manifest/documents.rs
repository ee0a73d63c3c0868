//! The documents of a YAML text.

use serde_saphyr::granit_parser::{self as parser, Event, Parser};

/// A document with the lines and the bytes before it, or the line of a mistake and what it is.
pub(super) type Document<'t> = Result<(u64, usize, &'t str), (u64, String)>;

/// Takes a text apart into documents. A syntax error ends its document and no other.
pub(super) fn split(text: &str) -> Vec<Document<'_>> {
    let mut events = Parser::new_from_str_with_options(text, parser::options! { emit_comments: false });
    let mut documents = Vec::new();
    let mut start = None;
    loop {
        match events.next_event() {
            None => return documents,
            Some(Ok((Event::DocumentStart(..), span))) => {
                // The parser knows more line breaks than one: a carriage return alone is one too.
                let before = span.start.line().saturating_sub(1) as u64;
                start = span.start.byte_offset().map(|offset| (before, line_start(text, offset)));
            }
            Some(Ok((Event::DocumentEnd, span))) => {
                let end = span.end.byte_offset().unwrap_or(text.len());
                if let Some((before, start)) = start.take() {
                    documents.push(Ok((before, start, &text[start..end.max(start)])));
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                start = None;
                documents.push(Err((error.marker().line() as u64, error.info().clone())));
                if !matches!(events.proceed_next_document(), Ok(true)) {
                    return documents;
                }
            }
        }
    }
}

/// The start of the line of `offset` if only blanks stand between: the columns of a document count.
fn line_start(text: &str, offset: usize) -> usize {
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let blank = text[start..offset].chars().all(|it| it == ' ' || it == '\u{feff}');
    if blank { start } else { offset }
}
