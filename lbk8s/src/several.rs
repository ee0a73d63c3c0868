//! Values under keys that have nearly always one each, and must cost little then.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// Sorted values under sorted keys; no key is there without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Several<K, V>(BTreeMap<K, Vec<V>>);

impl<K, V> Default for Several<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V: Ord> Several<K, V> {
    /// Adds a value.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let values = self.0.entry(key).or_default();
        if let Err(at) = values.binary_search(&value) {
            // The room that a vector takes of itself is for more than one.
            values.reserve_exact(1);
            values.insert(at, value);
        }
    }

    /// Removes a value.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q, value: &V)
    where
        K: Borrow<Q>,
    {
        if let Some(values) = self.0.get_mut(key) {
            values.retain(|known| known != value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// Makes these the values of a key; what they were.
    #[cfg(feature = "controller")]
    pub(crate) fn set(&mut self, key: K, mut values: Vec<V>) -> Vec<V>
    where
        K: Clone,
    {
        values.sort_unstable();
        values.dedup();
        values.shrink_to_fit();
        let before = if values.is_empty() { self.0.remove(&key) } else { self.0.insert(key, values) };
        before.unwrap_or_default()
    }

    /// Removes all values of a key.
    #[cfg(feature = "controller")]
    pub(crate) fn take<Q: Ord + ?Sized>(&mut self, key: &Q) -> Vec<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).unwrap_or_default()
    }

    /// The values of a key.
    pub(crate) fn of<Q: Ord + ?Sized>(&self, key: &Q) -> &[V]
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The keys that have a value.
    #[cfg(feature = "speaker")]
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }
}

#[cfg(all(test, feature = "controller", feature = "speaker"))]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_as_long_as_it_has_a_value() {
        let mut several = Several::default();
        for value in [2, 1, 2] {
            several.insert("a", value);
        }
        assert_eq!(several.of("a"), [1, 2]);
        several.remove("a", &1);
        several.remove("a", &3);
        assert_eq!(several.of("a"), [2]);
        several.remove("a", &2);
        assert_eq!(several.keys().next(), None);
        assert!(several.set("b", vec![3, 1, 3]).is_empty());
        assert_eq!(several.set("b", vec![]), [1, 3]);
        assert_eq!(several.keys().next(), None);
        several.insert("c", 4);
        assert_eq!((several.take("c"), several.take("c")), (vec![4], vec![]));
    }
}
