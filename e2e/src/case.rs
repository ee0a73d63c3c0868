//! A behaviour, written once, and what it needs to be shown.

use std::io::Write;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::Result;
use crate::cluster::Cluster;
use crate::plane::Kind;

pub(crate) type Body = Box<dyn for<'a> FnOnce(&'a mut Cluster) -> LocalBoxFuture<'a, Result> + Send>;

/// A behaviour: a name that states it, and what shows it.
pub struct Case {
    pub(crate) name: String,
    /// Only there, if it cannot be had on the other one.
    pub(crate) only: Option<Kind>,
    pub(crate) not_yet: Option<&'static str>,
    pub(crate) body: Body,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A case. It is given a cluster without pools, pods and Services, in which a controller and a speaker on each node
/// run with their defaults.
pub fn case<B>(name: &str, body: B) -> Case
where
    B: AsyncFn(&mut Cluster) -> Result + Copy + Send + 'static,
{
    let body: Body = Box::new(move |cluster| async move { body(cluster).await }.boxed_local());
    Case { name: name.to_owned(), only: None, not_yet: None, body }
}

impl Case {
    /// It runs on this kind of API server only.
    #[must_use]
    pub fn only_on(self, kind: Kind) -> Self {
        Self { only: Some(kind), ..self }
    }

    /// It cannot hold yet, for this reason: it is listed as not run.
    #[must_use]
    pub fn not_yet(self, why: &'static str) -> Self {
        Self { not_yet: Some(why), ..self }
    }

    /// Under the name of its module.
    pub(crate) fn within(self, module: &str) -> Self {
        Self { name: format!("{module}::{}", self.name), ..self }
    }
}

/// Says something about a run that passes.
pub fn note(text: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "     {text}");
}
