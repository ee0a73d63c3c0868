//! Objects as rows of a table (`meta.k8s.io/v1`, `Table`): how kubectl is shown everything it prints.

use bytes::Bytes;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::Kind;
use super::columns::{Column, columns};
use super::log::Stored;

/// In which form a reader wants objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    #[default]
    Object,
    /// As rows, with this much of each object behind its row.
    Table(Include),
}

/// What a row carries of its object (`includeObject` in a query).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl Form {
    /// The first form of an `Accept` header that can be had; JSON as it is if there is none.
    pub(super) fn of(accept: &str, include: Include) -> Self {
        let is_table = |range: &str| {
            let mut parameters = range.split(';').map(str::trim);
            let json = parameters.next() == Some("application/json");
            let parameters: Vec<&str> = parameters.collect();
            let says = |parameter| parameters.contains(&parameter);
            let table = says("as=Table") && says("g=meta.k8s.io") && says("v=v1");
            (json && (table || !parameters.iter().any(|it| it.starts_with("as=")))).then_some(table)
        };
        match accept.split(',').find_map(is_table) {
            Some(true) => Self::Table(include),
            _ => Self::Object,
        }
    }
}

impl Include {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "None" => Self::None,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// Makes rows of the objects of one kind.
pub(super) struct Tabulator {
    columns: Vec<Column>,
    kind: Kind,
    include: Include,
}

impl Tabulator {
    pub(super) fn new(kind: &Kind, include: Include) -> Self {
        Self { columns: columns(kind), kind: kind.clone(), include }
    }

    /// The table of some objects. `metadata` is that of the list, or of the one object.
    pub(super) fn table<'a>(&self, metadata: &Value, objects: impl IntoIterator<Item = &'a Stored>) -> Value {
        let now = Timestamp::now();
        let rows: Vec<Value> = objects.into_iter().map(|stored| self.row(stored, now)).collect();
        let columns: Vec<Value> = self.columns.iter().map(head).collect();
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": columns, "rows": rows,
        })
    }

    /// The table of one object, under the version of the object.
    pub(super) fn one(&self, stored: &Stored) -> Value {
        self.table(&json!({"resourceVersion": stored.version.to_string()}), [stored])
    }

    fn row(&self, stored: &Stored, now: Timestamp) -> Value {
        let served = stored.value();
        let object = match self.include {
            Include::None => Value::Null,
            Include::Object => served.clone(),
            Include::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": served["metadata"],
            }),
        };
        let mut object_shown = served;
        self.kind.store_form(&mut object_shown);
        let cells: Vec<Value> = self.columns.iter().map(|column| column.cell(&object_shown, now)).collect();
        json!({"cells": cells, "object": object})
    }
}

fn head(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.form, "format": column.format, "description": column.description,
        "priority": column.priority,
    })
}

/// A complete answer in the form that is asked for.
pub(super) fn one(kind: &Kind, stored: &Stored, form: Form) -> Bytes {
    match form {
        Form::Object => stored.bytes.clone(),
        Form::Table(include) => Bytes::from(Tabulator::new(kind, include).one(stored).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_had_is_taken() {
        let table = Form::Table(Include::Metadata);
        for (accept, form) in [
            ("", Form::Object),
            ("*/*", Form::Object),
            ("application/json", Form::Object),
            ("application/vnd.kubernetes.protobuf, application/json", Form::Object),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", table),
            (
                "application/json;as=Table;v=v7;g=meta.k8s.io, application/json;g=meta.k8s.io;v=v1;as=Table",
                table,
            ),
            ("application/json;as=Table;v=v7;g=meta.k8s.io,application/json", Form::Object),
            ("application/json,application/json;as=Table;v=v1;g=meta.k8s.io", Form::Object),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
                Form::Object,
            ),
        ] {
            assert_eq!(Form::of(accept, Include::default()), form, "{accept}");
        }
    }
}
