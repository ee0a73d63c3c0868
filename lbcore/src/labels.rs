//! The labels of an object.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The labels of an object (`metadata.labels`). Cheap to clone: of thousands of services each has a few, and several
/// parts of a program know them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Labels(
    /// By key. None without any, which costs nothing.
    Option<Arc<[Label]>>,
);

/// Key and value.
type Label = (Box<str>, Box<str>);

impl Labels {
    /// No labels.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// The value of a label.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let pairs = self.0.as_deref()?;
        let at = pairs.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&pairs[at].1)
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|pairs| pairs.iter()).map(|(key, value)| (&**key, &**value))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    /// Of two values of one key the last counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let sorted: BTreeMap<String, String> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        sorted.into()
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(sorted: BTreeMap<String, String>) -> Self {
        let pairs = sorted.into_iter().map(|(key, value)| (key.into(), value.into()));
        Self(Some(pairs.collect()).filter(|pairs: &Arc<[Label]>| !pairs.is_empty()))
    }
}

impl From<&BTreeMap<String, String>> for Labels {
    fn from(sorted: &BTreeMap<String, String>) -> Self {
        let pairs = sorted.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        Self(Some(pairs.collect()).filter(|pairs: &Arc<[Label]>| !pairs.is_empty()))
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Labels {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_value() {
        let labels = Labels::from([("b", "2"), ("a", "1"), ("c", "3"), ("a", "4")]);
        assert_eq!(
            ["a", "b", "c", "d", ""].map(|key| labels.get(key)),
            [Some("4"), Some("2"), Some("3"), None, None]
        );
        assert_eq!(labels, BTreeMap::from(labels.clone()).into());
        assert_eq!(Labels::new(), Labels::from(BTreeMap::new()));
    }
}
