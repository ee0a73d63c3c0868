//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

use crate::Result;

/// How long to wait for something that must happen. Nothing is waited for longer than it takes.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until it succeeds. What `look` fails with says what is there instead; the last of that is told if it never
/// succeeds.
///
/// # Errors
/// It did not succeed in time.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    until_within(PATIENCE, what, look).await
}

/// The same, with another deadline.
///
/// # Errors
/// It did not succeed in time.
pub async fn until_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let looked = Instant::now();
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if begun.elapsed() > patience => {
                return Err(format!("not within {patience:?}: {what}; but {seen}").into());
            }
            // What is looked at has other things to do than to be looked at.
            Err(_) => tokio::time::sleep(PAUSE.max(looked.elapsed() * 4)).await,
        }
    }
}
