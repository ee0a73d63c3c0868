//! `lbd run` on a host of the laboratory: what it serves, and what it says of bad input.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use lblab::client::{Asking, who_has};
use lblab::suite::Case;
use lblab::{Host, LabError, Lan, Nic};
use nix::sched::{CloneFlags, unshare};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::running::{PATIENCE, Running};

const POOL: &str = "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: default, namespace: metallb-system}
spec:
  addresses:
  - 192.168.3.251-192.168.3.254
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: all, namespace: metallb-system}
";
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 3, 251);
pub(crate) const WITHOUT_RIGHTS: &str = "LBD_TEST_WITHOUT_RIGHTS";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("services_from_files_are_served_and_changes_are_followed", changes_are_followed),
        Case::new("objects_are_made_in_the_order_of_paths_and_documents", order),
        Case::new("a_malformed_document_is_named_with_file_and_line", malformed),
        Case::new("an_unknown_field_is_named_with_file_and_line", unknown_field),
        Case::new("a_pool_with_an_impossible_range_is_named_with_file_and_line", impossible_range),
        Case::new("two_overlapping_pools_are_named_with_file_and_line", overlap),
        Case::new("a_fault_in_the_v0_12_config_map_is_named_with_file_and_line", config_map),
        Case::new("a_pool_that_nobody_advertises_is_told", not_advertised),
        Case::new("a_wish_that_cannot_be_read_is_named_with_file_and_line", unreadable_wish),
        Case::new("an_interface_that_does_not_exist_is_named_and_the_others_answer", no_interface),
        Case::new("a_new_address_that_somebody_has_is_told_of_and_not_announced", taken),
        Case::new("another_station_that_claims_an_address_is_told_of", conflict),
        Case::new("without_raw_sockets_addresses_are_given_all_the_same", no_raw_sockets),
        Case::new("a_port_in_use_is_named_and_the_rest_goes_on", port_in_use),
        Case::new("what_was_written_over_the_api_is_there_after_a_kill_and_files_win", kept),
        Case::new("a_store_on_a_network_needs_a_token_and_tls_and_a_token_is_asked_for", guarded),
        Case::new("a_half_written_file_takes_nothing_away", half_written),
        Case::new("a_drained_node_answers_as_long_as_no_other_can_and_a_stranger_is_named", drained),
    ]
}

/// Becomes the program of the arguments in a user namespace that owns nothing: without any rights on the
/// network namespace around it.
pub(crate) fn without_rights() -> ExitCode {
    let error = unshare(CloneFlags::CLONE_NEWUSER).map_err(std::io::Error::from);
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().unwrap_or_default();
    let error = error.err().unwrap_or_else(|| Command::new(program).args(arguments).exec());
    panic!("cannot become a process without rights: {error}");
}

/// A node and a client on one LAN, and a folder of manifests.
struct Site {
    _lan: Lan,
    node: Host,
    nic: Nic,
    client: Host,
    client_nic: Nic,
    folder: PathBuf,
}

impl Site {
    async fn new(name: &str) -> Result<Self, LabError> {
        let lan = Lan::new().await?;
        let bridge = lan.bridge(&Nic::new("br0", Ipv4Addr::new(192, 168, 3, 1))).await?;
        let (node, client) = (Host::new("n").await?, Host::new("c").await?);
        let nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 11));
        let client_nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 100));
        lan.plug(&node, bridge, &nic).await?;
        lan.plug(&client, bridge, &client_nic).await?;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder of our own");
        Ok(Self { _lan: lan, node, nic, client, client_nic, folder })
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).expect("a file of our own");
    }

    async fn run(&self, arguments: &[&str]) -> Result<Running, LabError> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
        command.args(["run", "--manifests", "."]).args(arguments);
        self.start(command).await
    }

    async fn start(&self, mut command: Command) -> Result<Running, LabError> {
        command.current_dir(&self.folder);
        Running::start(&self.node, "lbd run", command).await
    }

    /// Waits until exactly the node, or nobody, answers for `address`.
    async fn answers(&self, address: Ipv4Addr, expected: bool) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let answers = who_has(&self.client, &self.client_nic, address, Asking::default())
                .await
                .map_err(|error| error.to_string())?;
            let macs: Vec<_> = answers.into_keys().collect();
            if macs == if expected { vec![self.nic.mac] } else { vec![] } {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("{macs:?} answer for {address}"));
            }
        }
    }
}

type Outcome = Result<(), String>;

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  type: LoadBalancer\n  ports: [{{port: 80}}]\n"
    )
}

async fn site(name: &str) -> Result<Site, String> {
    Site::new(name).await.map_err(|error| error.to_string())
}

async fn run(site: &Site, arguments: &[&str]) -> Result<Running, String> {
    site.run(arguments).await.map_err(|error| error.to_string())
}

async fn changes_are_followed() -> Outcome {
    let site = site("changes").await?;
    site.write("1-pool.yaml", POOL);
    site.write("2-services.yaml", &service("web"));
    let mut running = run(&site, &[]).await?;
    running.says(&["NAMESPACE", "EXTERNAL-IP"]).await?;
    running.says(&["default ", "web", "192.168.3.251", "80/TCP"]).await?;
    running.says(&["IPAllocated", "Service default/web", "pool \"default\""]).await?;
    running.says(&["nodeAssigned", "announcing 192.168.3.251"]).await?;
    site.answers(VIP, true).await?;
    site.write("2-services.yaml", &service("other"));
    running.says(&["Service default/web is gone"]).await?;
    running.says(&["other", "192.168.3."]).await?;
    site.write("2-services.yaml", "");
    running.says(&["Service default/other is gone"]).await?;
    site.answers(VIP, false).await
}

async fn order() -> Outcome {
    let site = site("order").await?;
    site.write("pool.yaml", POOL);
    site.write("z-first.yaml", &(service("zebra") + &service("ant")));
    site.write("a-second.yaml", &service("bee"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
    command.args(["run", "--manifests", "z-first.yaml", "pool.yaml", "a-second.yaml"]);
    let mut running = site.start(command).await.map_err(|error| error.to_string())?;
    for (name, address) in [("zebra", "192.168.3.251"), ("ant", "192.168.3.252"), ("bee", "192.168.3.253")] {
        running.says(&[name, address, "80/TCP"]).await?;
    }
    Ok(())
}

/// The rest goes on working: another Service is served.
async fn still_serves(site: &Site, running: &mut Running) -> Outcome {
    running.says(&["web", "192.168.3.251", "80/TCP"]).await?;
    site.answers(VIP, true).await
}

async fn malformed() -> Outcome {
    let site = site("malformed").await?;
    site.write("1.yaml", &(POOL.to_owned() + "---\nkind: [\n" + &service("web")));
    let mut running = run(&site, &[]).await?;
    running.says(&["1.yaml:12", "not YAML"]).await?;
    still_serves(&site, &mut running).await
}

async fn unknown_field() -> Outcome {
    let site = site("unknown").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web") + "  selectr: {app: web}\n"));
    let mut running = run(&site, &[]).await?;
    running.says(&["1.yaml:18", "Service default/web", "unknown field \"spec.selectr\""]).await?;
    still_serves(&site, &mut running).await
}

async fn impossible_range() -> Outcome {
    let site = site("range").await?;
    let bad = POOL.replace("default", "bad").replace("192.168.3.251-192.168.3.254", "10.0.0.9-10.0.0.1");
    let bad = bad.split("---").next().unwrap_or_default();
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    site.write("2.yaml", bad);
    let mut running = run(&site, &[]).await?;
    running
        .says(&[
            "2.yaml:6",
            "IPAddressPool metallb-system/bad",
            "spec.addresses[0]",
            "ends at 10.0.0.1, before its start 10.0.0.9; write the lower address first",
        ])
        .await?;
    still_serves(&site, &mut running).await?;
    match running.count("write the lower address first") {
        1 => Ok(()),
        times => Err(format!("it is said {times} times: {:#?}", running.seen)),
    }
}

async fn overlap() -> Outcome {
    let site = site("overlap").await?;
    let other = POOL.replace("default", "other").replace(".251-192.168.3.254", ".254-192.168.3.255");
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    site.write("2.yaml", other.split("---").next().unwrap_or_default());
    let mut running = run(&site, &[]).await?;
    running
        .says(&[
            "2.yaml:6",
            "IPAddressPool metallb-system/other",
            "spec.addresses[0]",
            "overlaps",
            "\"default\"",
        ])
        .await?;
    still_serves(&site, &mut running).await
}

async fn config_map() -> Outcome {
    let site = site("config-map").await?;
    let map = "kind: ConfigMap
apiVersion: v1
metadata: {name: config, namespace: metallb-system}
data:
  config: |
    address-pools:
    - name: default
      protocol: layer2
      addresses:
      - 192.168.3.251-192.168.3.254
    - name: bad
      protocol: layer2
      addresses:
      - 10.0.0.0/33
";
    site.write("1.yaml", &(map.to_owned() + &service("web")));
    let mut running = run(&site, &[]).await?;
    running
        .says(&["1.yaml:14", "address-pools[1].addresses[0]", "\"33\" is not a prefix length of IPv4"])
        .await?;
    still_serves(&site, &mut running).await
}

async fn not_advertised() -> Outcome {
    let site = site("not-advertised").await?;
    let pool = POOL.split("---").next().unwrap_or_default();
    site.write("1.yaml", &(pool.to_owned() + &service("web")));
    let mut running = run(&site, &[]).await?;
    let why = "nobody announces 192.168.3.251: no L2Advertisement announces pool \"default\" for default/web";
    running.says(&["announceFailed", "1.yaml:", "Service default/web", why]).await?;
    site.answers(VIP, false).await
}

async fn unreadable_wish() -> Outcome {
    let site = site("wish").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    site.write("2.yaml", &(service("bad") + "  loadBalancerIP: 10.0.1.300\n"));
    let mut running = run(&site, &[]).await?;
    running.says(&["LoadBalancerFailed", "2.yaml:8", "Service default/bad", "is no IP address"]).await?;
    still_serves(&site, &mut running).await
}

async fn no_interface() -> Outcome {
    let site = site("no-interface").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    let mut running = run(&site, &["--interface", "eth7", "--interface", "eth0"]).await?;
    running.says(&["there is no interface \"eth7\"", "eth0"]).await?;
    still_serves(&site, &mut running).await
}

async fn taken() -> Outcome {
    let site = site("taken").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    let (net, index) = (site.client.net(), site.client.net().index("eth0").await);
    let index = index.map_err(|error| error.to_string())?;
    net.add_address(index, VIP, 32).await.map_err(|error| error.to_string())?;
    let mut running = run(&site, &[]).await?;
    let mac = site.client_nic.mac.to_string();
    running.says(&["announceFailed", "Service default/web", "192.168.3.251 is not announced", &mac]).await?;
    site.answers(VIP, false).await
}

async fn conflict() -> Outcome {
    let site = site("conflict").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
    command.args(["run", "--manifests", "."]).env("RUST_LOG", "warn,lbk8s=info");
    let mut running = site.start(command).await.map_err(|error| error.to_string())?;
    // Whoever claims it before that, while it is still probed, has it, and the Service gets another one.
    running.says(&["\"answered\"", "192.168.3.251"]).await?;
    site.answers(VIP, true).await?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
    command.args(["announce", "--no-probe", "192.168.3.251"]);
    let other = Running::start(&site.client, "lbd announce", command).await;
    let _other = other.map_err(|error| error.to_string())?;
    let mac = site.client_nic.mac.to_string();
    running.says(&["addressConflict", "Service default/web", "192.168.3.251", &mac, "both answer"]).await?;
    Ok(())
}

async fn no_raw_sockets() -> Outcome {
    let site = site("no-rights").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    command.env(WITHOUT_RIGHTS, "1").arg(env!("CARGO_BIN_EXE_lbd")).args(["run", "--manifests", "."]);
    let mut running = site.start(command).await.map_err(|error| error.to_string())?;
    running.says(&["nobody answers ARP", "may not open packet sockets", "run as root"]).await?;
    running.says(&["web", "192.168.3.251", "80/TCP"]).await?;
    site.answers(VIP, false).await
}

async fn port_in_use() -> Outcome {
    let site = site("port").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    let taken = site.node.run(|| async { tokio::net::TcpListener::bind("127.0.0.1:8099").await });
    let _taken = taken.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let mut running = run(&site, &["--listen", "127.0.0.1:8099"]).await?;
    running.says(&["127.0.0.1:8099", "Address already in use", "Choose another port"]).await?;
    still_serves(&site, &mut running).await
}

async fn drained() -> Outcome {
    let site = site("drained").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    let mut running = run(&site, &["--listen", "127.0.0.1:8098", "--node-name", "vm"]).await?;
    still_serves(&site, &mut running).await?;
    for (node, says) in [
        ("nobody", "node nobody cannot be drained: nodes \"nobody\" not found"),
        ("vm", "other nodes take over what vm answers for"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
        command.args(["drain", node, "--server", "http://127.0.0.1:8098"]);
        let drain = Running::start(&site.node, "lbd drain", command).await;
        drain.map_err(|error| error.to_string())?.says(&[says]).await?;
    }
    site.answers(VIP, true).await
}

/// Sends one request to the store of the node; the code and the body of the answer.
async fn ask(
    site: &Site,
    port: u16,
    request: &str,
    headers: &str,
    body: &str,
) -> Result<(u16, String), String> {
    let length = body.len();
    let text =
        format!("{request} HTTP/1.0\r\nHost: store\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    let exchange = move || async move {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
        stream.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer of HTTP")?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no code")?;
        Ok::<_, String>((code, body.to_owned()))
    };
    site.node.run(exchange).await.map_err(|error| error.to_string())?
}

fn expect((code, body): (u16, String), expected: u16, part: &str) -> Outcome {
    if code == expected && body.contains(part) { Ok(()) } else { Err(format!("{code}: {body}")) }
}

async fn kept() -> Outcome {
    const LISTEN: &[&str] = &["--listen", "127.0.0.1:8097", "--state-dir", "state"];
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str, value: &str| {
        format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: {value:?}}}\n")
    };
    let site = site("kept").await?;
    site.write("1-pool.yaml", POOL);
    site.write("2-maps.yaml", &(map("stays", "file") + &map("goes", "file")));
    let mut running = run(&site, LISTEN).await?;
    running.says(&["the store listens on http://127.0.0.1:8097"]).await?;
    let web = r#"{"metadata":{"name":"web"},"spec":{"type":"LoadBalancer","ports":[{"port":80}]}}"#;
    expect(ask(&site, 8097, "POST /api/v1/namespaces/default/services", "", web).await?, 201, "web")?;
    let merge = "Content-Type: application/merge-patch+json\r\n";
    let patch = r#"{"metadata":{"labels":{"mine":"1"}},"data":{"a":"api","b":"api"}}"#;
    expect(ask(&site, 8097, &format!("PATCH {MAPS}/stays"), merge, patch).await?, 200, "mine")?;
    running.says(&["default ", "web", "192.168.3.251", "80/TCP"]).await?;
    site.answers(VIP, true).await?;
    // A second process may not have the same folder.
    let mut second = run(&site, &["--state-dir", "state"]).await?;
    second.says(&["another lbd keeps its store in state"]).await?;
    running.kill()?;
    site.write("2-maps.yaml", &map("stays", "file"));
    let mut running = run(&site, LISTEN).await?;
    running.says(&["ConfigMap default/goes deleted"]).await?;
    running.says(&["default ", "web", "192.168.3.251", "80/TCP"]).await?;
    site.answers(VIP, true).await?;
    running.says(&["the store listens on http://127.0.0.1:8097"]).await?;
    expect(ask(&site, 8097, &format!("GET {MAPS}/goes"), "", "").await?, 404, "NotFound")?;
    let stays = ask(&site, 8097, &format!("GET {MAPS}/stays"), "", "").await?;
    expect(stays.clone(), 200, r#""data":{"a":"file","b":"api"}"#)?;
    expect(stays, 200, r#""labels":{"mine":"1"}"#)
}

async fn guarded() -> Outcome {
    let site = site("guarded").await?;
    site.write("1.yaml", &(POOL.to_owned() + &service("web")));
    site.write("token", "open sesame\n");
    let mut open = run(&site, &["--listen", "0.0.0.0:8096"]).await?;
    open.says(&["not served on 0.0.0.0:8096", "--token-file, --tls-cert and --tls-key"]).await?;
    let mut running = run(&site, &["--listen", "127.0.0.1:8096", "--token-file", "token"]).await?;
    still_serves(&site, &mut running).await?;
    let get = "GET /api/v1/namespaces/default/services/web";
    for headers in ["", "Authorization: Bearer open\r\n"] {
        expect(ask(&site, 8096, get, headers, "").await?, 401, "Unauthorized")?;
    }
    expect(ask(&site, 8096, get, "Authorization: Bearer open sesame\r\n", "").await?, 200, "192.168.3.251")
}

async fn half_written() -> Outcome {
    let site = site("half-written").await?;
    site.write("1-pool.yaml", POOL);
    site.write("2.yaml", &service("web"));
    let mut running = run(&site, &[]).await?;
    still_serves(&site, &mut running).await?;
    site.write("2.yaml", "apiVersion: v1\nkind: Servi");
    running.says(&["what was applied of it stays in force"]).await?;
    site.answers(VIP, true).await?;
    match running.count("is gone") {
        0 => Ok(()),
        _ => Err(format!("something was taken away: {:#?}", running.seen)),
    }
}
