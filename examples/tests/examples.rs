//! The examples, run.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use lbk8s::Store;
use lblab::client::{Asking, who_has};
use lblab::sandbox::Process;
use lblab::suite::{Case, main as suite};
use lblab::{Host, Lan, Nic};
use serde_json::json;
use tokio::net::TcpListener;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    suite(|| {
        vec![
            Case::new("allocate_gives_addresses_with_reasons", allocate),
            Case::new("answer_arp_answers_for_one_address_on_one_interface", answer_arp),
            Case::new("embed_gives_addresses_inside_another_controller", embed),
        ]
    })
}

async fn allocate() -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_allocate")).output()?;
    let text = String::from_utf8(output.stdout)?;
    let expected = "\
default/gateway: 192.168.3.251 from pool \"default\": the lowest free address
default/shop: 192.168.3.253 from pool \"default\": the address asked for
default/blog: 192.168.3.252 from pool \"default\": the lowest free address
default/wiki: pending: no free IPv4 address: pool \"default\" has all 3 in use
gateway is deleted
default/wiki: [192.168.3.251]
";
    if text == expected { Ok(()) } else { Err(format!("it says {text}").into()) }
}

async fn answer_arp() -> Outcome {
    let lan = Lan::new().await?;
    let bridge = lan.bridge(&Nic::new("br0", Ipv4Addr::new(192, 168, 3, 1))).await?;
    let (node, client) = (Host::new("n").await?, Host::new("c").await?);
    let nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 11));
    let client_nic = Nic::new("eth0", Ipv4Addr::new(192, 168, 3, 100));
    lan.plug(&node, bridge, &nic).await?;
    lan.plug(&client, bridge, &client_nic).await?;
    let vip = Ipv4Addr::new(192, 168, 3, 253);

    let mut command = Command::new(env!("CARGO_BIN_EXE_answer_arp"));
    command.args(["eth0", "192.168.3.253"]).stdout(Stdio::piped());
    let mut process = node.start("answer_arp", command).await?;
    first_line(&mut process)?;
    let started = Instant::now();
    loop {
        let answers = who_has(&client, &client_nic, vip, Asking::default()).await?;
        if answers.keys().copied().collect::<Vec<_>>() == [nic.mac] {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(5) {
            return Err(format!("{answers:?} answer").into());
        }
    }
}

async fn embed() -> Outcome {
    // A host of its own has a loopback interface of its own, which is up.
    let host = Host::new("h").await?;
    let listener = host.run(|| async { TcpListener::bind("127.0.0.1:0").await?.into_std() }).await??;
    let address: SocketAddr = listener.local_addr()?;
    let store = Store::default();
    let served = store.clone();
    let listener = TcpListener::from_std(listener)?;
    tokio::task::spawn_local(async move { served.serve(listener).await });
    let mut command = Command::new(env!("CARGO_BIN_EXE_embed"));
    command.arg(format!("http://{address}")).stdout(Stdio::piped());
    let mut process = host.start("embed", command).await?;
    // The line is read on a thread: the store must go on serving meanwhile.
    let process = tokio::task::spawn_blocking(move || first_line(&mut process).map(|()| process)).await??;

    let api: Api<Service> = Api::namespaced(store.client(), "default");
    let service = |name: &str, class: &str| -> Result<Service, serde_json::Error> {
        let spec = json!({"type": "LoadBalancer", "loadBalancerClass": class, "ports": [{"port": 80}]});
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))
    };
    api.create(&PostParams::default(), &service("ours", "example.com/embedded")?).await?;
    api.create(&PostParams::default(), &service("theirs", "example.com/other")?).await?;
    wait(&api, "ours", Some("198.51.100.0")).await?;
    // Deleting frees the address for the next one.
    api.delete("ours", &DeleteParams::default()).await?;
    wait(&api, "ours", None).await?;
    api.create(&PostParams::default(), &service("next", "example.com/embedded")?).await?;
    wait(&api, "next", Some("198.51.100.0")).await?;
    let theirs = api.get("theirs").await?;
    drop(process);
    match address_of(&theirs) {
        None => Ok(()),
        Some(address) => Err(format!("theirs got {address}").into()),
    }
}

fn first_line(process: &mut Process) -> std::io::Result<()> {
    let stdout = process.child().stdout.as_mut().ok_or_else(|| std::io::Error::other("no output"))?;
    let mut line = String::new();
    match BufReader::new(stdout).read_line(&mut line)? {
        0 => Err(std::io::Error::other("it ended without a word")),
        _ => Ok(()),
    }
}

fn address_of(service: &Service) -> Option<String> {
    service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.ip.clone()
}

/// Waits until the Service shows this address, or with `None` until it is gone.
async fn wait(api: &Api<Service>, name: &str, expected: Option<&str>) -> Outcome {
    let started = Instant::now();
    loop {
        let service = api.get_opt(name).await?;
        let fits = match expected {
            Some(_) => service.as_ref().and_then(address_of).as_deref() == expected,
            None => service.is_none(),
        };
        if fits {
            return Ok(());
        }
        if started.elapsed() > Duration::from_secs(10) {
            return Err(format!("{name} is {:?}", service.map(|service| service.status)).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
