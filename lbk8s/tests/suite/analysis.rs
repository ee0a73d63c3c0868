//! Questions about manifests: what a plan says is what then happens, in a shape that stays, and whatever else is
//! broken.
#![cfg(all(feature = "controller", feature = "store"))]

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use lbk8s::manifest::Manifests;
use lbk8s::manifest::apply::Applier;
use lbk8s::offline::report::{Outcome, Report};
use lbk8s::offline::{Finding, Options, World};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::cluster::Cluster;
use crate::harness::{merge, shown};

/// Reads texts as the files `0.yaml`, `1.yaml` and so on.
fn manifests(texts: &[&str]) -> Manifests {
    let mut manifests = Manifests::default();
    for (number, text) in texts.iter().enumerate() {
        manifests.read(Path::new(&format!("{number}.yaml")), text);
    }
    manifests
}

fn world(texts: &[&str]) -> World {
    World::read(manifests(texts), &Options::default())
}

/// The findings with all advice, and the report.
fn planned(world: &World) -> (Vec<Finding>, Report) {
    let plan = world.facts().plan();
    let report = Report::new(world, &plan, &world.findings(&plan, false));
    (world.findings(&plan, true), report)
}

fn report(texts: &[&str]) -> Value {
    serde_json::to_value(planned(&world(texts)).1).unwrap()
}

/// One document after the other; JSON is YAML.
fn text_of(objects: &[Value]) -> String {
    objects.iter().fold(String::new(), |mut text, object| {
        let _ = write!(text, "---\n{object}\n");
        text
    })
}

/// The addresses of each Service as the report has them, by `namespace/name`.
fn addresses(report: &Report) -> BTreeMap<String, Vec<String>> {
    let entry = |service: &lbk8s::offline::report::ServiceReport| {
        let addresses = service.addresses.iter().map(|it| it.ip.clone()).collect();
        (format!("{}/{}", service.namespace, service.name), addresses)
    };
    report.services.iter().map(entry).collect()
}

// A plan equals what then happens.

/// What is applied, in this order.
#[derive(Clone)]
struct Given {
    config: Vec<Value>,
    services: Vec<Value>,
    /// What Services show from the start, by their place in the list.
    held: Vec<Vec<String>>,
    node: Option<String>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}held: {:?}, node: {:?}",
            text_of(&self.config),
            text_of(&self.services),
            self.held,
            self.node
        )
    }
}

fn one_of(options: &'static [Value]) -> impl Strategy<Value = Value> {
    prop::sample::select(options)
}

fn given_pool(number: u8) -> impl Strategy<Value = Value> {
    let last = 0_u8..4;
    let six = any::<bool>();
    let auto = prop::bool::weighted(0.8);
    let rules = prop_oneof![
        6 => Just(Value::Null),
        1 => Just(json!({"namespaces": ["red"]})),
        1 => Just(json!({"priority": 2, "namespaceSelectors": [{"matchLabels": {"team": "blue"}}]})),
        1 => Just(json!({"priority": 1, "serviceSelectors": [{"matchLabels": {"tier": "front"}}]})),
        1 => Just(json!({"priority": 3})),
    ];
    let notes = prop_oneof![
        6 => Just(json!({})),
        1 => Just(json!({"lbd.io/state": "cordoned"})),
        1 => Just(json!({"lbd.io/state": "draining"})),
        1 => Just(json!({"lbd.io/exclude": format!("10.0.{number}.0")})),
        1 => Just(json!({"lbd.io/reserve": format!("10.0.{number}.0=*/s3")})),
    ];
    let overlapping = prop::bool::weighted(0.1);
    (last, six, auto, rules, notes, overlapping).prop_map(
        move |(last, six, auto, rules, notes, overlapping)| {
            let mut addresses = vec![format!("10.0.{number}.0-10.0.{number}.{last}")];
            if six {
                addresses.push(format!("fd00::{number}:0-fd00::{number}:{last}"));
            }
            if overlapping {
                addresses = vec!["10.0.0.0/30".to_owned()];
            }
            let mut spec = json!({"addresses": addresses, "autoAssign": auto});
            if !rules.is_null() {
                spec["serviceAllocation"] = rules;
            }
            json!({
                "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
                "metadata": {"name": format!("p{number}"), "namespace": "metallb-system", "annotations": notes},
                "spec": spec,
            })
        },
    )
}

fn given_service() -> impl Strategy<Value = Value> {
    const FAMILIES: usize = 6;
    let families = (0..FAMILIES).prop_map(|number| match number {
        0 => json!({}),
        1 => json!({"ipFamilies": ["IPv6"]}),
        2 => json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}),
        3 => json!({"ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "RequireDualStack"}),
        4 => json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"}),
        _ => json!({"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}),
    });
    let request = prop_oneof![
        8 => Just(json!({})),
        1 => (0_u8..4, 0_u8..4).prop_map(|(pool, last)| json!({"spec": {"loadBalancerIP": format!("10.0.{pool}.{last}")}})),
        1 => (0_u8..4, 0_u8..4).prop_map(|(pool, last)| {
            let addresses = format!("10.0.{pool}.{last},fd00::{pool}:{last}");
            json!({"metadata": {"annotations": {"metallb.io/loadBalancerIPs": addresses}}})
        }),
        2 => (0_u8..5).prop_map(|pool| json!({"metadata": {"annotations": {"metallb.universe.tf/address-pool": format!("p{pool}")}}})),
        1 => Just(json!({"spec": {"loadBalancerIP": "frog"}})),
        1 => Just(json!({"spec": {"type": "ClusterIP"}})),
        1 => Just(json!({"spec": {"loadBalancerClass": "example.com/other"}})),
    ];
    let sharing = prop_oneof![
        3 => Just(json!({})),
        1 => Just(json!({"metadata": {"annotations": {"metallb.io/allow-shared-ip": "x"}}})),
        1 => Just(json!({"metadata": {"annotations": {"metallb.io/allow-shared-ip": "x"}}, "spec": {"externalTrafficPolicy": "Local"}})),
    ];
    let port = one_of(Box::leak(Box::new([json!(80), json!(81), json!(82)])));
    let front = any::<bool>();
    let namespace = prop::sample::select(vec!["red", "azure", "default"]);
    (families, request, sharing, port, front, namespace).prop_map(
        |(families, request, sharing, port, front, namespace)| {
            let mut service = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "annotations": {}},
                "spec": {"type": "LoadBalancer", "ports": [{"port": port, "protocol": "TCP"}]},
            });
            merge(&mut service["spec"], &families);
            merge(&mut service, &request);
            merge(&mut service, &sharing);
            if service["spec"]["type"] == "ClusterIP" {
                // The server refuses it.
                service["spec"].as_object_mut().unwrap().remove("externalTrafficPolicy");
            }
            if front {
                service["metadata"]["labels"] = json!({"tier": "front"});
            }
            service
        },
    )
}

fn given() -> impl Strategy<Value = Given> {
    let pools = (given_pool(0), given_pool(1), given_pool(2), given_pool(3));
    let pools = pools.prop_map(|(a, b, c, d)| vec![a, b, c, d]);
    let pools = (pools.prop_shuffle(), 0_usize..=4).prop_map(|(pools, count)| pools[..count].to_vec());
    let services = prop::collection::vec(given_service(), 1..9);
    let names = Just((0..9).collect::<Vec<usize>>()).prop_shuffle();
    let held = prop::collection::vec(prop::option::weighted(0.3, (0_u8..5, 0_u8..4)), 9);
    let node = prop::option::of((0_u8..4, 0_u8..4).prop_map(|(pool, last)| format!("10.0.{pool}.{last}")));
    (pools, services, names, held, node).prop_map(|(pools, mut services, names, held, node)| {
        for (service, name) in services.iter_mut().zip(names) {
            service["metadata"]["name"] = json!(format!("s{name}"));
        }
        let mut config = vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "red", "labels": {"team": "red"}}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "azure", "labels": {"team": "blue"}}}),
        ];
        if node.is_some() {
            config.push(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}));
        }
        config.extend(pools);
        // Nobody holds what another one holds.
        let mut taken: Vec<(u8, u8)> = Vec::new();
        let held = held.into_iter().zip(&services).map(|(it, service)| match it {
            Some(place) if !taken.contains(&place) && service["spec"]["loadBalancerIP"] != "frog" => {
                taken.push(place);
                vec![format!("10.0.{}.{}", place.0, place.1)]
            }
            _ => Vec::new(),
        });
        Given { held: held.collect(), config, services, node }
    })
}

fn node_status(address: &str) -> Value {
    json!({"status": {"addresses": [{"type": "InternalIP", "address": address}]}})
}

/// The manifests of the configuration, Nodes with their status.
fn config_text(given: &Given) -> String {
    let mut config = given.config.clone();
    for object in config.iter_mut().filter(|it| it["kind"] == "Node") {
        merge(object, &node_status(given.node.as_deref().unwrap()));
    }
    text_of(&config)
}

impl Cluster {
    fn apply(&self, applier: &mut Applier, objects: &[Value]) {
        let manifests = manifests(&[&text_of(objects)]);
        assert_eq!(manifests.errors, []);
        assert_eq!(applier.apply(&self.store, &manifests).faults, []);
    }

    async fn apply_config(&self, given: &Given) -> Applier {
        let mut applier = Applier::default();
        self.apply(&mut applier, &given.config);
        if let Some(address) = &given.node {
            self.send("PATCH", "/api/v1/nodes/n1/status", &node_status(address)).await.unwrap();
        }
        applier
    }

    /// All objects of a kind, as `kubectl get -o json` prints them.
    async fn list(&self, path: &str, version: &str, kind: &str) -> String {
        let list = self.send("GET", path, &Value::Null).await.unwrap();
        let items = list["items"].as_array().unwrap().iter().map(|item| {
            let mut item = item.clone();
            item["apiVersion"] = json!(version);
            item["kind"] = json!(kind);
            item
        });
        json!({"apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>()}).to_string()
    }

    async fn all_shown(&self) -> BTreeMap<String, Vec<String>> {
        let list = self.send("GET", "/api/v1/services", &Value::Null).await.unwrap();
        let key = |service: &Value| {
            let text = |field: &str| service["metadata"][field].as_str().unwrap().to_owned();
            format!("{}/{}", text("namespace"), text("name"))
        };
        list["items"].as_array().unwrap().iter().map(|service| (key(service), shown(service))).collect()
    }

    /// Everything that there is, as `kubectl get` prints it.
    async fn everything(&self) -> World {
        let pools = "/apis/metallb.io/v1beta1/ipaddresspools";
        let texts = [
            self.list("/api/v1/namespaces", "v1", "Namespace").await,
            self.list("/api/v1/nodes", "v1", "Node").await,
            self.list(pools, "metallb.io/v1beta1", "IPAddressPool").await,
            self.list("/api/v1/services", "v1", "Service").await,
        ];
        world(&texts.each_ref().map(String::as_str))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// What others hold is theirs: a Service of another class or type is in the report without addresses.
fn ours(report: &Report, mut shown: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    for service in report.services.iter().filter(|it| it.outcome == Outcome::Ignored) {
        shown.insert(format!("{}/{}", service.namespace, service.name), Vec::new());
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn a_plan_of_manifests_equals_what_happens_when_they_are_applied(given in given()) {
        let (_, report) = planned(&world(&[&config_text(&given), &text_of(&given.services)]));
        let shown = run(async {
            let mut cluster = Cluster::with_pool(&[]).await;
            cluster.start();
            let mut applier = cluster.apply_config(&given).await;
            cluster.quiet().await;
            let mut objects = given.config.clone();
            objects.extend(given.services.clone());
            cluster.apply(&mut applier, &objects);
            cluster.quiet().await;
            cluster.all_shown().await
        });
        prop_assert_eq!(addresses(&report), shown);
    }

    #[test]
    fn a_plan_of_what_is_there_equals_what_a_controller_makes_of_it(given in given()) {
        let (before, after, shown) = run(async {
            let mut cluster = Cluster::with_pool(&[]).await;
            let mut applier = cluster.apply_config(&given).await;
            let mut objects = given.config.clone();
            objects.extend(given.services.clone());
            cluster.apply(&mut applier, &objects);
            for (service, held) in given.services.iter().zip(&given.held).filter(|(_, held)| !held.is_empty()) {
                let text = |field: &str| service["metadata"][field].as_str().unwrap();
                let path = format!("/api/v1/namespaces/{}/services/{}", text("namespace"), text("name"));
                let ingress: Vec<Value> = held.iter().map(|address| json!({"ip": address})).collect();
                let status = json!({"status": {"loadBalancer": {"ingress": ingress}}});
                // A Service of another type has none.
                let _ = cluster.send("PATCH", &format!("{path}/status"), &status).await;
            }
            let before = planned(&cluster.everything().await).1;
            cluster.start();
            cluster.quiet().await;
            let after = planned(&cluster.everything().await).1;
            (before, after, cluster.all_shown().await)
        });
        prop_assert_eq!(&addresses(&before), &ours(&before, shown));
        // What is there now stays.
        prop_assert_eq!(addresses(&before), addresses(&after));
        for service in &after.services {
            prop_assert_ne!(service.outcome, Outcome::Assigned, "{:?}", service);
        }
    }
}

#[test]
fn what_an_unclear_service_shows_stays_also_where_no_pool_has_it() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: LoadBalancer, loadBalancerIP: frog}\nstatus: {loadBalancer: {ingress: [{ip: 10.0.0.1}]}}\n";
    assert_eq!(report(&[text])["services"][0]["addresses"][0]["ip"], "10.0.0.1");
}

// The shape.

const POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: default, namespace: metallb-system}\n";

fn service(name: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer{rest}}}\n"
    )
}

#[test]
fn the_shape_is_as_it_is_documented() {
    let text = [
        &format!("{POOL}spec: {{addresses: [10.0.0.1/32, 'fd00::/64']}}\n"),
        &service("both", ", ipFamilies: [IPv6, IPv4], ipFamilyPolicy: RequireDualStack"),
        &service("waits", ""),
        &service("wrong", ", loadBalncerIP: 10.0.0.1, loadBalancerIP: 10.9.9.9"),
    ];
    let text: String = text.into_iter().map(String::as_str).collect();
    let problem = |severity: &str, name: &str, path: &str, code: &str, message: &str, line: u64| {
        json!({
            "severity": severity, "kind": "Service", "namespace": "default", "name": name, "path": path,
            "code": code, "message": message, "file": "0.yaml", "line": line,
        })
    };
    let full = "no free IPv4 address: pool \"default\" has its only one in use";
    let outside = "no pool has 10.9.9.9; ask for an address of a pool, or add it to one";
    let expected = json!({
        "services": [
            {
                "namespace": "default", "name": "both", "outcome": "assigned",
                "addresses": [{"ip": "fd00::", "pool": "default"}, {"ip": "10.0.0.1", "pool": "default"}],
                "reason": {"code": "Lowest", "message": "the lowest free address"},
            },
            {
                "namespace": "default", "name": "waits", "outcome": "pending", "addresses": [],
                "reason": {"code": "PoolExhausted", "message": full},
            },
            {
                "namespace": "default", "name": "wrong", "outcome": "refused", "addresses": [],
                "reason": {"code": "AddressOutsidePools", "message": outside},
            },
        ],
        "pools": [{
            "name": "default",
            "ipv4": {"total": "1", "assigned": "1", "available": "0"},
            "ipv6": {
                "total": "18446744073709551616", "assigned": "1", "available": "18446744073709551615",
            },
        }],
        "problems": [
            problem("warning", "waits", "metadata.name", "PoolExhausted", full, 13),
            problem("error", "wrong", "spec.loadBalancerIP", "AddressOutsidePools", outside, 19),
            problem(
                "error", "wrong", "spec.loadBalncerIP", "UnknownField",
                "is no field of Service; did you mean loadBalancerIP?", 19,
            ),
        ],
    });
    let mut report = report(&[&text]);
    // Of equal lines the order by path is this program's business.
    report["problems"]
        .as_array_mut()
        .unwrap()
        .sort_by_key(|it| (it["line"].as_u64(), it["path"].to_string()));
    assert_eq!(report, expected);
}

#[test]
fn every_outcome_has_its_word() {
    let held = "---\napiVersion: v1\nkind: Service\nmetadata: {name: kept}\nspec: {type: LoadBalancer}\nstatus: {loadBalancer: {ingress: [{ip: 10.0.0.1}]}}\n";
    let text = [
        format!("{POOL}spec: {{addresses: [10.0.0.0/31]}}\n"),
        held.to_owned(),
        service("assigned", ""),
        service("pending", ""),
        service("refused", ", loadBalancerIP: 10.9.9.9"),
        service("ignored", ", loadBalancerClass: example.com/other"),
    ];
    let report = report(&[&text.concat()]);
    let words: Vec<_> =
        report["services"].as_array().unwrap().iter().map(|it| (&it["name"], &it["outcome"])).collect();
    assert_eq!(words.len(), 5);
    for (name, outcome) in words {
        assert_eq!(name, outcome);
    }
}

#[test]
fn counts_are_whole_however_large_the_pool() {
    for (addresses, four, six) in [
        ("['fd00::/64']", "0", "18446744073709551616"),
        ("['fd00::/64', 'fd01::/64']", "0", "36893488147419103232"),
        ("['::/1']", "0", "170141183460469231731687303715884105728"),
        ("[0.0.0.0/0]", "4294967296", "0"),
        ("['::/0']", "0", "340282366920938463463374607431768211455"),
    ] {
        let report = report(&[&format!("{POOL}spec: {{addresses: {addresses}}}\n")]);
        let pool = &report["pools"][0];
        assert_eq!(
            (&pool["ipv4"]["total"], &pool["ipv6"]["total"]),
            (&json!(four), &json!(six)),
            "{addresses}"
        );
        assert_eq!((&pool["ipv6"]["assigned"], &pool["ipv6"]["available"]), (&json!("0"), &json!(six)));
    }
}

// Broken documents.

const WHOLE: [&str; 5] = [
    "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p, namespace: metallb-system}\nspec: {addresses: [10.0.0.0/28]}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: LoadBalancer}\n",
    "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"b\"}, \"spec\": {\"type\": \"LoadBalancer\"}}\n",
    "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: p, namespace: metallb-system}\n",
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: c\nspec:\n  type: LoadBalancer\n",
];

const BROKEN: [&str; 14] = [
    "kind: [\n",
    "a: b: c\n",
    "\"not closed\n",
    "key: 'not closed\n",
    "- a\n- list\n",
    "42\n",
    "text\n",
    "\tindented: by a tab\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: broken}\nspec: {type: LoadBalancer, ports: 80}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: [broken]}\n",
    "kind: Service\nmetadata: {name: broken}\n",
    "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: broken, namespace: metallb-system}\nspec: {addresses: [10.0.0.0/33]}\n",
    "apiVersion: v1\nkind: List\nitems:\n- 7\n- {kind: Service}\n",
    "key: *unknown\n",
];

#[test]
fn a_broken_document_leaves_all_others_planned() {
    let expected = [("a", "10.0.0.0"), ("b", "10.0.0.1"), ("c", "10.0.0.2")];
    for broken in BROKEN {
        for place in 0..=WHOLE.len() {
            let mut documents = WHOLE.to_vec();
            documents.insert(place, broken);
            let text = documents.join("---\n");
            let world = world(&[&text]);
            let (findings, report) = planned(&world);
            let mut got = addresses(&report);
            got.remove("default/broken");
            let got: Vec<_> = got.iter().map(|(name, them)| (name.as_str(), them.concat())).collect();
            let expected = expected.map(|(name, address)| (format!("default/{name}"), address.to_owned()));
            let expected: Vec<_> =
                expected.iter().map(|(name, address)| (name.as_str(), address.clone())).collect();
            assert_eq!(got, expected, "{text}");
            let first = documents[..place].iter().map(|it| it.matches('\n').count() + 1).sum::<usize>() + 1;
            let lines = first as u64..=(first + broken.matches('\n').count()) as u64;
            let found =
                findings.iter().any(|it| it.place.as_ref().is_some_and(|at| lines.contains(&at.line)));
            assert!(found, "nothing is said of lines {lines:?} of\n{text}\n{findings:#?}");
        }
    }
}

/// Every finding is in its file, and what is underlined can be shown.
fn check_findings(text: &str) {
    let world = world(&[text]);
    let (findings, report) = planned(&world);
    let lines = text.lines().count() as u64 + 1;
    for finding in &findings {
        let place = finding.place.as_ref().expect("all that is wrong is in a file");
        assert!((1..=lines).contains(&place.line), "{place} of {lines}: {:?}\n{text}", finding.problem);
        if let Some((source, span)) = &finding.text {
            let underlined = source.get(span.clone());
            assert!(underlined.is_some_and(|it| !it.is_empty()), "{span:?}: {:?}\n{text}", finding.problem);
            // A value may begin on a line behind that of its name.
            let line = source[..span.start].matches('\n').count() as u64 + 1;
            assert!(line >= place.line, "what is underlined stands before: {:?}\n{text}", finding.problem);
        }
        assert!(!finding.problem.message.is_empty() && !finding.problem.code.is_empty());
    }
    for name in world.service_names().collect::<Vec<_>>() {
        // A name may be anything here; one that is no key cannot be asked for.
        if let Ok(key) = name.parse() {
            assert!(world.explain(&key).is_some(), "{name}");
        }
    }
    serde_json::to_string(&report).unwrap();
}

#[test]
fn what_is_underlined_is_on_the_line_that_is_named() {
    for text in WHOLE.iter().chain(&BROKEN) {
        check_findings(text);
    }
    check_findings(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: metallb-system}\ndata:\n  config: |\n    address-pools:\n    - name: a\n      protocol: layer2\n      addresses: [10.0.0.0/33]\n",
    );
}

#[test]
fn equal_lines_of_a_config_map_are_told_apart_also_if_one_is_indented_more() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: metallb-system}\ndata:\n  config: |\n    address-pools:\n    - name: a\n      protocol: layer2\n      addresses:\n        - 10.0.0.0/33\n    - name: b\n      protocol: layer2\n      addresses:\n      - 10.0.0.0/33\n";
    let underlined = planned(&world(&[text])).0.into_iter().map(|finding| {
        let (source, span) = finding.text.unwrap();
        (finding.place.unwrap().line, source[..span.start].matches('\n').count() + 1)
    });
    assert_eq!(underlined.collect::<Vec<_>>(), [(10, 10), (14, 14)]);
}

/// Good manifests, some bytes of which were changed, put in or left out.
fn damaged() -> impl Strategy<Value = String> {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: metallb-system}\ndata:\n  config: |\n    # größer\n    address-pools:\n    - name: a\n      protocol: layer2\n      addresses:\n      - 10.0.0.0/33\n      - 10.1.0.0/24\n";
    let notes = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  name: ö\n  namespace: metallb-system\n  annotations:\n    lbd.io/reserve: 10.0.0.5=a/b\n    lbd.io/exclude: 10.0.0.4, 10.0.0.9-10.0.0.8\nspec:\n  addresses: [\"10.0.0.0/24\", 'fd00::/64']\n  serviceAllocation:\n    namespaceSelectors:\n    - matchExpressions: [{key: a, operator: In, values: [b]}]\n";
    let mut texts: Vec<String> = vec![WHOLE.join("---\n"), map.to_owned(), notes.to_owned()];
    texts.push(texts.concat().replace('\n', "\r\n"));
    let damage = (any::<prop::sample::Index>(), 0_usize..3, any::<u8>(), prop::bool::ANY);
    (prop::sample::select(texts), prop::collection::vec(damage, 0..4)).prop_map(|(text, damages)| {
        let crlf = text.contains('\r');
        let mut bytes = text.into_bytes();
        for (place, cut, byte, put) in damages {
            let place = place.index(bytes.len());
            let end = (place + cut).min(bytes.len());
            bytes.splice(place..end, put.then_some(byte));
        }
        // A carriage return alone ends a line of YAML, and none of what editors and terminals show.
        let text = String::from_utf8_lossy(&bytes).replace('\r', "");
        if crlf { text.replace('\n', "\r\n") } else { text }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn damage_never_panics_and_every_finding_lies_in_its_file(text in damaged()) {
        check_findings(&text);
    }
}

// The order.

fn timed(name: &str, second: Option<u8>, rest: &str) -> String {
    let time =
        second.map(|it| format!(", creationTimestamp: \"2026-01-01T00:00:{it:02}Z\"")).unwrap_or_default();
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}{time}}}\nspec: {{type: LoadBalancer}}\n{rest}"
    )
}

#[test]
fn what_is_held_comes_first_then_the_older_then_the_order_of_files_and_documents() {
    let pool = format!("{POOL}spec: {{addresses: [10.0.0.0/28]}}\n");
    let held = "status: {loadBalancer: {ingress: [{ip: 10.0.0.0}]}}\n";
    let first = [timed("z-new", None, ""), timed("b", Some(7), ""), timed("late-holder", Some(59), held)];
    let second = [timed("a-new", None, ""), timed("a", Some(7), ""), timed("oldest", Some(1), "")];
    let report = planned(&world(&[&first.concat(), &second.concat(), &pool])).1;
    let order: Vec<&str> = report.services.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(order, ["z-new", "b", "late-holder", "a-new", "a", "oldest"], "they are listed as written");
    let got = addresses(&report);
    let of = |name: &str| got[&format!("default/{name}")].concat();
    assert_eq!(
        ["late-holder", "oldest", "b", "a", "z-new", "a-new"].map(of),
        ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]
    );
}

#[test]
fn two_families_without_a_policy_are_both_required_as_a_server_takes_them() {
    let text = format!(
        "{POOL}spec: {{addresses: [10.0.0.0/28, 'fd00::/120']}}\n{}",
        service("both", ", ipFamilies: [IPv4, IPv6]")
    );
    let report = report(&[&text]);
    let addresses = report["services"][0]["addresses"].as_array().unwrap();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
}
