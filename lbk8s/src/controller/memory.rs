//! What is remembered of freed addresses, as it is written on the pools.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use lbcore::{Allocator, Remembered};
use serde_json::{Value, json};

use crate::objects::annotations::REMEMBERED;
use crate::objects::metallb::IPAddressPool;
use crate::objects::pool::{read_remembered, write_remembered};

/// A pool's annotation to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryWrite {
    /// The name of the `IPAddressPool`.
    pub pool: String,
    /// The value of [`REMEMBERED`]; `None` removes it.
    pub value: Option<String>,
}

impl MemoryWrite {
    /// The merge patch for the pool.
    #[must_use]
    pub fn patch(&self) -> Value {
        json!({"metadata": {"annotations": {REMEMBERED: self.value}}})
    }
}

/// The annotations as they stand, and those that have to be looked at.
#[derive(Debug, Default)]
pub(super) struct Memories {
    /// By pool; only `IPAddressPool`s can be annotated.
    written: BTreeMap<String, Option<String>>,
    read: Vec<Remembered>,
    due: BTreeSet<String>,
}

impl Memories {
    /// A pool is there in this form.
    pub(super) fn see(&mut self, pool: &IPAddressPool) {
        self.read.extend(read_remembered(pool));
        self.written.insert(pool.name_any(), pool.annotations().get(REMEMBERED).cloned());
    }

    pub(super) fn lose(&mut self, pool: &str) {
        self.written.remove(pool);
    }

    /// What processes before this one wrote down.
    pub(super) fn take_read(&mut self) -> Vec<Remembered> {
        std::mem::take(&mut self.read)
    }

    pub(super) fn note_changes(&mut self, allocator: &mut Allocator) {
        // After the start, what others make of the annotations counts no more.
        self.read.clear();
        self.due.extend(allocator.memory_changed().iter().map(ToString::to_string));
    }

    pub(super) fn retry(&mut self, pool: &str) {
        // What the annotation says is not known now.
        if let Some(written) = self.written.get_mut(pool) {
            *written = Some(String::new());
            self.due.insert(pool.to_owned());
        }
    }

    pub(super) fn next(&mut self, allocator: &Allocator) -> Option<MemoryWrite> {
        while let Some(pool) = self.due.pop_first() {
            let value = write_remembered(allocator.remembered(&pool));
            if self.written.get(&pool).is_some_and(|written| *written != value) {
                self.written.insert(pool.clone(), value.clone());
                return Some(MemoryWrite { pool, value });
            }
        }
        None
    }
}
