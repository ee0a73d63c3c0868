//! The demo, run as a newcomer and as a machine would.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn lbd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lbd"))
}

#[test]
fn every_step_of_the_walkthrough_is_verified_from_the_clients_side() {
    let output = lbd().args(["demo", "--json"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}\n{}", String::from_utf8_lossy(&output.stdout));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();

    let (last, steps) = lines.split_last().unwrap();
    assert_eq!((&last["done"], &last["ok"]), (&Value::Bool(true), &Value::Bool(true)));
    assert!(last["ms"].as_f64().unwrap() < 20_000.0, "it is to take less than 20 s: {last}");
    let numbers: Vec<u64> = steps.iter().map(|step| step["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for step in steps {
        assert!(step["ok"] == true && step["seen"].is_object() && step["ms"].is_number(), "{step}");
    }
    let seen = |step: usize| &steps[step - 1]["seen"];

    let sources: Vec<_> =
        seen(1)["loaded"].as_array().unwrap().iter().map(|it| it["source"].clone()).collect();
    assert_eq!(sources, ["ConfigMap", "IPAddressPool"]);
    let gateways: Vec<_> =
        seen(2)["services"].as_array().unwrap().iter().map(|it| it["address"].clone()).collect();
    assert_eq!(gateways, ["192.168.3.251", "192.168.3.252"]);
    assert_eq!(seen(3)["address"], "192.168.3.253");
    // One MAC, and it is that of the node which the event names and which served the page.
    let node = seen(4)["node"].as_str().unwrap();
    let number: u8 = node.strip_prefix('n').unwrap().parse().unwrap();
    assert_eq!(seen(4)["mac"], format!("02:00:00:a8:03:{:02x}", 10 + number));
    assert!(seen(3)["events"][1].as_str().unwrap().contains(node));
    assert_eq!(seen(4)["http"], format!("Welcome to nginx! This is its pod on {node}."));
    assert_eq!(seen(5)["address"], "192.168.3.254");
    assert_eq!(seen(6)["reason"], "PoolExhausted");
    let far: Vec<_> =
        seen(7)["services"].as_array().unwrap().iter().map(|it| it["address"].clone()).collect();
    assert_eq!(far, ["192.168.12.0", "192.168.144.7"]);
    assert_eq!(
        (&seen(8)["address"], &seen(8)["answers_after_last_delete"]),
        (&"192.168.3.253".into(), &0.into())
    );
    let next = |what: &str| (seen(9)[what]["node"].clone(), seen(9)[what]["next"].clone());
    for what in ["killed", "split", "drained"] {
        let (node, next) = next(what);
        assert!(node.is_string() && next.is_string() && node != next, "{what}: {node}, then {next}");
    }
    assert_eq!(seen(9)["split"]["owner"], seen(9)["split"]["next"], "who took over keeps it");
}

#[test]
fn in_a_pipe_the_text_is_plain() {
    let output = lbd().arg("demo").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("stand-in"), "{text}");
    assert!(!text.contains('\x1b') && !text.contains('\r'), "{text}");
}

#[test]
fn an_interrupt_leaves_no_process_behind() {
    let mut demo = lbd().arg("demo").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(demo.id()).unwrap();
    wait_for("the controller and three speakers", || children_of(pid).len() == 4);
    let children = children_of(pid);
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(130));
    wait_for("the end of all children", || !children.iter().any(|child| is_alive(*child)));
}

#[test]
fn a_killed_demo_leaves_no_process_behind() {
    let mut demo = lbd().arg("demo").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(demo.id()).unwrap();
    wait_for("the controller and three speakers", || children_of(pid).len() == 4);
    let children = children_of(pid);
    demo.kill().unwrap();
    demo.wait().unwrap();
    wait_for("the end of all children", || !children.iter().any(|child| is_alive(*child)));
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// State and parent of a process, from the line behind its name.
fn stat(pid: i32) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children_of(parent: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent)).collect()
}

fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}
