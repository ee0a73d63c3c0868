//! Interfaces chosen by what they are called.

use std::fmt;
use std::str::FromStr;

use regex::Regex;
use wildmatch::WildMatch;

/// A name, or a pattern of names: `eth0`, `eth*`, or a regular expression between slashes, as in `/^en(o|p)/`, which
/// matches anywhere in the name unless it is anchored. No interface can have a slash in its name.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// This name and no other.
    Name(String),
    /// `*` is any number of characters, `?` is one.
    Glob(WildMatch),
    /// As in the exclude list of MetalLB (`announcedInterfacesToExclude`).
    Regex(Regex),
}

/// Text between slashes that is no regular expression.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{text:?} is no regular expression: {source}")]
pub struct PatternError {
    /// What was between the slashes.
    pub text: String,
    /// What is wrong with it.
    #[source]
    pub source: regex::Error,
}

impl Pattern {
    /// A regular expression without slashes around it, as MetalLB writes them.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        let regex = Regex::new(text).map_err(|source| PatternError { text: text.to_owned(), source })?;
        Ok(Self::Regex(regex))
    }

    /// Whether an interface of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Glob(glob) => glob.matches(name),
            Self::Regex(regex) => regex.is_match(name),
        }
    }

    /// The one name it stands for, if it is no pattern.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if let Some(regex) = text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
            return Self::regex(regex);
        }
        let glob = text.contains(['*', '?']);
        Ok(if glob { Self::Glob(WildMatch::new(text)) } else { Self::Name(text.to_owned()) })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Glob(glob) => glob.fmt(f),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

/// Two patterns are the same if they are written the same way.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_globs_and_regular_expressions_are_told_apart() {
        for (text, meant, not_meant) in [
            ("eth0", &["eth0"][..], &["eth01", "xeth0", "ETH0"][..]),
            ("eth*", &["eth0", "eth", "eth0.100"], &["veth0"]),
            ("en?s0", &["enps0"], &["ens0"]),
            ("/^docker.*/", &["docker0"], &["mydocker0"]),
            ("/br/", &["virbr0", "br-1"], &["eth0"]),
            ("/^lo$/", &["lo"], &["lo0"]),
        ] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
            assert!(meant.iter().all(|name| pattern.matches(name)), "{text}");
            assert!(!not_meant.iter().any(|name| pattern.matches(name)), "{text}");
        }
        let error = "/a(/".parse::<Pattern>().unwrap_err();
        assert!(error.to_string().starts_with("\"a(\" is no regular expression"), "{error}");
        assert_eq!("eth0".parse::<Pattern>().unwrap().name(), Some("eth0"));
        assert_eq!("eth*".parse::<Pattern>().unwrap().name(), None);
    }
}
