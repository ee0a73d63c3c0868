//! What is shipped beside the program, as far as it can be read without anything else. What a real API server, helm and
//! promtool say of it is asked by `e2e`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// The words in a text that are the names of metrics of ours.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
    let ours = words.filter(|word| word.starts_with("lbd_controller_") || word.starts_with("lbd_speaker_"));
    // A histogram is three of them.
    let parts = ["_bucket", "_sum", "_count"];
    ours.map(|name| parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned())
        .collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_are_documented() {
    let table = read("docs/status.md");
    let table: String = table.lines().filter(|line| line.starts_with('|')).collect();
    let known = metrics(&table);
    for file in ["deploy/prometheus/rules.yaml", "deploy/grafana/lbd.json"] {
        let asked = metrics(&read(file));
        assert!(asked.len() > 8, "{file}: {asked:?}");
        let unknown: Vec<&String> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}, which docs/status.md does not have");
    }
}

#[test]
fn every_alert_has_a_test() {
    let rules = yaml(&read("deploy/prometheus/rules.yaml"));
    let tests = read("deploy/prometheus/rules.test.yaml");
    let alerts: Vec<&str> = rules["groups"][0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap())
        .collect();
    assert!(alerts.len() > 8, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(alert), "{alert} is not in rules.test.yaml");
    }
}

#[test]
fn the_dashboard_needs_no_plugin() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/lbd.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let kind = panel["type"].as_str().unwrap();
        assert!(["stat", "bargauge", "timeseries"].contains(&kind), "{kind}");
        assert_eq!(panel["datasource"]["type"], "prometheus", "{}", panel["title"]);
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id {}", panel["id"]);
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{}", panel["title"]);
    }
    assert!(panels.len() > 10, "{}", panels.len());
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = yaml(&read("deploy/chart/Chart.yaml"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_static_pod_is_the_speaker_of_the_daemon_set() {
    let daemons = read("deploy/speaker.yaml");
    let daemons = yaml(daemons.rsplit("\n---\n").next().unwrap());
    let pod = yaml(&read("deploy/static-pod/speaker.yaml"));
    let (theirs, own) = (&daemons["spec"]["template"]["spec"], &pod["spec"]);
    for field in ["hostNetwork", "priorityClassName", "securityContext", "terminationGracePeriodSeconds"] {
        assert_eq!(theirs[field], own[field], "{field}");
    }
    for field in ["image", "livenessProbe", "readinessProbe", "resources", "securityContext"] {
        assert_eq!(theirs["containers"][0][field], own["containers"][0][field], "{field}");
    }
    assert_eq!(daemons["spec"]["template"]["metadata"]["labels"], pod["metadata"]["labels"]);
}

/// The arguments that follow the program in a line of a unit, with what the sample settings say.
#[test]
fn the_unit_starts_a_program_that_knows_its_arguments() {
    let unit = read("deploy/systemd/lbd.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/lbd ")).unwrap();
    let settings = read("deploy/systemd/lbd.env");
    let mut line = line.to_owned();
    for (name, value) in settings.lines().filter_map(|line| line.split_once('=')) {
        line = line.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    assert!(!line.contains('$'), "{line}");
    let manifests = std::env::temp_dir().join(format!("lbd-unit-{}", std::process::id()));
    let line = line.replace("/etc/lbd/services", &manifests.display().to_string());
    // The arguments are read before the files are: these are not there.
    let output = Command::new(env!("CARGO_BIN_EXE_lbd"))
        .args(line.split_whitespace())
        .env("LBD_MEMBERSHIP_KEY_FILE", manifests.join("key"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.status.code() != Some(2), "{:?}: {said}", output.status);
    assert!(said.contains(&manifests.display().to_string()), "{said}");
}

/// The files that the page about keepalived tells to write are right, by the commands that it tells to type.
#[test]
fn what_a_user_of_keepalived_writes_is_right() {
    let page = read("docs/migration/keepalived.md");
    let block = |language: &str| {
        let begin = format!("```{language}\n");
        let rest = page.split_once(&begin).unwrap_or_else(|| panic!("no {language}")).1;
        rest.split_once("\n```").unwrap().0.to_owned()
    };
    let folder = std::env::temp_dir().join(format!("lbd-keepalived-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("services")).unwrap();
    std::fs::write(folder.join("services/web.yaml"), block("yaml")).unwrap();
    let commands = block("console");
    let commands: Vec<&str> = commands.lines().map(|line| line.strip_prefix("$ lbd ").unwrap()).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_lbd"))
            .args(command.split(' '))
            .arg("--strict")
            .current_dir(&folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "lbd {command}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!command.starts_with("plan") || said.contains("192.168.3.200"), "{said}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
