//! Definitions without the rules that ours have beside their types: objects that were written under MetalLB's are there
//! when ours come, whatever ours would say of them.

use serde_json::{Value, json};

use super::Cluster;
use crate::Result;
use crate::plane::Kind;

const KIND: &str = "CustomResourceDefinition";

/// A definition as it was, to be put back; the embedded store has none.
#[must_use]
pub struct Before(Option<(String, Value)>);

impl Cluster {
    /// Takes the rules out of a definition. What was there before is given back, for [`Self::with_rules`].
    ///
    /// # Errors
    /// What the API server says.
    pub async fn without_rules(&self, definition: &str) -> Result<Before> {
        if self.kind() == Kind::Embedded {
            return Ok(Before(None));
        }
        let versions = self.get(KIND, definition).await?["spec"]["versions"].take();
        let mut bare = versions.clone();
        strip(&mut bare);
        self.change(KIND, definition, json!({"versions": bare})).await?;
        Ok(Before(Some((definition.to_owned(), versions))))
    }

    /// Puts a definition as it was.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn with_rules(&self, before: Before) -> Result {
        match before.0 {
            Some((name, versions)) => self.change(KIND, &name, json!({"versions": versions})).await.map(drop),
            None => Ok(()),
        }
    }
}

/// Removes what is a rule and not a type, wherever it is.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            fields.values_mut().for_each(strip);
        }
        Value::Array(entries) => entries.iter_mut().for_each(strip),
        _ => {}
    }
}
