//! What the command line says of a cluster that runs: through the API server to the pods, or by the addresses of the
//! processes.

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::{Cluster, lbd};
use crate::object::{Object, service};
use crate::page::Shell;
use crate::plane::{Kind, Plane};
use crate::site::SERVER;
use crate::wait::until;
use crate::worlds::{one_pool, served};

const NODES: [&str; 3] = ["n1", "n2", "n3"];

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("status_tells_who_answers_and_what_waits", status),
        case("explain_says_what_the_lan_answers_to_another_speaker", lan),
        case("a_station_that_answers_beside_the_owner_is_told_of", stranger),
        case("history_knows_who_died", history),
        case("check_and_plan_see_what_is_wrong_and_what_would_change", plan),
        case("which_services_count_is_asked_of_the_controller_that_runs", class).only_on(Kind::Real),
        case("who_may_only_read_sees_all_and_who_may_nothing_is_told", rights).only_on(Kind::Real),
        case("without_speakers_the_objects_tell_who_answers", objects).only_on(Kind::Real),
    ]
}

/// Makes the objects of our own pods: there is no kubelet here that would.
async fn pods(cluster: &Cluster) -> Result {
    if cluster.kind() == Kind::Embedded {
        return Ok(());
    }
    for node in &cluster.site.nodes {
        pod(cluster, &format!("lbd-speaker-{}", node.name()), node.name(), node.nic.address.into()).await?;
    }
    pod(cluster, "lbd-controller-0", "n1", SERVER.into()).await
}

async fn pod(cluster: &Cluster, name: &str, node: &str, address: IpAddr) -> Result {
    let component = if name.contains("speaker") { "speaker" } else { "controller" };
    let port = if component == "speaker" { 7948 } else { 7949 };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "metallb-system", "labels": {
            "app.kubernetes.io/name": "lbd", "app.kubernetes.io/component": component,
        }},
        "spec": {
            "nodeName": node, "serviceAccountName": format!("lbd-{component}"),
            "containers": [{"name": component, "image": "lbd", "env": [
                {"name": "LBD_HTTP", "value": format!("[::]:{port}")},
            ]}],
        },
    });
    cluster.create(&Object(pod)).await?;
    let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}});
    let pods = crate::object::api(&cluster.client(), "Pod", "metallb-system");
    pods.patch_status(name, &kube::api::PatchParams::default(), &kube::api::Patch::Merge(status)).await?;
    Ok(())
}

/// How the command line finds everybody.
fn way(cluster: &Cluster) -> Vec<String> {
    match &cluster.plane {
        Plane::Real(real) => vec!["--kubeconfig".to_owned(), real.admin().to_string_lossy().into_owned()],
        Plane::Embedded(_) => {
            let speakers = cluster.site.nodes.iter().map(|node| SocketAddr::from((node.nic.address, 7948)));
            let all = speakers.chain([SocketAddr::from((SERVER, 7949))]);
            all.flat_map(|at| ["--at".to_owned(), at.to_string()]).collect()
        }
    }
}

async fn run(arguments: &[&str], way: &[String]) -> Result<Output> {
    let mut command = Command::new(lbd()?);
    command.args(arguments).args(way);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

async fn json_of(cluster: &Cluster, arguments: &[&str]) -> Result<Value> {
    let output = run(&[arguments, &["-o", "json"]].concat(), &way(cluster)).await?;
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).map_err(|why| format!("{arguments:?}: {why}: {error}").into())
}

fn texts(report: &Value) -> Vec<&str> {
    report["problems"].as_array().into_iter().flatten().filter_map(|it| it["text"].as_str()).collect()
}

async fn status(cluster: &mut Cluster) -> Result {
    pods(cluster).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    cluster.create(&service("lost").annotation("metallb.io/address-pool", "nosuch")).await?;
    cluster.pending("lost", "nosuch").await?;
    let owner = cluster.announcer(address).await?;
    let mac = cluster.site.node(&owner)?.nic.mac.to_string();
    let report = json_of(cluster, &["status"]).await?;
    let services = report["services"].as_array().ok_or("no services")?;
    let web = services.iter().find(|it| it["service"] == "default/web").ok_or(format!("{report:#}"))?;
    let shown = &web["addresses"][0];
    assert_eq!(shown["address"], json!(address), "{report:#}");
    assert_eq!((&shown["node"], &shown["pool"]), (&json!(owner), &json!("default")), "{report:#}");
    assert_eq!(shown["interfaces"], json!([{"name": "eth0", "mac": mac}]), "{report:#}");
    assert!(shown["since"].is_string() && shown["why"].is_string(), "{report:#}");
    let found = texts(&report);
    assert!(found.iter().any(|it| it.contains("default/lost") && it.contains("nosuch")), "{found:?}");
    assert!(!found.iter().any(|it| it.contains("cannot be asked") || it.contains("may not")), "{found:?}");
    let ready = report["members"].as_array().into_iter().flatten().filter(|it| it["state"] == "ready");
    assert_eq!(ready.count(), 3, "{report:#}");
    assert_eq!(report["pools"][0]["ipv4"]["used"], 1, "{report:#}");
    // For people it is the same, and on no terminal there is no colour.
    let text = run(&["status"], &way(cluster)).await?;
    let text = String::from_utf8_lossy(&text.stdout);
    let row = text.lines().find(|line| line.starts_with("default/web")).unwrap_or_default();
    assert!(row.contains(&owner) && row.contains(&mac), "{text}");
    assert!(text.starts_with("error") && !text.contains('\x1b'), "{text}");
    Ok(())
}

async fn lan(cluster: &mut Cluster) -> Result {
    pods(cluster).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let owner = cluster.announcer(address).await?;
    let explained = json_of(cluster, &["explain", "default/web"]).await?;
    let lan = &explained["owners"][0]["lan"];
    assert!(lan["askedBy"].is_string() && lan["askedBy"] != json!(owner), "{explained:#}");
    let stations = lan["found"]["stations"].as_array().ok_or(format!("{explained:#}"))?;
    assert_eq!(stations.len(), 1, "{explained:#}");
    assert_eq!(stations[0]["mac"], json!(cluster.site.node(&owner)?.nic.mac.to_string()), "{explained:#}");
    let candidates = explained["owners"][0]["ownership"]["candidates"].as_array().map(Vec::len);
    assert_eq!(candidates, Some(3), "{explained:#}");
    let text = run(&["explain", "default/web"], &way(cluster)).await?;
    let text = String::from_utf8_lossy(&text.stdout);
    assert!(text.contains("and nobody else") && text.contains(&format!("which is {owner}'s")), "{text}");
    let unknown = run(&["explain", "default/wep"], &way(cluster)).await?;
    let error = String::from_utf8_lossy(&unknown.stderr);
    assert!(error.contains("did you mean default/web"), "{error}");
    Ok(())
}

async fn stranger(cluster: &mut Cluster) -> Result {
    pods(cluster).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let IpAddr::V4(taken) = address else { return Err("the pool is of IPv4".into()) };
    // Before that it is still asked whether somebody has it, and a claim would not be a conflict.
    cluster.announced("web").await?;
    cluster.site.plug_stranger(taken).await?;
    until("both are told of", async || {
        let text = run(&["explain", "default/web"], &way(cluster)).await?;
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        let report = json_of(cluster, &["status"]).await?;
        let told = texts(&report).iter().any(|it| it.contains("is claimed by 02:00:00:a8:03:c8"));
        let both =
            text.contains("SEVERAL ANSWER") && text.contains("02:00:00:a8:03:c8, which is not the owner's");
        if both && told { Ok(()) } else { Err(format!("{text}{report:#}").into()) }
    })
    .await?;
    cluster.site.unplug_stranger().await
}

async fn history(cluster: &mut Cluster) -> Result {
    pods(cluster).await?;
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let owner = cluster.announcer(address).await?;
    cluster.kill(&format!("speaker-{owner}"))?;
    let others: Vec<&str> = NODES.into_iter().filter(|node| *node != owner).collect();
    let next = cluster.answered_by_one_of(address, &others).await?;
    until("the move is told", async || {
        let history = json_of(cluster, &["history", &address.to_string()]).await?;
        let tenures = history["tenures"].as_array().cloned().unwrap_or_default();
        let owners: Vec<&Value> = tenures.iter().map(|it| &it["owner"]).collect();
        let reason = tenures.last().map(|it| it["why"]["reason"].clone());
        if owners == [&json!(owner), &json!(next)] && reason == Some(json!("Died")) {
            Ok(())
        } else {
            Err(format!("{history:#}").into())
        }
    })
    .await?;
    let report = json_of(cluster, &["status"]).await?;
    let dead = report["members"].as_array().into_iter().flatten().find(|it| it["node"] == json!(owner));
    // Of a process that is asked by its address alone nobody knows the node once it is silent; the others say it.
    assert_eq!(dead.map(|it| &it["state"]), Some(&json!("silent")), "{report:#}");
    assert!(texts(&report).iter().any(|it| it.contains("cannot be asked")), "{report:#}");
    Ok(())
}

async fn plan(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    cluster.create(&service("lost").annotation("metallb.io/address-pool", "second")).await?;
    cluster.pending("lost", "second").await?;
    let way = match &cluster.plane {
        Plane::Real(_) => way(cluster),
        Plane::Embedded(_) => cluster.plane.way(crate::role::Role::Controller),
    };
    let checked = run(&["check", "--cluster"], &way).await?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{text}");
    for part in ["UnknownPool", "default/lost", "in the cluster", "metallb.io/address-pool: second"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let file = cluster.folder().join("change.yaml");
    let second = crate::object::pool("second", &["192.168.3.220/32"]);
    std::fs::write(&file, second.0.to_string())?;
    let file = file.to_string_lossy().into_owned();
    let planned = run(&["plan", "--cluster", "-f", &file, "-o", "json"], &way).await?;
    let report: Value = serde_json::from_slice(&planned.stdout)?;
    let changes = report["changes"]["services"].as_array().ok_or(format!("{report:#}"))?;
    assert_eq!(changes.len(), 1, "{report:#}");
    assert_eq!((&changes[0]["name"], &changes[0]["after"]), (&json!("lost"), &json!(["192.168.3.220"])));
    let kept = report["services"].as_array().into_iter().flatten().find(|it| it["name"] == "web");
    assert_eq!(kept.map(|it| &it["addresses"][0]["ip"]), Some(&json!(address.to_string())), "{report:#}");
    // What was foretold comes.
    cluster.create(&second).await?;
    cluster.shows("lost", &["192.168.3.220"]).await?;
    let checked = run(&["check", "--cluster"], &way).await?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && text.contains("0 of 1 IPv4 addresses are left"), "{text}");
    Ok(())
}

async fn class(cluster: &mut Cluster) -> Result {
    let class = "example.com/ours";
    cluster.restart_controller(&["--lb-class", class, "--lost-addresses", "take-away"]).await?;
    pods(cluster).await?;
    one_pool(cluster).await?;
    let unclear = |name: &str| service(name).annotation("metallb.io/address-pool", "second");
    cluster.create(&unclear("foreign")).await?;
    cluster.create(&unclear("ours").spec("loadBalancerClass", json!(class))).await?;
    cluster.pending("ours", "second").await?;
    let way = way(cluster);
    let checked = run(&["check", "--cluster"], &way).await?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(text.contains("default/ours") && !text.contains("default/foreign"), "{text}");
    let explained = json_of(cluster, &["explain", "default/ours"]).await?;
    assert_eq!(explained["pools"]["service"]["name"], json!("ours"), "{explained:#}");
    let file = cluster.folder().join("second.yaml");
    std::fs::write(&file, crate::object::pool("second", &["192.168.3.220/32"]).0.to_string())?;
    let file = file.to_string_lossy().into_owned();
    let planned = run(&["plan", "--cluster", "-f", &file], &way).await?;
    let text = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(text.contains("default/ours") && text.contains("192.168.3.220"), "{text}");
    // Who says otherwise is asked for otherwise.
    let checked = run(&["check", "--cluster", "--lb-class", "example.com/else"], &way).await?;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!text.contains("default/ours"), "{text}");
    Ok(())
}

async fn rights(cluster: &mut Cluster) -> Result {
    pods(cluster).await?;
    one_pool(cluster).await?;
    served(cluster, "web", &NODES).await?;
    let shell = Shell::new(cluster)?;
    shell.run("kubectl apply -f deploy/viewer.yaml").await?;
    let outcome = viewed(cluster).await;
    // Other cases have what kustomize installs.
    shell.run("kubectl delete -f deploy/viewer.yaml").await?;
    outcome
}

async fn viewed(cluster: &Cluster) -> Result {
    let Plane::Real(real) = &cluster.plane else { return Err("the store knows no users".into()) };
    let of = |name: &str| vec!["--kubeconfig".to_owned(), real.somebody(name).to_string_lossy().into_owned()];
    let viewer = of("viewer");
    until("the viewer may read", async || {
        let output = run(&["status", "-o", "json"], &viewer).await?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        if texts(&report).is_empty() && report["services"][0]["addresses"][0]["since"].is_string() {
            Ok(())
        } else {
            Err(format!("{report:#}").into())
        }
    })
    .await?;
    for command in [&["check", "--cluster"][..], &["explain", "default/web"], &["pools"], &["members"]] {
        let output = run(command, &viewer).await?;
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let drained = run(&["drain", "n1"], &viewer).await?;
    let error = String::from_utf8_lossy(&drained.stderr);
    assert!(!drained.status.success() && error.contains("forbidden"), "{error}");
    let nobody = of("stranger");
    for command in [&["check", "--cluster"][..], &["explain", "default/web"], &["status"], &["pools"]] {
        let began = Instant::now();
        let output = run(command, &nobody).await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("forbidden") || said.contains("may not"), "{command:?}: {said}");
        assert!(said.contains("lbd-viewer") || command[0] == "pools", "{command:?}: {said}");
        assert!(began.elapsed() < Duration::from_secs(5), "{command:?} took {:?}", began.elapsed());
    }
    Ok(())
}

async fn objects(cluster: &mut Cluster) -> Result {
    one_pool(cluster).await?;
    let address = served(cluster, "web", &NODES).await?;
    let owner = cluster.announcer(address).await?;
    cluster.announced("web").await?;
    let report = json_of(cluster, &["status"]).await?;
    let shown = &report["services"][0]["addresses"][0];
    assert_eq!((&shown["node"], &shown["address"]), (&json!(owner), &json!(address)), "{report:#}");
    assert_eq!(shown["interfaces"][0]["mac"], json!(cluster.site.node(&owner)?.nic.mac.to_string()));
    assert!(texts(&report).iter().any(|it| it.contains("No pod of lbd")), "{report:#}");
    let text = Shell::new(cluster)?.run("kubectl lb status").await?;
    assert!(text.lines().any(|line| line.starts_with("default/web") && line.contains(&owner)), "{text}");
    Ok(())
}
