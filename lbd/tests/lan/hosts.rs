//! `lbd run --peers` on three hosts of the laboratory: the same addresses everywhere, one owner each, and the next one
//! when it fails.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use lblab::client::{Asking, who_has};
use lblab::suite::Case;
use lblab::watch::Watch;
use lblab::{Host, LabError, Lan, Nic, Port};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::running::{LOG, PATIENCE, Running};

const POOL: &str = "apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: default, namespace: metallb-system}
spec:
  addresses:
  - 192.168.3.200-192.168.3.209
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: all, namespace: metallb-system}
";
const STATUS: &str = "127.0.0.1:7948";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("the_same_files_give_the_same_addresses_and_each_has_one_owner", same_addresses),
        case("when_the_owner_is_killed_another_host_answers", killed),
        case("hosts_that_are_frozen_and_go_on_bury_nobody_and_move_nothing", frozen_watchers),
        case("a_host_is_drained_by_its_socket_and_no_question_is_unanswered", drained),
        case("a_host_that_is_told_to_stop_hands_over_before_it_ends", stopped),
        case("a_host_whose_check_fails_does_not_answer", check_fails),
        case("a_host_that_joins_takes_over_what_is_held", joins),
        case("of_two_that_were_apart_the_older_hold_counts", apart),
        case("a_wish_that_changes_on_one_host_after_the_other_comes_to_rest", wish_changes),
        case("a_host_that_was_away_takes_nothing_from_those_that_live", ghosts),
        case("two_that_answered_for_one_address_while_they_were_apart_are_told_of", overlap),
        case("what_is_held_survives_a_crash_of_all_hosts", crash_of_all),
        case("a_damaged_state_is_set_aside_and_said", damaged),
        case("why_this_host_and_why_not_that_one_is_told_over_http", told_over_http),
        case("without_a_key_it_does_not_start_among_others", without_key),
    ]
}

/// A test on a site of its own; one that fails says what its hosts said.
fn case(name: &'static str, body: impl AsyncFnOnce(&Site) -> Outcome + Send + 'static) -> Case {
    Case::new(name, move || async move {
        let site = Site::new(name).await?;
        body(&site).await.map_err(|why| site.hosts_said(why))
    })
}

/// Hosts h1, h2 and h3 and a client on one LAN, each host with a folder of files and one for its state.
struct Site {
    lan: Lan,
    hosts: Vec<Place>,
    client: Host,
    client_nic: Nic,
    folder: PathBuf,
}

struct Place {
    host: Host,
    nic: Nic,
    port: Port,
}

type Outcome<T = ()> = Result<T, String>;

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn text(error: impl ToString) -> String {
    error.to_string()
}

fn vip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 3, last)
}

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  type: LoadBalancer\n  ports: [{{port: 80}}]\n"
    )
}

impl Site {
    async fn new(name: &str) -> Outcome<Self> {
        let build = async {
            let lan = Lan::new().await?;
            let bridge = lan.bridge(&Nic::new("br0", vip(1))).await?;
            let client = Host::new("c").await?;
            let client_nic = Nic::new("eth0", vip(100));
            lan.plug(&client, bridge, &client_nic).await?;
            let mut hosts = Vec::new();
            for number in 1..=3 {
                let host = Host::new(&format!("h{number}")).await?;
                let nic = Nic::new("eth0", vip(10 + number));
                let port = lan.plug(&host, bridge, &nic).await?;
                hosts.push(Place { host, nic, port });
            }
            Ok::<_, LabError>((lan, hosts, client, client_nic))
        };
        let (lan, hosts, client, client_nic) = build.await.map_err(text)?;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hosts").join(name);
        let _ = fs::remove_dir_all(&folder);
        for place in &hosts {
            fs::create_dir_all(folder.join(place.host.name()).join("files")).map_err(text)?;
        }
        Ok(Self { lan, hosts, client, client_nic, folder })
    }

    fn home(&self, host: usize) -> PathBuf {
        self.folder.join(self.hosts[host].host.name())
    }

    /// Why a test has failed, and the logs of all hosts.
    fn hosts_said(&self, why: String) -> String {
        let said = self.hosts.iter().enumerate().map(|(host, place)| {
            let log = fs::read_to_string(self.home(host).join(LOG)).unwrap_or_default();
            format!("---- {} said ----\n{log}", place.host.name())
        });
        [why].into_iter().chain(said).collect::<Vec<_>>().join("\n")
    }

    fn write(&self, host: usize, services: &[&str]) {
        let all = POOL.to_owned() + &services.iter().map(|name| service(name)).collect::<String>();
        fs::write(self.home(host).join("files/all.yaml"), all).expect("a file of our own");
    }

    /// Starts `lbd run` on a host.
    async fn run(&self, host: usize, more: &[&str]) -> Outcome<Running> {
        let peers: Vec<String> = self.hosts.iter().map(|place| place.nic.address.to_string()).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
        command.current_dir(self.home(host));
        command.args(["run", "--manifests", "files", "--node-name", self.hosts[host].host.name()]);
        command.args(["--peers", &peers.join(","), "--state-dir", "state", "--control", "control"]);
        command.args(["--insecure-membership", "--http", STATUS]).args(more);
        Running::start(&self.hosts[host].host, "lbd run", command).await.map_err(text)
    }

    async fn run_all(&self, services: &[&str]) -> Outcome<Vec<Running>> {
        let mut all = Vec::new();
        for host in 0..self.hosts.len() {
            self.write(host, services);
            all.push(self.run(host, &[]).await?);
        }
        Ok(all)
    }

    /// A command of a person on a host.
    async fn command(&self, host: usize, arguments: &[&str], says: &str) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lbd"));
        command.current_dir(self.home(host)).args(arguments);
        let mut running = Running::start(&self.hosts[host].host, "lbd", command).await.map_err(text)?;
        running.says(&[says]).await.map(drop)
    }

    /// Waits until exactly one host answers for an address, and not that one; which one.
    async fn owner(&self, address: Ipv4Addr, but: Option<usize>) -> Outcome<usize> {
        let started = Instant::now();
        loop {
            let asking = Asking::default();
            let answers = who_has(&self.client, &self.client_nic, address, asking).await.map_err(text)?;
            let owners: Vec<usize> = answers
                .keys()
                .filter_map(|mac| self.hosts.iter().position(|place| place.nic.mac == *mac))
                .collect();
            match owners[..] {
                [owner] if Some(owner) != but => return Ok(owner),
                _ if started.elapsed() > PATIENCE => return Err(format!("{owners:?} answer for {address}")),
                _ => {}
            }
        }
    }

    /// What a host tells over HTTP: the code and the body.
    async fn get(&self, host: usize, path: &str) -> Outcome<(u16, String)> {
        let request = format!("GET {path} HTTP/1.0\r\nConnection: close\r\n\r\n");
        let exchange = move || async move {
            let at: SocketAddr = STATUS.parse().map_err(text)?;
            let mut stream = TcpStream::connect(at).await.map_err(text)?;
            stream.write_all(request.as_bytes()).await.map_err(text)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map_err(text)?;
            let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer of HTTP")?;
            let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("no code")?;
            Ok::<_, String>((code, body.to_owned()))
        };
        self.hosts[host].host.run(exchange).await.map_err(text)?
    }

    /// How many deaths a host has declared, and how many moves it has seen, as its metrics have it.
    async fn deaths_and_moves(&self, host: usize) -> Outcome<Vec<String>> {
        let (_, metrics) = self.get(host, "/metrics").await?;
        let counted = ["lbd_speaker_deaths_total ", "lbd_speaker_moves_total "];
        let lines = metrics.lines().filter(|line| counted.iter().any(|name| line.starts_with(name)));
        Ok(lines.map(str::to_owned).collect())
    }

    /// Waits until a host tells what is looked for.
    async fn tells(&self, host: usize, path: &str, is_it: impl Fn(u16, &str) -> bool) -> Outcome<String> {
        let started = Instant::now();
        loop {
            let told = self.get(host, path).await;
            match told {
                Ok((code, body)) if is_it(code, &body) => return Ok(body),
                _ if started.elapsed() > PATIENCE => return Err(format!("{path} on host {host}: {told:?}")),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Waits until a host says that a Service has one of these addresses; which one.
    async fn address_of(&self, host: usize, service: &str, addresses: &[u8]) -> Outcome<u8> {
        let addresses: Vec<(String, u8)> =
            addresses.iter().map(|last| (vip(*last).to_string(), *last)).collect();
        let of = |body: &str| {
            let all: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
            let has =
                |it: &&Value| it["services"].as_array().is_some_and(|all| all.contains(&service.into()));
            let address = all.iter().find(has)?["address"].as_str()?.to_owned();
            addresses.iter().find(|(text, _)| *text == address).map(|(_, last)| *last)
        };
        let body = self.tells(host, "/v1/addresses", |_, body| of(body).is_some()).await?;
        of(&body).ok_or_else(|| body.clone())
    }

    /// Waits until these hosts say the same of a Service's address, which is one of these; which one.
    async fn agreed_address(&self, hosts: &[usize], service: &str, addresses: &[u8]) -> Outcome<u8> {
        let started = Instant::now();
        loop {
            let mut told = Vec::new();
            for host in hosts {
                told.push(self.address_of(*host, service, addresses).await?);
            }
            told.dedup();
            match told[..] {
                [one] => return Ok(one),
                _ if started.elapsed() > PATIENCE => return Err(format!("{service} has {told:?}")),
                _ => {}
            }
        }
    }

    /// Waits until each of these hosts says that a Service has an address.
    async fn has(&self, hosts: &[usize], service: &str, address: u8) -> Outcome {
        for host in hosts {
            let is_it = |_: u16, body: &str| {
                let all: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
                let has =
                    |it: &&Value| it["services"].as_array().is_some_and(|all| all.contains(&service.into()));
                let addresses: Vec<&Value> = all.iter().filter(has).map(|it| &it["address"]).collect();
                addresses == [&Value::from(vip(address).to_string())]
            };
            self.tells(*host, "/v1/addresses", is_it).await?;
        }
        Ok(())
    }
}

/// Waits until the name of an owner is what all hosts say.
async fn ready(site: &Site) -> Outcome {
    for host in 0..site.hosts.len() {
        if let Err(why) = site.tells(host, "/readyz", |code, _| code == 200).await {
            return Err(format!("{why}: {:?}", site.get(host, "/v1/status").await));
        }
    }
    agreed(site).await
}

/// Waits until all hosts tell of the same owners. On a busy machine one may begin before it has heard the others, and claim
/// what another one has claimed; that is settled as soon as they hear each other.
async fn agreed(site: &Site) -> Outcome {
    let started = Instant::now();
    loop {
        let mut told = Vec::new();
        for host in 0..site.hosts.len() {
            let (_, body) = site.get(host, "/v1/addresses").await?;
            let all: Vec<Value> = serde_json::from_str(&body).map_err(text)?;
            let owner = |it: &Value| [it["address"].clone(), it["owner"].clone(), it["epoch"].clone()];
            told.push(all.iter().map(owner).collect::<Vec<_>>());
        }
        let is_whole = told[0].iter().flatten().all(|it| !it.is_null());
        if is_whole && told.iter().all(|it| *it == told[0]) {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(format!("they do not agree: {told:?}"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn same_addresses(site: &Site) -> Outcome {
    let _all = site.run_all(&["a", "b", "c"]).await?;
    for (service, last) in [("default/a", 200), ("default/b", 201), ("default/c", 202)] {
        site.has(&[0, 1, 2], service, last).await?;
        site.owner(vip(last), None).await?;
    }
    Ok(())
}

async fn killed(site: &Site) -> Outcome {
    let mut all = site.run_all(&["a"]).await?;
    ready(site).await?;
    let owner = site.owner(vip(200), None).await?;
    let watch = Watch::start(&site.client, &site.client_nic, vip(200)).await.map_err(text)?;
    all[owner].kill()?;
    let next = site.owner(vip(200), Some(owner)).await?;
    let gap = watch.story().longest_gap().map(|(gap, _)| gap).unwrap_or_default();
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "     unanswered for {gap:?}");
    let body =
        site.tells(next, "/metrics", |_, body| body.contains("failover_duration_seconds_count 1")).await?;
    if !body.contains("lbd_speaker_members{state=\"silent\"} 1") {
        return Err(format!("the dead one is not told of: {body}"));
    }
    Ok(())
}

/// Those that watch the owner stand still for longer than it takes to notice a death: what they missed is no silence.
async fn frozen_watchers(site: &Site) -> Outcome {
    let mut all = site.run_all(&["a"]).await?;
    ready(site).await?;
    let owner = site.owner(vip(200), None).await?;
    let watch = Watch::start(&site.client, &site.client_nic, vip(200)).await.map_err(text)?;
    let has = |what: &'static str| move |_: u16, body: &str| body.contains(what);
    for watcher in (0..3).filter(|host| *host != owner) {
        // It may have been the one that noticed that the other watcher stood still.
        let before = site.deaths_and_moves(watcher).await?;
        all[watcher].freeze(true)?;
        site.tells(owner, "/metrics", has("lbd_speaker_members{state=\"silent\"} 1")).await?;
        all[watcher].freeze(false)?;
        for host in [owner, watcher] {
            site.tells(host, "/metrics", has("lbd_speaker_members{state=\"alive\"} 2")).await?;
        }
        let after = site.deaths_and_moves(watcher).await?;
        if before.len() != 2 || before != after {
            return Err(format!("{before:?} before it was frozen, {after:?} after that"));
        }
    }
    let (_, body) = site.get(owner, &format!("/v1/addresses/{}", vip(200))).await?;
    let told: Value = serde_json::from_str(&body).map_err(text)?;
    let answerers = watch.story().answerers();
    let is_right = told["history"].as_array().is_some_and(|owners| owners.len() == 1)
        && answerers == [site.hosts[owner].nic.mac];
    if is_right { Ok(()) } else { Err(format!("{answerers:?} answered: {told:#}")) }
}

async fn drained(site: &Site) -> Outcome {
    let _all = site.run_all(&["a"]).await?;
    ready(site).await?;
    let owner = site.owner(vip(200), None).await?;
    let watch = Watch::start(&site.client, &site.client_nic, vip(200)).await.map_err(text)?;
    site.command(owner, &["drain", "--socket", "control"], "other hosts take over").await?;
    let next = site.owner(vip(200), Some(owner)).await?;
    let gap = watch.story().longest_gap().map(|(gap, _)| gap).unwrap_or_default();
    if gap > Duration::from_millis(100) {
        return Err(format!("nobody answered for {gap:?}"));
    }
    site.command(owner, &["undrain", "--socket", "control"], "may answer again").await?;
    let stays = site.owner(vip(200), None).await?;
    if stays == next { Ok(()) } else { Err("it has moved back".to_owned()) }
}

async fn stopped(site: &Site) -> Outcome {
    let mut all = site.run_all(&["a"]).await?;
    ready(site).await?;
    let owner = site.owner(vip(200), None).await?;
    let watch = Watch::start(&site.client, &site.client_nic, vip(200)).await.map_err(text)?;
    let code = all[owner].stop()?;
    site.owner(vip(200), Some(owner)).await?;
    let gap = watch.story().longest_gap().map(|(gap, _)| gap).unwrap_or_default();
    match code {
        Some(0) if gap < Duration::from_millis(100) => Ok(()),
        _ => Err(format!("it ended with {code:?}, and nobody answered for {gap:?}")),
    }
}

async fn check_fails(site: &Site) -> Outcome {
    let mut all = Vec::new();
    for host in 0..3 {
        site.write(host, &["a"]);
        fs::write(site.home(host).join("works"), "").map_err(text)?;
        all.push(site.run(host, &["--check", "default/a=test -e works"]).await?);
    }
    ready(site).await?;
    let owner = site.owner(vip(200), None).await?;
    fs::remove_file(site.home(owner).join("works")).map_err(text)?;
    all[owner].says(&["default/a", "its check fails"]).await?;
    let next = site.owner(vip(200), Some(owner)).await?;
    let address = format!("/v1/addresses/{}", vip(200));
    site.tells(next, &address, |_, body| body.contains("CheckFails")).await?;
    // Whoever works again takes nothing back.
    fs::write(site.home(owner).join("works"), "").map_err(text)?;
    all[owner].says(&["default/a", "its check succeeds again"]).await?;
    site.tells(next, &address, |_, body| !body.contains("CheckFails")).await?;
    let stays = site.owner(vip(200), None).await?;
    if stays == next { Ok(()) } else { Err("it has moved back".to_owned()) }
}

async fn joins(site: &Site) -> Outcome {
    site.write(0, &["b", "a"]);
    let _first = site.run(0, &[]).await?;
    site.has(&[0], "default/b", 200).await?;
    site.has(&[0], "default/a", 201).await?;
    // By itself it would give them the other way round.
    site.write(1, &["a", "b"]);
    let _second = site.run(1, &[]).await?;
    site.has(&[0, 1], "default/b", 200).await?;
    site.has(&[0, 1], "default/a", 201).await
}

async fn apart(site: &Site) -> Outcome {
    site.lan.cut(&site.hosts[1].port).await.map_err(text)?;
    site.write(0, &["web"]);
    let mut first = site.run(0, &[]).await?;
    site.has(&[0], "default/web", 200).await?;
    site.write(1, &["other", "web"]);
    let mut second = site.run(1, &[]).await?;
    site.has(&[1], "default/other", 200).await?;
    site.has(&[1], "default/web", 201).await?;
    site.lan.heal(&site.hosts[1].port).await.map_err(text)?;
    site.has(&[0, 1], "default/web", 200).await?;
    // It was found out on the wire, or by what the other host tells.
    second.says(&["default/other", "192.168.3.200", "another"]).await?;
    site.address_of(1, "default/other", &[201, 202]).await?;
    // What only one of them has is given to nobody else; for a moment it may be, where it is given at the same time.
    site.write(0, &["web", "more"]);
    let started = Instant::now();
    loop {
        let more = site.address_of(0, "default/more", &[201, 202, 203]).await?;
        let other = site.address_of(1, "default/other", &[201, 202, 203]).await?;
        if more != other {
            break;
        }
        if started.elapsed() > PATIENCE {
            return Err(format!("both have {more}"));
        }
    }
    site.has(&[0, 1], "default/web", 200).await?;
    match first.count("ClearAssignment") {
        0 => Ok(()),
        _ => Err("the older hold was moved away".to_owned()),
    }
}

async fn wish_changes(site: &Site) -> Outcome {
    let _all = site.run_all(&["web"]).await?;
    site.has(&[0, 1, 2], "default/web", 200).await?;
    for host in 0..3 {
        let wish = service("web")
            .replace("{name: web}", "{name: web, annotations: {metallb.io/loadBalancerIPs: 192.168.3.205}}");
        fs::write(site.home(host).join("files/all.yaml"), POOL.to_owned() + &wish).map_err(text)?;
        site.has(&[host], "default/web", 205).await?;
    }
    site.has(&[0, 1, 2], "default/web", 205).await?;
    site.owner(vip(205), None).await?;
    // And it is gone when all say so.
    for host in 0..3 {
        site.write(host, &[]);
    }
    for host in 0..3 {
        site.tells(host, "/v1/addresses", |_, body| body == "[]").await?;
    }
    Ok(())
}

async fn ghosts(site: &Site) -> Outcome {
    let mut all = site.run_all(&["a"]).await?;
    site.has(&[0, 1, 2], "default/a", 200).await?;
    all[2].stop()?;
    for host in 0..2 {
        site.write(host, &["b"]);
    }
    // Which one that is depends on whose files changed first; what counts is that it stays once they agree.
    let b = site.agreed_address(&[0, 1], "default/b", &[200, 201, 202]).await?;
    site.write(2, &["b", "a"]);
    all[2] = site.run(2, &[]).await?;
    site.has(&[2], "default/b", b).await?;
    site.address_of(2, "default/a", &[200, 201, 202, 203]).await?;
    site.has(&[0, 1], "default/b", b).await?;
    match all[0].count("gives up") + all[1].count("gives up") {
        0 => Ok(()),
        _ => Err(format!("something was taken away: {:#?}", all[0].seen)),
    }
}

async fn overlap(site: &Site) -> Outcome {
    let _all = site.run_all(&["a"]).await?;
    ready(site).await?;
    let owner = site.owner(vip(200), None).await?;
    // It keeps its carrier, and goes on answering whoever may be there.
    site.lan.mute(&site.hosts[owner].port, true).await.map_err(text)?;
    site.owner(vip(200), Some(owner)).await?;
    site.lan.mute(&site.hosts[owner].port, false).await.map_err(text)?;
    site.tells(owner, "/metrics", |_, body| body.contains("lbd_speaker_overlaps_total 1")).await.map(drop)
}

async fn crash_of_all(site: &Site) -> Outcome {
    let mut all = site.run_all(&["b", "a"]).await?;
    site.has(&[0, 1, 2], "default/a", 201).await?;
    ready(site).await?;
    // They have run for a while: what each knows of the others is on disk, and which one has the address.
    let claimed = format!("\"{}\":", vip(201));
    let state = |host| fs::read_to_string(site.home(host).join("state/speaker.state")).unwrap_or_default();
    let claims =
        |host: &usize| state(*host).split_once("\"claims\":").is_some_and(|it| it.1.contains(&claimed));
    let knows_others = |host| {
        let state = state(host);
        site.hosts.iter().filter(|place| state.contains(&place.nic.mac.to_string())).count() >= 2
    };
    let started = Instant::now();
    let before = loop {
        // In the first minute of an address it may still go to a host that has fewer.
        let owner = site.owner(vip(201), None).await?;
        let claimants: Vec<usize> = (0..3).filter(claims).collect();
        if claimants == [owner] && (0..3).all(knows_others) {
            break owner;
        }
        if started.elapsed() > PATIENCE {
            let states: Vec<String> = (0..3).map(state).collect();
            return Err(format!("host {owner} has it, and {claimants:?} claim it on disk: {states:#?}"));
        }
    };
    for running in &mut all {
        running.kill()?;
    }
    let _all = site.run_all(&["a", "b"]).await?;
    site.has(&[0, 1, 2], "default/a", 201).await?;
    site.has(&[0, 1, 2], "default/b", 200).await?;
    let after = site.owner(vip(201), None).await?;
    if before == after { Ok(()) } else { Err(format!("host {before} had it, and host {after} has it")) }
}

async fn damaged(site: &Site) -> Outcome {
    site.write(0, &["a"]);
    let mut running = site.run(0, &[]).await?;
    site.has(&[0], "default/a", 200).await?;
    running.stop()?;
    for name in ["holds.state", "speaker.state"] {
        let path = site.home(0).join("state").join(name);
        let mut bytes = fs::read(&path).map_err(text)?;
        *bytes.last_mut().ok_or("it is empty")? ^= 1;
        fs::write(path, bytes).map_err(text)?;
    }
    let mut running = site.run(0, &[]).await?;
    running.says(&["holds.state", "is damaged", "set aside as", "holds.state.unreadable"]).await?;
    running.says(&["speaker.state", "is damaged", "set aside as", "speaker.state.unreadable"]).await?;
    site.has(&[0], "default/a", 200).await
}

async fn told_over_http(site: &Site) -> Outcome {
    let mut all = site.run_all(&["a"]).await?;
    ready(site).await?;
    let first = site.owner(vip(200), None).await?;
    all[first].kill()?;
    let next = site.owner(vip(200), Some(first)).await?;
    let path = format!("/v1/addresses/{}", vip(200));
    let (first, next_name) =
        (site.hosts[first].host.name().to_owned(), site.hosts[next].host.name().to_owned());
    let (_, body) = site.get(next, &path).await?;
    let told: Value = serde_json::from_str(&body).map_err(text)?;
    let history: Vec<&Value> =
        told["history"].as_array().into_iter().flatten().map(|it| &it["owner"]).collect();
    let silent = told["passed_over"].as_array().or(told["passedOver"].as_array()).into_iter().flatten();
    let silent: Vec<&Value> = silent.filter(|it| it["reason"] == "Silent").map(|it| &it["node"]).collect();
    let is_right = told["owner"] == next_name.as_str()
        && told["why"]["node"] == first.as_str()
        && history == [first.as_str(), next_name.as_str()]
        && silent == [first.as_str()]
        && told["candidates"].as_array().is_some_and(|all| all.len() == 2);
    if !is_right {
        for running in &mut all {
            running.count("");
            eprintln!("{:#?}", running.seen);
        }
        return Err(format!("{told:#}"));
    }
    for (path, code) in
        [("/v1/addresses/10.0.0.1", 404), ("/v1/addresses/x", 400), ("/healthz", 200), ("/x", 404)]
    {
        site.tells(next, path, |it, _| it == code).await?;
    }
    let body = site.tells(next, "/v1/status", |code, _| code == 200).await?;
    let status: Value = serde_json::from_str(&body).map_err(text)?;
    let alive = status["members"].as_array().map(|all| all.iter().filter(|it| it["alive"] == true).count());
    if alive == Some(1) && status["ready"] == true { Ok(()) } else { Err(format!("{status:#}")) }
}

async fn without_key(site: &Site) -> Outcome {
    site.write(0, &["a"]);
    site.command(0, &["run", "--manifests", "files", "--peers", "192.168.3.12"], "--insecure-membership")
        .await
}
