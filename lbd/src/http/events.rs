//! The page as it changes, for those who look at it: one event for each section that is not as it was sent last.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::page::{Facts, Filter};
use super::{Asked, in_time, page};

/// Who looks at once; others are asked to come again.
const LISTENERS: usize = 32;
/// Everything is looked at so often at most, as long as anybody looks on.
const EVERY: Duration = Duration::from_secs(1);
/// A look takes no more than one part in so many of the time: it costs whoever is asked.
const SHARE: u32 = 20;
/// Something is said so often at least, so that those who have gone are noticed.
const PULSE: Duration = Duration::from_secs(10);
/// Who takes nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What those who look on are told.
#[derive(Debug)]
pub(super) struct Events {
    asked: Asked,
    latest: watch::Sender<Option<Arc<Facts>>>,
    places: Arc<Semaphore>,
    came: Notify,
}

impl Events {
    pub(super) fn new(asked: Asked) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(LISTENERS));
        Arc::new(Self { asked, latest: watch::Sender::new(None), places, came: Notify::new() })
    }

    /// Looks at everything again and again, once for all who look on; never ends.
    pub(super) async fn look(&self) {
        loop {
            if self.latest.receiver_count() == 0 {
                self.came.notified().await;
            }
            let began = Instant::now();
            if let Ok(facts) = in_time(Facts::ask(&self.asked)).await {
                self.latest.send_replace(Some(Arc::new(facts)));
            }
            tokio::time::sleep(EVERY.max(began.elapsed() * SHARE)).await;
        }
    }
}

/// Follows the page.
pub(super) async fn follow(State(events): State<Arc<Events>>, RawQuery(query): RawQuery) -> Response {
    let Ok(place) = Arc::clone(&events.places).try_acquire_owned() else {
        let busy = "so many look on already; reload the page to see how it is now\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], busy).into_response();
    };
    let latest = events.latest.subscribe();
    events.came.notify_one();
    // One event waits for whoever is slow; what comes meanwhile is told together.
    let (tell, told) = mpsc::channel(1);
    tokio::spawn(tell_changes(latest, Filter::of(query.as_deref()), tell, place));
    let next = |mut told: mpsc::Receiver<Event>| async {
        let event = told.recv().await?;
        Some((Ok::<_, Infallible>(event), told))
    };
    Sse::new(stream::unfold(told, next)).into_response()
}

async fn tell_changes(
    mut latest: watch::Receiver<Option<Arc<Facts>>>,
    filter: Filter,
    tell: mpsc::Sender<Event>,
    _place: OwnedSemaphorePermit,
) {
    let mut sent: BTreeMap<&'static str, String> = BTreeMap::new();
    loop {
        let changed = tokio::time::timeout(PULSE, latest.changed()).await;
        let facts = latest.borrow_and_update().clone();
        let mut events = Vec::new();
        match (changed, facts) {
            (Ok(Err(_)), _) => return,
            (Ok(Ok(())), Some(facts)) => {
                for section in page::sections(&facts, &filter) {
                    if sent.get(section.id) != Some(&section.html) {
                        events.push(Event::default().event(section.id).data(&section.html));
                        sent.insert(section.id, section.html);
                    }
                }
            }
            _ => events.push(Event::default().comment("")),
        }
        for event in events {
            let taken = tokio::time::timeout(PATIENCE, tell.send(event)).await;
            if !matches!(taken, Ok(Ok(()))) {
                return;
            }
        }
    }
}
