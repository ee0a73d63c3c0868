//! The steps of the walkthrough, each with what the client sees of it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{expect, nobody_answers, one_answers, page, vip};
use super::failover;
use super::lan::DemoLan;
use super::screen::{Screen, Seen, millis, rounded};
use super::world::World;
use crate::exit::{Failure, Outcome};

const CONFIG_MAP: &str = include_str!("../../../examples/walkthrough/pool-configmap.yaml");
const POOL: &str = include_str!("../../../examples/walkthrough/pool-crd.yaml");
const GATEWAYS: &str = include_str!("../../../examples/walkthrough/gateways.yaml");
const NGINX: &str = include_str!("../../../examples/walkthrough/nginx.yaml");
const MANY_RANGES: &str = include_str!("../../../examples/walkthrough/pool-many-ranges.yaml");
const PINNED: &str = include_str!("../../../examples/walkthrough/pinned.yaml");
const FIFTH: &str = include_str!("../../../examples/walkthrough/fifth.yaml");
const FAR: &str = include_str!("../../../examples/walkthrough/many-ranges-services.yaml");

pub(super) async fn tell(screen: &Screen, lan: &DemoLan) -> Outcome {
    let start = World::start(lan, 10);
    let world = &mut screen.waiting("starting the store, the controller and three speakers", start).await?;
    screen.step(1, "The pool, from the v0.12 ConfigMap and from today's objects", pool(world)).await?;
    screen.step(2, "Two gateways hold the first two addresses", gateways(world)).await?;
    screen.step(3, "nginx gets an address", nginx(world)).await?;
    screen.step(4, "The client finds nginx: one MAC, one page", reach(world)).await?;
    screen.step(5, "A fourth Service asks for .254 by name", pinned(world)).await?;
    screen.step(6, "A fifth Service finds the pool full, and says why", fifth(world)).await?;
    screen.step(7, "In a world of its own: many ranges, in no node's subnet", many_ranges(lan)).await?;
    screen.step(8, "nginx is deleted: its address goes to the one that waits", delete(world)).await?;
    screen
        .step(9, "A node dies, another is drained, and the LAN splits and heals", failover::step(world))
        .await
}

async fn pool(world: &mut World<'_>) -> Result<Seen, Failure> {
    let mut facts = Vec::new();
    let mut lines = Vec::new();
    for (name, text) in [("pool-configmap.yaml", CONFIG_MAP), ("pool-crd.yaml", POOL)] {
        world.apply(name, text).await?;
        let said = world.controller_says("pool loaded").await?;
        let (pool, addresses, source) =
            (text_of(&said["pool"]), text_of(&said["addresses"]), text_of(&said["source"]));
        expect(pool == "default" && addresses == "192.168.3.251-192.168.3.254", || {
            format!("the controller says {said}")
        })?;
        lines.push(format!("{name} → the controller loads pool {pool:?}, {addresses}, from {source}"));
        facts.push(json!({"file": name, "pool": pool, "addresses": addresses, "source": source}));
        if source == "ConfigMap" {
            world.delete(name, text).await?;
        }
    }
    for last in 251..=254 {
        nobody_answers(world.lan(), vip(last)).await?;
    }
    lines.push("The client asks for .251 to .254: nobody answers, nobody has them yet".to_owned());
    Ok(Seen { lines, facts: json!({"loaded": facts, "answers": 0}) })
}

async fn gateways(world: &mut World<'_>) -> Result<Seen, Failure> {
    let started = Instant::now();
    world.apply("gateways.yaml", GATEWAYS).await?;
    let mut given = Vec::new();
    for (name, last) in [("istio-ingressgateway", 251), ("istio-eastwestgateway", 252)] {
        let address = external_ip(world, "istio-system", name).await?;
        expect(address == vip(last), || format!("{name} got {address}"))?;
        given.push((name, address, started.elapsed()));
    }
    let mut lines = Vec::new();
    let mut facts = Vec::new();
    for (name, address, took) in given {
        let (node, _) = one_answers(world.lan(), address).await?;
        lines.push(format!("{name}: {address} after {} ms, answered by {}", millis(took), node.name()));
        facts.push(json!({"service": name, "address": address, "node": node.name(), "mac": node.nic.mac.to_string()}));
    }
    Ok(Seen { lines, facts: json!({"services": facts}) })
}

async fn nginx(world: &mut World<'_>) -> Result<Seen, Failure> {
    let started = Instant::now();
    world.apply("nginx.yaml", NGINX).await?;
    let address = external_ip(world, "default", "nginx").await?;
    let took = started.elapsed();
    expect(address == vip(253), || format!("nginx got {address}"))?;
    expect(took < Duration::from_secs(1), || format!("it took {took:?}"))?;
    let (pool, node) =
        (world.event("nginx", "IPAllocated").await?, world.event("nginx", "nodeAssigned").await?);
    route(world, NGINX, address).await?;
    Ok(Seen {
        lines: vec![
            format!("EXTERNAL-IP {address} after {} ms", millis(took)),
            format!("event IPAllocated: {pool}"),
            format!("event nodeAssigned: {node}"),
        ],
        facts: json!({"address": address, "assigned_ms": rounded(took), "events": [pool, node]}),
    })
}

async fn reach(world: &mut World<'_>) -> Result<Seen, Failure> {
    let (node, took) = one_answers(world.lan(), vip(253)).await?;
    let announced = world.event("nginx", "nodeAssigned").await?;
    expect(announced.contains(&format!("{:?}", node.name())), || {
        format!("{} answers, but {announced}", node.name())
    })?;
    let (name, mac) = (node.name().to_owned(), node.nic.mac);
    let page = page(world.lan(), vip(253)).await?;
    expect(page.contains("nginx") && page.contains(&name), || format!("the page says {page:?}"))?;
    Ok(Seen {
        lines: vec![
            format!("who has 192.168.3.253?  {mac} ({name}), in {} µs, and nobody else", took.as_micros()),
            format!("GET http://192.168.3.253/  {page:?}"),
        ],
        facts: json!({"address": vip(253), "mac": mac.to_string(), "node": name, "arp_us": micros(took), "http": page}),
    })
}

async fn pinned(world: &mut World<'_>) -> Result<Seen, Failure> {
    let started = Instant::now();
    world.apply("pinned.yaml", PINNED).await?;
    let address = external_ip(world, "default", "pinned").await?;
    let took = started.elapsed();
    expect(address == vip(254), || format!("it got {address}"))?;
    let (node, _) = one_answers(world.lan(), address).await?;
    Ok(Seen {
        lines: vec![format!(
            "spec.loadBalancerIP: {address} → {address} after {} ms, answered by {}",
            millis(took),
            node.name()
        )],
        facts: json!({"address": address, "node": node.name(), "mac": node.nic.mac.to_string()}),
    })
}

async fn fifth(world: &mut World<'_>) -> Result<Seen, Failure> {
    world.apply("fifth.yaml", FIFTH).await?;
    let is_false = |status: &Value| condition(status).is_some_and(|condition| condition["status"] == "False");
    let status = world.service("default", "fifth", is_false).await?;
    let condition = condition(&status).cloned().unwrap_or_default();
    let event = world.event("fifth", "AllocationFailed").await?;
    expect(ip(&status).is_none(), || format!("it shows {status}"))?;
    expect(condition["reason"] == "PoolExhausted" && event.contains("all 4 in use"), || {
        format!("{condition}; {event}")
    })?;
    // Four addresses, four holders: the client still finds one MAC for each.
    for last in 251..=254 {
        one_answers(world.lan(), vip(last)).await?;
    }
    let message = text_of(&condition["message"]);
    Ok(Seen {
        lines: vec![
            "EXTERNAL-IP <pending>; the four addresses are still answered by one MAC each".to_owned(),
            format!(
                "condition {}: {}: {message}",
                text_of(&condition["type"]),
                text_of(&condition["reason"])
            ),
            format!("event AllocationFailed: {event}"),
        ],
        facts: json!({"pending": true, "reason": condition["reason"], "message": message, "event": event, "answered": 4}),
    })
}

async fn many_ranges(lan: &DemoLan) -> Result<Seen, Failure> {
    let mut world = World::start(lan, 100).await?;
    world.apply("pool-many-ranges.yaml", MANY_RANGES).await?;
    let said = world.controller_says("pool loaded").await?;
    world.apply("many-ranges-services.yaml", FAR).await?;
    let mut lines = vec![format!(
        "the controller loads pool {:?}: {}",
        text_of(&said["pool"]),
        text_of(&said["addresses"])
    )];
    let mut facts = Vec::new();
    // A router would have these routes; the client is told that both ranges are on its own wire.
    let eth0 = lan.client.net().index("eth0").await?;
    for (name, expected, net, prefix) in [
        ("near", Ipv4Addr::new(192, 168, 12, 0), Ipv4Addr::new(192, 168, 12, 0), 24),
        ("far", Ipv4Addr::new(192, 168, 144, 7), Ipv4Addr::new(192, 168, 144, 0), 20),
    ] {
        let address = external_ip(&mut world, "default", name).await?;
        expect(address == expected, || format!("{name} got {address}"))?;
        lan.client.net().add_link_route(net, prefix, eth0).await?;
        let (node, _) = one_answers(lan, address).await?;
        let service = services(FAR)?.into_iter().find(|service| service["metadata"]["name"] == name);
        world.stand_in().route(address, &service.unwrap_or_default()).await?;
        let page = page(lan, address).await?;
        expect(page.contains(name), || format!("the page says {page:?}"))?;
        lines
            .push(format!("{name}: {address}, answered by {}; GET http://{address}/  {page:?}", node.name()));
        facts.push(json!({"service": name, "address": address, "node": node.name(), "http": page}));
        world.stand_in().unroute(address).await?;
    }
    Ok(Seen { lines, facts: json!({"services": facts}) })
}

async fn delete(world: &mut World<'_>) -> Result<Seen, Failure> {
    let started = Instant::now();
    world.stand_in().unroute(vip(253)).await?;
    world.delete("nginx.yaml", NGINX).await?;
    let address = external_ip(world, "default", "fifth").await?;
    let took = started.elapsed();
    expect(address == vip(253), || format!("the fifth got {address}"))?;
    route(world, FIFTH, address).await?;
    let (node, _) = one_answers(world.lan(), address).await?;
    let name = node.name().to_owned();
    let page = page(world.lan(), address).await?;
    expect(page.contains("fifth"), || format!("the page says {page:?}"))?;
    world.stand_in().unroute(address).await?;
    world.delete("fifth.yaml", FIFTH).await?;
    nobody_answers(world.lan(), address).await?;
    Ok(Seen {
        lines: vec![
            format!(
                "the fifth Service gets {address} {} ms after the deletion, answered by {name}",
                millis(took)
            ),
            format!("GET http://{address}/  {page:?}"),
            format!("the fifth is deleted too: nobody answers for {address} any more"),
        ],
        facts: json!({"address": address, "node": name, "http": page, "answers_after_last_delete": 0}),
    })
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn micros(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round()
}

fn ip(status: &Value) -> Option<Ipv4Addr> {
    status["loadBalancer"]["ingress"][0]["ip"].as_str()?.parse().ok()
}

fn condition(status: &Value) -> Option<&Value> {
    let conditions = status["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == lbk8s::controller::CONDITION)
}

async fn external_ip(world: &mut World<'_>, namespace: &str, name: &str) -> Result<Ipv4Addr, Failure> {
    let status = world.service(namespace, name, |status| ip(status).is_some()).await?;
    Ok(ip(&status).ok_or_else(|| std::io::Error::other("the address is gone again"))?)
}

/// Lets the stand-in for kube-proxy take connections to the address for the Service of a manifest.
async fn route(world: &mut World<'_>, text: &str, address: Ipv4Addr) -> Result<(), Failure> {
    for service in services(text)? {
        world.stand_in().route(address, &service).await?;
    }
    Ok(())
}

fn services(text: &str) -> Result<Vec<Value>, Failure> {
    let mut manifests = lbk8s::manifest::Manifests::default();
    manifests.read(std::path::Path::new("walkthrough"), text);
    if let Some(error) = manifests.errors.first() {
        return Err(std::io::Error::other(error.to_string()).into());
    }
    let values = manifests.objects.into_iter().map(|manifest| manifest.value);
    Ok(values.filter(|value| value["kind"] == "Service").collect())
}
