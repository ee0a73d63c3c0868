//! A document as a tree in which every part knows its line.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

use crate::schema::Step;

/// A document.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: Spanned<Node>,
    /// Lines of the text before the document.
    before: u64,
    text: Arc<str>,
}

#[derive(Debug, Clone)]
enum Node {
    Leaf(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Tree {
    /// Parses one document that stands behind `before` lines.
    pub(super) fn parse(text: &str, before: u64) -> Result<Self, (u64, String)> {
        match serde_saphyr::from_str(text) {
            Ok(root) => Ok(Self { root, before, text: text.into() }),
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
        items.into_iter().map(|root| Self { root, before: self.before, text: self.text.clone() }).collect()
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
        let inside = Self::parse(text, start.saturating_sub(1 + blank)).ok()?;
        Some(inside.locate(inner))
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
