//! A document as a tree in which every part knows its line.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

use crate::schema::Step;

/// A document.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: Spanned<Node>,
    /// Lines of the file before the document.
    before: u64,
    /// Bytes of the file before the document.
    start: usize,
    /// The document.
    text: Arc<str>,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Tree {
    /// Parses one document that stands behind `before` lines and `start` bytes.
    pub(super) fn parse(text: &str, before: u64, start: usize) -> Result<Self, (u64, String)> {
        match serde_saphyr::from_str(text) {
            Ok(root) => Ok(Self { root, before, start, text: text.into() }),
            Err(error) => {
                let line = error.location().map_or(0, |location| location.line());
                Err((before + line, error.without_snippet().to_string()))
            }
        }
    }

    pub(super) fn value(&self) -> Value {
        self.root.value.to_value()
    }

    /// The line on which the content begins.
    pub(super) fn line(&self) -> u64 {
        self.before + self.root.referenced.line()
    }

    /// The entries of the list `items`, each as a document of its own.
    pub(super) fn into_items(self) -> Vec<Self> {
        let Node::Map(fields) = self.root.value else { return Vec::new() };
        let items = fields.into_iter().find(|(key, _)| key.value == "items");
        let Some((_, Spanned { value: Node::List(items), .. })) = items else { return Vec::new() };
        let item = |root| Self { root, text: self.text.clone(), ..self };
        items.into_iter().map(item).collect()
    }

    /// The line of a field, or of its nearest parent that is there.
    pub(super) fn locate(&self, path: &[Step]) -> u64 {
        let (line, _) = self.walk(path);
        self.before + line
    }

    /// The line of a field inside a text that is itself YAML.
    pub(super) fn locate_inside(&self, outer: &[Step], inner: &[Step]) -> Option<u64> {
        let Spanned { value: Node::Leaf(Value::String(text)), referenced, .. } = self.walk(outer).1? else {
            return None;
        };
        let start = self.before + referenced.line();
        let quoted = referenced
            .span()
            .byte_offset()
            .and_then(|at| self.text.as_bytes().get(usize::try_from(at).ok()?));
        if matches!(quoted, Some(b'"' | b'\'')) {
            // Its lines are not those of the file.
            return Some(start);
        }
        // The line given is that of the first text; blank lines before it belong to the text too.
        let blank = text.bytes().take_while(|byte| *byte == b'\n').count() as u64;
        let inside = Self::parse(text, start.saturating_sub(1 + blank), 0).ok()?;
        Some(inside.locate(inner))
    }

    /// The bytes of the file in which a field stands: its name if `by_name` or if its value spans lines, else its
    /// value, or `part` of that. Of a field that is not there, its nearest parent.
    pub(super) fn span(
        &self,
        path: &[Step],
        by_name: bool,
        part: Option<(usize, usize)>,
    ) -> Option<Range<usize>> {
        let (mut at, mut name) = (&self.root, None);
        for step in path {
            match (step, &at.value) {
                (Step::Key(key), Node::Map(fields)) => {
                    let Some((key, value)) = fields.iter().find(|(name, _)| name.value == *key) else {
                        break;
                    };
                    (at, name) = (value, bytes_of(key));
                }
                (Step::Index(index), Node::List(entries)) => {
                    let Some(entry) = entries.get(*index) else { break };
                    at = entry;
                    name = bytes_of(entry).or(name);
                }
                _ => break,
            }
        }
        let within = |range: Range<usize>| self.start + range.start..self.start + range.end;
        let value = bytes_of(at).filter(|_| matches!(at.value, Node::Leaf(_)) && !by_name);
        // A block of one line ends with a break that is not meant.
        let value = value.map(|range| range.start..range.start + self.text[range.clone()].trim_end().len());
        let one_line = value.filter(|range| !range.is_empty() && !self.text[range.clone()].contains('\n'));
        let Some(whole) = one_line else {
            return name.map(|range| within(self.at_least_a_line(range)));
        };
        if let (Some((first, end)), Node::Leaf(Value::String(text))) = (part, &at.value) {
            // Quotes stand around the text; with escapes in it the places differ, and then all of it is meant.
            let inner = self.text[whole.clone()].find(text.as_str()).map(|quote| whole.start + quote);
            if let Some(inner) = inner.filter(|_| first < end && end <= text.len()) {
                return Some(within(inner + first..inner + end));
            }
        }
        Some(within(whole))
    }

    /// The same of a field inside a text that is itself YAML and stands here as a block of lines.
    pub(super) fn span_inside(
        &self,
        outer: &[Step],
        inner: &[Step],
        by_name: bool,
        part: Option<(usize, usize)>,
    ) -> Option<Range<usize>> {
        let block = self.walk(outer).1?;
        let Node::Leaf(Value::String(text)) = &block.value else { return None };
        let place = Self::parse(text, 0, 0).ok()?.span(inner, by_name, part)?;
        let line_start = text[..place.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        // The line given is that of the first text; blank lines before it belong to the text too.
        let blank = text.bytes().take_while(|byte| *byte == b'\n').count();
        let number = text[..line_start].matches('\n').count().checked_sub(blank)?;
        let first = usize::try_from(block.referenced.line()).ok()?.checked_sub(1)?;
        let written = self.text.lines().nth(first + number)?;
        // It stands in the document with blanks before it.
        let indent = written.trim_end().strip_suffix(line.trim_end())?.len();
        let offset = written.as_ptr() as usize - self.text.as_ptr() as usize;
        let start = self.start + offset + indent + (place.start - line_start);
        Some(start..start + (place.end.min(line_start + line.len()) - place.start))
    }

    /// What begins where an empty range is, up to the end of the line.
    fn at_least_a_line(&self, range: Range<usize>) -> Range<usize> {
        if !range.is_empty() {
            return range;
        }
        let line = self.text[range.start..].lines().next().unwrap_or_default();
        range.start..range.start + line.trim_end().len()
    }

    fn walk(&self, path: &[Step]) -> (u64, Option<&Spanned<Node>>) {
        let (mut at, mut line) = (&self.root, self.root.referenced.line());
        for step in path {
            match (step, &at.value) {
                (Step::Key(key), Node::Map(fields)) => {
                    let Some((key, value)) = fields.iter().find(|(name, _)| name.value == *key) else {
                        return (line, None);
                    };
                    (at, line) = (value, key.referenced.line());
                }
                (Step::Index(index), Node::List(entries)) => {
                    let Some(entry) = entries.get(*index) else { return (line, None) };
                    (at, line) = (entry, entry.referenced.line());
                }
                _ => return (line, None),
            }
        }
        (line, Some(at))
    }
}

/// The bytes of the document in which something stands.
fn bytes_of<T>(it: &Spanned<T>) -> Option<Range<usize>> {
    let span = it.referenced.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    Some(start..start + usize::try_from(span.byte_len()?).ok()?)
}

impl Node {
    fn to_value(&self) -> Value {
        match self {
            Self::Leaf(value) => value.clone(),
            Self::List(entries) => entries.iter().map(|entry| entry.value.to_value()).collect(),
            Self::Map(fields) => Value::Object(
                fields.iter().map(|(key, it)| (key.value.clone(), it.value.to_value())).collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number that JSON does not have"))?;
        Ok(Node::Leaf(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Node::List(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Map(fields))
    }
}
