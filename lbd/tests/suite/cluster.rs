//! The command line on bad days: nobody there, somebody else there, a narrow terminal, a reader that goes away. Each is
//! told calmly, soon, and without a panic. What it says of a cluster that is well is tried by `e2e`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const LBD: &str = env!("CARGO_BIN_EXE_lbd");
/// Nobody waits longer for a word.
const SOON: Duration = Duration::from_secs(15);

/// As somebody without a kubeconfig, and in no pod.
fn lbd(arguments: &[&str]) -> Command {
    let mut command = Command::new(LBD);
    command.args(arguments).env_remove("KUBERNETES_SERVICE_HOST").env_remove("KUBECONFIG");
    command.env("HOME", "/nonexistent");
    command
}

fn fails(arguments: &[&str]) -> String {
    let began = Instant::now();
    let output = lbd(arguments).output().expect("it runs");
    assert!(began.elapsed() < SOON, "{arguments:?} took {:?}", began.elapsed());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    assert!(!error.contains("panicked") && error.lines().count() <= 3, "{arguments:?}: {error}");
    error
}

/// Answers every request with what `body` makes of its path, until the test ends.
fn serve(body: impl Fn(&str) -> Option<String> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match body(path) {
                // As lbd itself says it.
                Some(body) if body == "404" => ("404 Not Found", r#"{"error": "no"}"#.to_owned()),
                Some(body) => ("200 OK", body),
                None => ("404 Not Found", "not found".to_owned()),
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    at
}

const QUESTIONS: [&[&str]; 7] = [
    &["status"],
    &["pools"],
    &["members"],
    &["history", "192.0.2.1"],
    &["explain", "default/web"],
    &["check", "--cluster"],
    &["plan", "--cluster", "-f", "/dev/null"],
];

#[test]
fn without_a_kubeconfig_it_says_what_to_give() {
    for question in QUESTIONS {
        let error = fails(question);
        assert!(error.contains("--kubeconfig") && error.contains("/nonexistent"), "{error}");
    }
}

#[test]
fn an_api_server_that_is_down_is_named() {
    for question in QUESTIONS {
        let error = fails(&[question, &["--server", "http://127.0.0.1:9"]].concat());
        assert!(error.contains("http://127.0.0.1:9/: the API server is not reached"), "{error}");
    }
}

#[test]
fn a_process_that_is_down_is_named() {
    let output = lbd(&["status", "--at", "127.0.0.1:9"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("warning") && text.contains("127.0.0.1:9 cannot be asked"), "{text}");
    let error = fails(&["history", "192.0.2.1", "--at", "127.0.0.1:9"]);
    assert!(error.contains("no Service has 192.0.2.1, as far as is known"), "{error}");
}

#[test]
fn what_another_version_says_is_not_guessed_at() {
    let at = serve(|_| Some("{\"node\": 7}".to_owned())).to_string();
    let output = lbd(&["status", "--at", &at]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("its answer is not one of lbd {}", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[test]
fn what_is_no_process_of_lbd_is_named() {
    let at = serve(|_| None).to_string();
    let output = lbd(&["status", "--at", &at]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("{at} cannot be asked: nothing of lbd answers there")), "{text}");
    assert!(!text.contains("Nothing needs attention") && output.status.code() == Some(1), "{text}");
    let error = fails(&["explain", "default/web", "--at", &at]);
    assert!(error.contains("nothing of lbd answers there"), "{error}");
}

#[test]
fn who_has_no_such_address_says_so() {
    let at = serve(|path| Some(if path.contains("192.0.2.9") { "404" } else { "{}" }.to_owned())).to_string();
    let error = fails(&["history", "192.0.2.9", "--at", &at]);
    assert_eq!(error.trim(), "lbd: no Service has 192.0.2.9");
}

#[test]
fn an_api_server_that_says_nothing_is_not_waited_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let error = fails(&["status", "--server", &url]);
    assert!(error.contains("is not reached"), "{error}");
}

#[test]
fn what_is_about_a_cluster_says_so() {
    for command in [&["plan", "-f", "x.yaml"][..], &["check", "-f", "x.yaml"]] {
        let output = lbd(&[command, &["--context", "prod"]].concat()).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains("write --cluster too"), "{error}");
    }
}

/// What an API server says that has many Services, each with an address.
fn many(count: usize) -> impl Fn(&str) -> Option<String> + Send + 'static {
    let item = |number: usize| {
        format!(
            r#"{{"metadata": {{"name": "service-{number}", "namespace": "default", "uid": "{number}",
            "annotations": {{"metallb.io/ip-allocated-from-pool": "default"}}}},
            "spec": {{"type": "LoadBalancer", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"]}},
            "status": {{"loadBalancer": {{"ingress": [{{"ip": "10.0.{}.{}"}}]}}}}}}"#,
            number / 250,
            number % 250,
        )
    };
    let items: Vec<String> = (0..count).map(item).collect();
    let services = format!(
        r#"{{"apiVersion": "v1", "kind": "ServiceList", "metadata": {{}}, "items": [{}]}}"#,
        items.join(",")
    );
    move |path| {
        let path = path.split('?').next().unwrap_or_default();
        let kind = path.rsplit('/').next().unwrap_or_default();
        match kind {
            "services" => Some(services.clone()),
            "pods" | "ipaddresspools" | "servicel2statuses" | "nodefacts" => {
                Some(r#"{"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []}"#.to_owned())
            }
            _ => None,
        }
    }
}

#[test]
fn ten_thousand_services_are_shown() {
    let url = format!("http://{}", serve(many(10_000)));
    let output = lbd(&["status", "--server", &url]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().filter(|line| line.contains("service-")).count(), 10_000);
}

#[test]
fn who_reads_no_further_is_no_reason_to_panic() {
    let url = format!("http://{}", serve(many(2_000)));
    let mut child = lbd(&["status", "--server", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// What a command shows on a terminal of so many columns, and types there.
fn on_terminal(columns: u16, line: &str, typed: &[u8]) -> Output {
    let script = format!("stty cols {columns} rows 20; exec {line}");
    let mut child = Command::new("script")
        .args(["-qec", &script, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script is there (util-linux)");
    child.stdin.take().expect("piped").write_all(typed).expect("typed");
    child.wait_with_output().expect("it ends")
}

/// A text without what colours it.
fn plain(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text).into_owned();
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, rest)| rest));
    [first].into_iter().chain(rest.map(str::to_owned)).collect()
}

#[test]
fn everything_fits_a_terminal_of_forty_columns() {
    let url = format!("http://{}", serve(many(3)));
    let output = on_terminal(40, &format!("{LBD} status --server {url}"), b"");
    let text = plain(&output.stdout);
    assert!(text.contains("service-1") && text.contains("10.0.0.1"), "{text}");
    for line in text.lines() {
        assert!(line.trim_end().chars().count() <= 40, "{line:?} in {text}");
    }
    // With room there is more of it.
    let wide = plain(&on_terminal(120, &format!("{LBD} status --server {url}"), b"").stdout);
    assert!(wide.contains("INTERFACE") && !text.contains("INTERFACE"), "{text}{wide}");
}

#[test]
fn top_takes_the_screen_and_gives_it_back() {
    let url = format!("http://{}", serve(many(3)));
    for columns in [40, 120] {
        let output = on_terminal(columns, &format!("{LBD} top --server {url}"), b"jkq");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        let (taken, given) = (text.find("\x1b[?1049h"), text.rfind("\x1b[?1049l"));
        assert!(taken.is_some() && given > taken, "{text:?}");
        assert!(text.contains("10.0.0.1"), "{text:?}");
    }
    let error = fails(&["top", "--server", &url]);
    assert!(error.contains("needs a terminal"), "{error}");
}

#[test]
fn what_does_not_change_is_watched_in_silence() {
    let url = format!("http://{}", serve(many(3)));
    let watch = |more: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["-s", "INT", "4", LBD, "status", "--watch", "--server", &url]).args(more);
        String::from_utf8(command.output().expect("timeout is there (coreutils)").stdout).expect("text")
    };
    assert_eq!(watch(&[]).matches("SERVICE").count(), 1);
    let lines = watch(&["-o", "json"]);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.starts_with('{'), "{lines}");
}

#[test]
fn as_a_plugin_of_kubectl_it_is_called_as_one() {
    let link = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kubectl-lb");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(LBD, &link).expect("a link");
    let output = Command::new(&link).args(["status", "--help"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Usage: kubectl lb status"), "{text}");
}
