//! New connections, one after another without end, through the kernel of a host and what its neighbour cache says: which
//! of them came about, and how long none did.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::{Host, LabError};

/// At most for this long.
const LONGEST: Duration = Duration::from_mins(5);

/// Whom to connect to, and how.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Who serves HTTP.
    pub server: SocketAddr,
    /// A connection is begun so often, whatever became of those before.
    pub every: Duration,
    /// One that has not brought an answer after so long has failed.
    pub patience: Duration,
}

/// A connection that was begun.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When.
    pub begun: Instant,
    /// After how long the answer was there, or why it never was. Nothing as long as neither is so.
    pub outcome: Option<Result<Duration, String>>,
}

/// Somebody who connects until it is dropped.
#[derive(Debug)]
pub struct Connecting {
    attempts: Arc<Mutex<Vec<Attempt>>>,
    _stop: oneshot::Sender<()>,
}

/// What it came to.
#[derive(Debug, Clone)]
pub struct Attempts(pub Vec<Attempt>);

impl Connecting {
    /// Connects from `host`, and asks each time for a page by HTTP.
    ///
    /// # Errors
    /// The host has ended.
    pub async fn start(host: &Host, plan: Plan) -> Result<Self, LabError> {
        let attempts = Arc::<Mutex<Vec<Attempt>>>::default();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let noting = Arc::clone(&attempts);
        let begin = move || async move {
            spawn_local(async move {
                let mut tick = interval(plan.every);
                // Those that were missed are not made up for: they would come all at once.
                tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
                let end = sleep(LONGEST);
                tokio::pin!(end);
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        () = &mut end => return,
                        _ = tick.tick() => drop(spawn_local(attempt(plan, Arc::clone(&noting)))),
                    }
                }
            });
        };
        host.run(begin).await?;
        Ok(Self { attempts, _stop: stop })
    }

    /// What became of all that were begun so far.
    #[must_use]
    pub fn attempts(&self) -> Attempts {
        Attempts(self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Begins no more, and waits for those that were begun.
    pub async fn finish(self) -> Attempts {
        let Self { attempts, _stop: stop } = self;
        drop(stop);
        let finished = || {
            let attempts = attempts.lock().unwrap_or_else(PoisonError::into_inner);
            let all = attempts.iter().all(|attempt| attempt.outcome.is_some());
            all.then(|| attempts.clone())
        };
        loop {
            if let Some(attempts) = finished() {
                return Attempts(attempts);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Attempts {
    /// The longest time in which no connection was begun that brought an answer.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        let made: Vec<Instant> = self.made().map(|(begun, _)| begun).collect();
        made.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Those that brought an answer, with the time that it took, in the order in which they were begun.
    pub fn made(&self) -> impl Iterator<Item = (Instant, Duration)> {
        self.0.iter().filter_map(|attempt| Some((attempt.begun, *attempt.outcome.as_ref()?.as_ref().ok()?)))
    }

    /// Those that failed, and why.
    pub fn failed(&self) -> impl Iterator<Item = (Instant, &str)> {
        self.0.iter().filter_map(|attempt| match &attempt.outcome {
            Some(Err(why)) => Some((attempt.begun, why.as_str())),
            _ => None,
        })
    }
}

async fn attempt(plan: Plan, attempts: Arc<Mutex<Vec<Attempt>>>) {
    let begun = Instant::now();
    let with = |act: &mut dyn FnMut(&mut Vec<Attempt>)| {
        act(&mut attempts.lock().unwrap_or_else(PoisonError::into_inner));
    };
    let mut number = 0;
    with(&mut |attempts| {
        number = attempts.len();
        attempts.push(Attempt { begun, outcome: None });
    });
    let answer = timeout(plan.patience, exchange(plan.server)).await;
    let outcome = match answer {
        Ok(Ok(())) => Ok(begun.elapsed()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {:?}", plan.patience)),
    };
    with(&mut |attempts| attempts[number].outcome = Some(outcome.clone()));
}

async fn exchange(server: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.is_empty() { Err(io::Error::other("the connection ended without an answer")) } else { Ok(()) }
}
