//! A signal to `e2e/run` alone, as from Ctrl-C or from whoever supervises it: all that it started ends, and what it
//! wrote is gone.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than building everything but the control plane, and than a cluster takes to start.
const STARTED: Duration = Duration::from_mins(10);
/// A program that does not end by itself is killed after seconds.
const ENDED: Duration = Duration::from_mins(1);
/// One cluster at a time is enough for a machine.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn a_sigterm_ends_a_standing_cluster_and_leaves_nothing_behind() {
    let status = ended_by(Signal::SIGTERM, &["up"]);
    assert_eq!(status.code(), Some(143), "{status}, {:?}", status.signal());
}

#[test]
fn a_ctrl_c_ends_the_suite_and_leaves_nothing_behind() {
    let status = ended_by(Signal::SIGINT, &["beyond::five_thousand"]);
    assert_eq!(status.code(), Some(130), "{status}, {:?}", status.signal());
}

/// Starts the script, and sends it a signal as soon as a speaker runs; how it ended. Fails if anything is left.
fn ended_by(signal: Signal, arguments: &[&str]) -> ExitStatus {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = std::env::temp_dir().join(format!("lbd-run-{}-{signal}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let mut script = start(&folder, arguments);
    until(STARTED, "a speaker runs", || {
        assert!(script.try_wait().expect("its status").is_none(), "it ended by itself");
        running(&folder).iter().any(|command| command.contains("speaker"))
    });
    let pid = i32::try_from(script.id()).expect("a pid");
    kill(Pid::from_raw(pid), signal).expect("a signal");
    let mut status = None;
    until(ENDED, "the script has ended", || {
        status = script.try_wait().expect("its status");
        status.is_some()
    });
    // Not a moment later: it waits for all of them itself.
    assert_eq!(running(&folder), Vec::<String>::new(), "these still run");
    let left: Vec<PathBuf> =
        fs::read_dir(&folder).expect("the folder").flatten().map(|it| it.path()).collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "these are left");
    fs::remove_dir(&folder).expect("the folder goes");
    status.expect("it has ended")
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/run"));
    command.args(arguments).env("TMPDIR", folder).stdin(Stdio::null());
    // What cargo says of this package must not look like a change of the ones that the script builds.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command.spawn().expect("the script starts")
}

/// The programs that were started with a file in this folder, or that have it as their folder for such.
fn running(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let own = std::process::id().to_string();
    let processes = processes.filter(|process| process.file_name().to_string_lossy() != own.as_str());
    let named = processes.filter_map(|process| {
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let text = |file: &str| String::from_utf8_lossy(&read(file)).replace('\0', " ");
        let (command, environment) = (text("cmdline"), text("environ"));
        (command.contains(&folder) || environment.contains(&folder)).then_some(command)
    });
    named.filter(|command| !command.is_empty()).collect()
}

fn until(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
