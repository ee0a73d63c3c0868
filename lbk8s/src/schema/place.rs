//! A decoder of JSON values that records the path of unknown fields and of the first error.
//!
//! It is a single layer over [`Value`]. Stacked adapters (`serde_ignored` around `serde_path_to_error`) would be compiled for each
//! field of each kind.

use std::cell::RefCell;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value, map};

use super::{FieldPath, Step};

/// Findings of one decoding.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Fields that the type does not have, in the order of the object.
    pub(super) unknown: Vec<FieldPath>,
    /// The innermost field at which decoding failed.
    pub(super) failed: Option<FieldPath>,
}

/// The path to a place, as a list that leads from the place to the top of the object.
#[derive(Debug, Clone, Copy)]
enum Way<'a> {
    Top,
    Key(&'a Way<'a>, &'a str),
    Index(&'a Way<'a>, usize),
}

impl Way<'_> {
    fn steps(&self) -> Vec<Step> {
        let (mut steps, step) = match self {
            Self::Top => return Vec::new(),
            Self::Key(parent, key) => (parent.steps(), Step::Key((*key).to_owned())),
            Self::Index(parent, index) => (parent.steps(), Step::Index(*index)),
        };
        steps.push(step);
        steps
    }
}

/// A value of an object, with its path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'de, 'a> {
    value: &'de Value,
    way: Way<'a>,
    seen: &'a RefCell<Seen>,
}

impl<'de, 'a> Place<'de, 'a> {
    /// The object itself.
    pub(super) fn top(object: &'de Value, seen: &'a RefCell<Seen>) -> Self {
        Self { value: object, way: Way::Top, seen }
    }

    /// Decodes the value. Records the first failure: the innermost place fails before those around it.
    fn decode<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        let decoded = seed.deserialize(self);
        if decoded.is_err() {
            self.note_failure();
        }
        decoded
    }

    fn note_failure(self) {
        self.seen.borrow_mut().failed.get_or_insert_with(|| self.way.steps().into());
    }

    fn mismatch(self, expected: &dyn serde::de::Expected) -> Error {
        let found = match self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(bool) => Unexpected::Bool(*bool),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => Unexpected::Unsigned(number),
                (None, Some(number)) => Unexpected::Signed(number),
                (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        Error::invalid_type(found, expected)
    }
}

/// Decodes a scalar. The visitor itself refuses scalars of another type.
macro_rules! scalars {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.value {
                Value::Array(_) | Value::Object(_) => Err(self.mismatch(&visitor)),
                scalar => scalar.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Place<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
            scalar => scalar.deserialize_any(visitor),
        }
    }

    scalars! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_unit deserialize_identifier
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Array(values) = self.value else { return Err(self.mismatch(&visitor)) };
        let mut entries = Entries { of: self, left: values.iter(), index: 0 };
        let decoded = visitor.visit_seq(&mut entries)?;
        if entries.left.len() > 0 {
            return Err(Error::invalid_length(values.len(), &"fewer elements in array"));
        }
        Ok(decoded)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Object(fields) = self.value else { return Err(self.mismatch(&visitor)) };
        visitor.visit_map(Fields { of: self, left: fields.iter(), current: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // Enumerations in Kubernetes objects are strings: they have no fields to record.
        self.value.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.seen.borrow_mut().unknown.push(self.way.steps().into());
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bytes byte_buf unit_struct tuple tuple_struct }
}

/// The entries of a list that are still to come.
struct Entries<'de, 'a> {
    of: Place<'de, 'a>,
    left: std::slice::Iter<'de, Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(value) = self.left.next() else { return Ok(None) };
        let way = Way::Index(&self.of.way, self.index);
        self.index += 1;
        Place { value, way, seen: self.of.seen }.decode(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

/// The fields of an object that are still to come.
struct Fields<'de, 'a> {
    of: Place<'de, 'a>,
    left: map::Iter<'de>,
    /// The one whose name was read last.
    current: Option<(&'de str, &'de Value)>,
}

impl<'de> Fields<'de, '_> {
    fn place(&self) -> Result<Place<'de, '_>, Error> {
        let (key, value) = self.current.ok_or_else(|| Error::custom("value is missing"))?;
        Ok(Place { value, way: Way::Key(&self.of.way, key), seen: self.of.seen })
    }
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((key, value)) = self.left.next() else { return Ok(None) };
        self.current = Some((key, value));
        let decoded = seed.deserialize(BorrowedStrDeserializer::new(key));
        if decoded.is_err() {
            self.place()?.note_failure();
        }
        decoded.map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.place()?.decode(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}
