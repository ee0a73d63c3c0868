//! Names as Kubernetes takes them.

use std::collections::BTreeMap;

use super::Faults;

/// The longest name of a Kubernetes object that is a DNS label.
const LONGEST: usize = 63;

/// The names that entries of a list get.
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// Makes names fit; tells of those that cannot be, and of two that become one.
    pub(super) fn new<'n>(list: &str, names: impl Iterator<Item = &'n str>, faults: &mut Faults<'_>) -> Self {
        let mut fitting = BTreeMap::new();
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        for (index, name) in names.enumerate() {
            let path = format!("{list}[{index}].name");
            let Some(fit) = fit(name) else {
                faults.add("InvalidName", &path, format!("{name:?} has no letter to begin a name with"));
                continue;
            };
            if let Some(before) = taken.insert(fit.clone(), name) {
                let message = format!("{name:?} becomes {fit:?}, as {before:?} does; rename one of them");
                faults.add("DuplicateName", &path, message);
            }
            fitting.insert(name.to_owned(), fit);
        }
        Self(fitting)
    }

    /// The name that an entry gets; its own if it has none that fits, which was told.
    pub(super) fn of(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn known(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// As MetalLB's converter does: cut, in lower case, `_` as `-`, from the first letter on.
fn fit(name: &str) -> Option<String> {
    let cut: String = name.chars().take(LONGEST).collect();
    let lower = cut.to_lowercase().replace('_', "-");
    let start = lower.find(|it: char| it.is_ascii_lowercase())?;
    // What is left may still hold what no name may; unlike MetalLB, which lets the API server find out.
    let fit = lower[start..].trim_end_matches('-');
    fit.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-').then(|| fit.to_owned())
}
