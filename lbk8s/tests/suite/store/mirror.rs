//! What a client knows that follows a kind as controllers do.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;

use futures::{Stream, StreamExt};
use kube::api::ListParams;
use kube::runtime::watcher as watch;
use kube::runtime::watcher::{Config, Error, Event};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;

use super::api::in_time;

/// Namespace and name lead to the resource version.
pub(crate) type State = BTreeMap<(String, String), String>;

pub(crate) struct Mirror<K> {
    events: Pin<Box<dyn Stream<Item = Result<Event<K>, Error>> + Send>>,
    pub(crate) state: State,
    listing: State,
    /// How often it began from a list.
    pub(crate) lists: u32,
    /// The versions told behind the first list, in their order.
    pub(crate) told: Vec<u64>,
    pub(crate) errors: Vec<Error>,
}

fn entry<K: ResourceExt>(object: &K) -> ((String, String), String) {
    let key = (object.namespace().unwrap_or_default(), object.name_any());
    (key, object.resource_version().unwrap_or_default())
}

impl<K> Mirror<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    pub(crate) fn new(api: Api<K>, config: Config) -> Self {
        Self {
            events: Box::pin(watch(api, config)),
            state: State::new(),
            listing: State::new(),
            lists: 0,
            told: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Takes in one event.
    pub(crate) async fn step(&mut self) {
        let event = in_time("an event", self.events.next()).await.expect("watchers have no end");
        match event {
            Ok(Event::Init) => {
                self.lists += 1;
                self.listing.clear();
            }
            Ok(Event::InitApply(object)) => {
                let (key, version) = entry(&object);
                self.listing.insert(key, version);
            }
            Ok(Event::InitDone) => self.state = std::mem::take(&mut self.listing),
            Ok(Event::Apply(object)) => {
                let (key, version) = entry(&object);
                self.told.push(version.parse().unwrap());
                self.state.insert(key, version);
            }
            Ok(Event::Delete(object)) => {
                let (key, version) = entry(&object);
                self.told.push(version.parse().unwrap());
                assert!(self.state.remove(&key).is_some(), "{key:?} was deleted and never told");
            }
            Err(error) => self.errors.push(error),
        }
    }

    /// Goes on until it knows this.
    pub(crate) async fn until(&mut self, wanted: &State) {
        let catching_up = async {
            while self.state != *wanted {
                self.step().await;
            }
        };
        in_time("the state of a list", catching_up).await;
    }

    /// Goes on until this has happened.
    pub(crate) async fn until_that(&mut self, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            self.step().await;
        }
    }
}

/// What a list says.
pub(crate) async fn listed<K>(api: &Api<K>, params: &ListParams) -> State
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    api.list(params).await.unwrap().iter().map(entry).collect()
}
