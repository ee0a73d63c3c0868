//! What the kernel says of this process.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Bytes of this process in memory (`/proc/self/statm`, whose second number counts pages).
#[must_use]
pub fn resident_bytes() -> f64 {
    const PAGE: f64 = 4096.0;
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split(' ').nth(1).and_then(|count| count.parse::<f64>().ok());
    resident.unwrap_or(f64::NAN) * PAGE
}

/// The most bytes that a process has had in memory so far (`VmHWM` of `/proc/PID/status`, in kilobytes).
#[must_use]
pub fn peak_bytes(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) * 1024.0
}

/// How long the threads whose names begin so have run so far, those that have ended left out (the first number of
/// `/proc/self/task/*/schedstat` is in nanoseconds).
#[must_use]
pub fn cpu_time(thread: &str) -> Duration {
    let named =
        |task: &Path| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with(thread));
    tasks_time("/proc/self/task", named)
}

/// How long all threads of another process have run so far, those that have ended left out.
#[must_use]
pub fn cpu_time_of(pid: u32) -> Duration {
    tasks_time(&format!("/proc/{pid}/task"), |_| true)
}

fn tasks_time(tasks: &str, which: impl Fn(&Path) -> bool) -> Duration {
    let tasks = fs::read_dir(tasks).into_iter().flatten().flatten().map(|task| task.path());
    let run = tasks.filter(|task| which(task)).filter_map(|task| {
        let numbers = fs::read_to_string(task.join("schedstat")).ok()?;
        numbers.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(run.sum())
}
