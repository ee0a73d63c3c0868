//! How long ago something was, as Kubernetes' tables say it (`HumanDuration` of apimachinery).

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

const UNKNOWN: &str = "<unknown>";
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// From a time in an object until `now`.
pub(super) fn ago(time: &Value, now: Timestamp) -> String {
    let time = time.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    time.map_or_else(|| UNKNOWN.to_owned(), |time| words(now.duration_since(time).as_secs()))
}

/// The two largest units that say something; the smaller one only while it counts.
fn words(seconds: i64) -> String {
    let two = |large: i64, word: char, rest: i64, small: char| match rest {
        0 => format!("{large}{word}"),
        rest => format!("{large}{word}{rest}{small}"),
    };
    let (minutes, hours, days, years) = (seconds / MINUTE, seconds / HOUR, seconds / DAY, seconds / YEAR);
    match seconds {
        // Two clocks are never the same.
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if minutes < 2 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % MINUTE, 's'),
        _ if hours < 3 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, 'd', hours % 24, 'h'),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => two(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ages_read_as_kubernetes_writes_them() {
        for (seconds, expected) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (599, "9m59s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 61, "3h1m"),
            (8 * HOUR - 1, "7h59m"),
            (8 * HOUR, "8h"),
            (48 * HOUR - 1, "47h"),
            (48 * HOUR, "2d"),
            (7 * DAY + HOUR, "7d1h"),
            (8 * DAY, "8d"),
            (2 * YEAR - 1, "729d"),
            (2 * YEAR, "2y"),
            (3 * YEAR + DAY, "3y1d"),
            (9 * YEAR + DAY, "9y"),
        ] {
            assert_eq!(words(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn a_time_that_is_none_is_unknown() {
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(ago(&json!("2026-01-01T00:00:00.000001Z"), now), "59s");
        assert_eq!(
            (ago(&json!(null), now), ago(&json!("soon"), now)),
            (UNKNOWN.to_owned(), UNKNOWN.to_owned())
        );
    }
}
