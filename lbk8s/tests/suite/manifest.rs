//! Manifests: files as objects, what is wrong with them and on which line, and their application to a store.
#![cfg(all(feature = "controller", feature = "store"))]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lbk8s::Store;
use lbk8s::controller::{Change, Controller, Notice};
use lbk8s::manifest::apply::{Applied, Applier};
use lbk8s::manifest::{Manifests, files, load};
use lbk8s::objects::Severity;
use lbk8s::schema::FieldPath;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::config_change;

fn read(text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.read(Path::new("a.yaml"), text);
    manifests
}

fn walkthrough() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/walkthrough")
}

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &[u8])]) -> Self {
        let path = std::env::temp_dir().join(format!("lbk8s-manifest-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn fetch(store: &Store, path: &str) -> Option<Value> {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    match store.client().request(request).await {
        Ok(value) => Some(value),
        Err(kube::Error::Api(status)) if status.code == 404 => None,
        Err(error) => panic!("{path}: {error}"),
    }
}

async fn send(store: &Store, method: &str, path: &str, body: &Value) {
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/merge-patch+json");
    let request = request.body(body.to_string().into_bytes()).unwrap();
    store.client().request::<Value>(request).await.unwrap();
}

const SERVICE: &str = "/api/v1/namespaces/default/services/web";

fn service(extra: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  ports:\n  - port: 80\n{extra}")
}

fn done(outcome: &Applied) -> Vec<String> {
    outcome.done.iter().map(|(object, done)| format!("{object} {done}")).collect()
}

fn faults(outcome: &Applied) -> Vec<String> {
    outcome.faults.iter().map(|(place, fault)| format!("{place}: {fault}")).collect()
}

#[test]
fn the_walkthroughs_files_are_read_in_the_order_of_paths_and_documents() {
    let names = ["pool-crd.yaml", "gateways.yaml", "nginx.yaml"];
    let manifests = load(&names.map(|name| walkthrough().join(name)));
    assert_eq!(manifests.errors, []);
    let found: Vec<String> = manifests
        .objects
        .iter()
        .map(|it| {
            let file = it.place.file.file_name().unwrap().to_str().unwrap();
            format!("{file}:{} {}", it.place.line, it.reference())
        })
        .collect();
    assert_eq!(
        found,
        [
            "pool-crd.yaml:1 IPAddressPool metallb-system/default",
            "pool-crd.yaml:10 L2Advertisement metallb-system/default",
            "gateways.yaml:1 Namespace istio-system",
            "gateways.yaml:5 Service istio-system/istio-ingressgateway",
            "gateways.yaml:18 Service istio-system/istio-eastwestgateway",
            "nginx.yaml:1 Deployment nginx",
            "nginx.yaml:22 Service nginx",
        ]
    );
    let folder = load(&[walkthrough()]);
    assert_eq!(folder.errors, []);
    let files: Vec<_> = folder.objects.iter().map(|it| it.place.file.clone()).collect();
    assert!(files.is_sorted() && files.len() > 7);
}

#[test]
fn files_folders_json_and_lists_are_read_and_what_cannot_be_is_named() {
    let list = br#"{"apiVersion": "v1", "kind": "List", "items": [
      {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "in-a-list"}}]}"#;
    let folder = Folder::new(
        "files",
        &[
            ("b.yml", b"apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n"),
            ("a.json", list),
            ("c.yaml", b"\xff\xfe not text"),
            ("d.yaml", b"\xef\xbb\xbfapiVersion: v1\r\nkind: Namespace\r\nmetadata:\r\n  name: d\r\n"),
            ("e.yaml", b"# only words\n---\n---\n"),
            ("read-me.txt", b"kind: ["),
        ],
    );
    std::fs::create_dir_all(folder.0.join("deeper.yaml")).unwrap();
    let manifests = load(&[folder.0.clone(), folder.0.join("missing.yaml")]);
    let found: Vec<_> = manifests.objects.iter().map(|it| it.reference().to_string()).collect();
    assert_eq!(found, ["ConfigMap in-a-list", "Namespace b", "Namespace d"]);
    assert_eq!(manifests.objects[2].locate(&FieldPath::parse("metadata.name")).line, 4);
    let errors: Vec<_> = manifests.errors.iter().map(ToString::to_string).collect();
    assert!(errors.len() == 2, "{errors:?}");
    assert!(errors[0].contains("c.yaml: ") && errors[1].contains("missing.yaml: "), "{errors:?}");
    assert_eq!(files(&folder.0.join("b.yml")).unwrap(), [folder.0.join("b.yml")]);
}

#[tokio::test]
async fn objects_are_created_in_their_order_then_changed_then_deleted() {
    let (store, mut applier) = (Store::default(), Applier::default());
    let both = load(&["gateways.yaml", "nginx.yaml"].map(|name| walkthrough().join(name)));
    let outcome = applier.apply(&store, &both);
    assert_eq!(outcome.faults, []);
    assert_eq!(outcome.done.len(), 5);
    let services = fetch(&store, "/api/v1/services").await.unwrap();
    let mut created: Vec<_> = services["items"].as_array().unwrap().clone();
    created.sort_by_key(|it| it["metadata"]["creationTimestamp"].as_str().unwrap().to_owned());
    let names: Vec<_> = created.iter().map(|it| it["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["istio-ingressgateway", "istio-eastwestgateway", "nginx"]);
    let version = store.resource_version();
    assert!(applier.apply(&store, &both).done.is_empty());
    assert_eq!(store.resource_version(), version);
    let fewer = load(&[walkthrough().join("gateways.yaml")]);
    assert_eq!(
        done(&applier.apply(&store, &fewer)),
        ["Deployment default/nginx deleted", "Service default/nginx deleted"]
    );
    assert!(fetch(&store, "/api/v1/namespaces/default/services/nginx").await.is_none());
}

#[test]
fn what_was_done_is_told_under_the_names_that_kubectl_uses() {
    let (store, mut applier) = (Store::default(), Applier::default());
    let gateways = load(&[walkthrough().join("gateways.yaml")]);
    let outcome = applier.apply(&store, &gateways);
    assert_eq!(done(&outcome)[0], "Namespace istio-system created");
}

#[tokio::test]
async fn a_wrong_type_leaves_the_object_as_it_was_and_hinders_no_other() {
    let (store, mut applier) = (Store::default(), Applier::default());
    applier.apply(&store, &read(&service("  type: LoadBalancer\n")));
    let before = fetch(&store, SERVICE).await.unwrap();
    let wrong = service("  - port: eighty\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n");
    let outcome = applier.apply(&store, &read(&wrong));
    assert_eq!(
        faults(&outcome),
        [
            "a.yaml:8: Service default/web: spec.ports[1].port: invalid type: string \"eighty\", expected i32; the object is left out"
        ]
    );
    assert_eq!(fetch(&store, SERVICE).await.unwrap(), before);
    assert!(fetch(&store, "/api/v1/namespaces/other").await.is_some());
    let outcome = applier.apply(&store, &read(&service("  - port: 81\n")));
    assert_eq!(done(&outcome)[0], "Service default/web configured");
}

#[tokio::test]
async fn a_document_that_cannot_be_read_any_more_leaves_its_object_as_it_was() {
    let (store, mut applier) = (Store::default(), Applier::default());
    applier.apply(&store, &read(&service("")));
    let broken = read("apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec: [\n");
    assert_eq!(broken.errors.len(), 1);
    applier.apply(&store, &broken);
    assert!(fetch(&store, SERVICE).await.is_some());
}

#[tokio::test]
async fn what_others_wrote_beside_a_manifest_survives_its_next_form() {
    let (store, mut applier) = (Store::default(), Applier::default());
    let with = |labels: &str| {
        read(
            &service("  type: LoadBalancer\n")
                .replace("name: web", &format!("name: web\n  labels: {labels}")),
        )
    };
    applier.apply(&store, &with("{a: b, gone: soon}"));
    let theirs = json!({
        "metadata": {"annotations": {"their": "own"}, "labels": {"more": "yes"}},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    });
    send(&store, "PATCH", &format!("{SERVICE}/status"), &theirs).await;
    let outcome = applier.apply(&store, &with("{a: c}"));
    assert_eq!(done(&outcome), ["Service default/web configured"]);
    let now = fetch(&store, SERVICE).await.unwrap();
    assert_eq!(now["metadata"]["annotations"], json!({"their": "own"}));
    assert_eq!(now["metadata"]["labels"], json!({"a": "c", "more": "yes"}));
    assert_eq!(now["status"]["loadBalancer"]["ingress"][0]["ip"], "10.0.0.1");
}

#[test]
fn an_object_that_is_written_twice_does_not_change_at_every_application() {
    let (store, mut applier) = (Store::default(), Applier::default());
    let twice = read(&format!("{}---\n{}", service("  - port: 1\n"), service("  - port: 2\n")));
    applier.apply(&store, &twice);
    let version = store.resource_version();
    let outcome = applier.apply(&store, &twice);
    assert_eq!((done(&outcome), store.resource_version()), (vec![], version));
}

#[tokio::test]
async fn an_object_that_somebody_deleted_comes_back_with_its_next_form() {
    let (store, mut applier) = (Store::default(), Applier::default());
    applier.apply(&store, &read(&service("")));
    send(&store, "DELETE", SERVICE, &json!({})).await;
    let outcome = applier.apply(&store, &read(&service("  - port: 81\n")));
    assert_eq!(faults(&outcome), Vec::<String>::new());
    assert!(fetch(&store, SERVICE).await.is_some());
}

#[test]
fn what_nobody_reads_is_said_with_its_line() {
    let (store, mut applier) = (Store::default(), Applier::default());
    let text = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata:\n  name: p\n  namespace: elsewhere\nspec:\n  adresses: []\n  addresses: [10.0.0.0/24]\n---\napiVersion: example.com/v1\nkind: Frog\nmetadata: {name: f}\n";
    let outcome = applier.apply(&store, &read(text));
    assert_eq!(
        faults(&outcome),
        [
            "a.yaml:7: IPAddressPool elsewhere/p: unknown field \"spec.adresses\"; it is passed over",
            "a.yaml:5: IPAddressPool elsewhere/p: metadata.namespace: must be \"metallb-system\"; elsewhere nobody reads it",
            "a.yaml:10: Frog f: the store does not know Frog of example.com/v1; it is left out",
        ]
    );
}

/// The lines of the problems that a controller has with the objects of a text, and how they are told.
fn problem_lines(text: &str) -> Vec<(u64, String)> {
    let manifests = read(text);
    assert!(manifests.errors.is_empty(), "{:?}", manifests.errors);
    let mut controller = Controller::default();
    for manifest in &manifests.objects {
        controller.apply(Change::Config(config_change(&manifest.value)));
    }
    controller.apply(Change::Synced);
    let mut found = Vec::new();
    for notice in controller.notices() {
        let Notice::Problem(problem) = notice else { continue };
        if problem.severity == Severity::Warning {
            continue;
        }
        let manifest = manifests.objects.iter().find(|it| it.is(&problem.object)).unwrap();
        found.push((manifest.locate_problem(&problem).line, problem.to_string()));
    }
    found
}

/// The one problem stands on the line that has `BAD` in it.
fn check_line(text: &str) {
    let expected = text.lines().position(|line| line.contains("BAD")).unwrap() as u64 + 1;
    let found = problem_lines(text);
    assert!(found.len() == 1, "{text}{found:?}");
    assert_eq!(found[0].0, expected, "{text}{}", found[0].1);
}

const HEAD: &str =
    "# a map\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: config, namespace: metallb-system}\ndata:\n";
const POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p, namespace: metallb-system}\nspec:\n";

#[test]
fn a_problem_of_a_pool_is_found_on_its_line() {
    check_line(&format!("{POOL}  addresses:\n  - 10.0.0.0/24\n  - BAD\n"));
    check_line(&format!("---\n{POOL}  addresses: [10.0.0.0/24,\n    10.0.1.0/24,\n    BAD]\n"));
    check_line(&format!("{POOL}  addresses: # BAD\n    []\n"));
    let selectors = "  addresses: [10.0.0.0/24]\n  serviceAllocation:\n    namespaceSelectors:\n    - matchLabels: {a: b}\n    - matchExpressions:\n      - {key: a, operator: BAD}\n";
    check_line(&format!("{POOL}{selectors}"));
    let other = POOL.replace("name: p", "name: q");
    check_line(&format!(
        "{POOL}  addresses:\n  - 10.0.0.0/24\n---\n{other}  addresses:\n  - 10.1.0.0/24\n  - 10.0.0.5/32 # BAD\n"
    ));
}

/// The v0.12 text of one pool, with a mistake, as it stands in the map.
const TEXT: &str = "    address-pools:\n    - name: a\n      protocol: layer2\n      addresses:\n      - 10.0.0.0/24\n      - BAD\n";

#[test]
fn a_problem_in_a_literal_text_is_found_on_its_line() {
    for start in ["|\n", "|-\n", "|+\n", "| # the text\n", "|2\n", "|\n    # first\n\n", "\n    |\n"] {
        check_line(&format!("{HEAD}  other: x\n  config: {start}{TEXT}"));
    }
    check_line(&format!("---\n{HEAD}  config: |\n{TEXT}").replace('\n', "\r\n"));
    check_line(&format!("---\n# empty\n---\n{HEAD}  config: |\n{TEXT}"));
}

#[test]
fn blank_lines_before_a_literal_text_move_no_problem() {
    check_line(&format!("{HEAD}  config: |\n\n\n{TEXT}"));
}

#[test]
fn an_overlap_in_a_literal_text_is_found_on_its_line() {
    check_line(&format!(
        "{HEAD}  config: |\n    address-pools:\n    - name: a\n      protocol: layer2\n      addresses: [10.0.0.0/24]\n    - name: b\n      protocol: layer2\n      addresses:\n      - 10.0.0.7/32 # BAD\n"
    ));
}

#[test]
fn a_pools_name_is_told_as_it_is_written() {
    let text = format!(
        "{HEAD}  config: |\n    address-pools:\n    - {{name: a, protocol: layer2, addresses: [10.0.0.0/24]}}\n    - {{name: the-spec.b, protocol: layer2, addresses: [10.0.0.7/32]}}\n"
    );
    let found = problem_lines(&text);
    assert!(found[0].1.contains("the-spec.b"), "{}", found[0].1);
}

#[test]
fn a_problem_in_a_folded_or_quoted_text_is_found_within_the_text() {
    let folded = "  config: >\n    {address-pools: [{name: a, protocol: layer2,\n    addresses: [10.0.0.0/24,\n    BAD]}]}\n";
    let apart = "  config: >\n    address-pools:\n\n    - name: a\n\n      protocol: layer2\n\n      addresses:\n\n      - BAD\n";
    let quoted =
        "  config: \"address-pools:\\n- name: a\\n  protocol: layer2\\n  addresses:\\n  - BAD\\n\"\n";
    let plain = "  config: '{address-pools: [{name: a, protocol: layer2,\n    addresses: [BAD]}]}'\n";
    for text in [folded, apart, plain, quoted] {
        let text = format!("{HEAD}{text}  after: x\n  and: z\n");
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.iter().position(|line| line.starts_with("  config:")).unwrap() as u64 + 1;
        let last = lines.iter().position(|line| line.starts_with("  after:")).unwrap() as u64;
        let found = problem_lines(&text);
        assert!(found.len() == 1, "{text}{found:?}");
        assert!(
            (first..=last).contains(&found[0].0),
            "line {} is not in {first} to {last}: {text}",
            found[0].0
        );
    }
}

#[test]
fn anchors_and_merge_keys_do_not_hide_what_stands_beside_them() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports: &ports\n  - port: 80\n  selector: {app: x}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ns}\n";
    let manifests = read(text);
    assert_eq!(manifests.errors, []);
    assert_eq!(manifests.objects.len(), 2);
}

/// A manifest that was damaged: pieces cut out, doubled or put elsewhere.
fn damaged() -> impl Strategy<Value = String> {
    let texts = ["gateways.yaml", "nginx.yaml", "pool-crd.yaml", "pool-configmap.yaml"]
        .map(|name| std::fs::read_to_string(walkthrough().join(name)).unwrap());
    let cut = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0_usize..12,
        "[\\[\\]{}:|>&*!#'\"%@\t\n é-]{0,4}",
    );
    (prop::sample::select(texts.to_vec()), prop::collection::vec(cut, 0..5)).prop_map(|(text, cuts)| {
        let mut text: Vec<char> = text.chars().collect();
        for (from, to, length, noise) in cuts {
            let from = from.index(text.len());
            let end = (from + length).min(text.len());
            let piece: Vec<char> = text.drain(from..end).collect();
            let to = to.index(text.len() + 1);
            text.splice(to..to, piece.into_iter().chain(noise.chars()));
        }
        text.into_iter().collect()
    })
}

fn use_all(text: &str) {
    let manifests = read(text);
    let lines = text.lines().count() as u64 + 1;
    let mut applier = Applier::default();
    let outcome = applier.apply(&Store::default(), &manifests);
    for (place, _) in &outcome.faults {
        assert!(place.line <= lines, "{place} of {lines}");
    }
    let mut controller = Controller::default();
    let mut last = BTreeMap::new();
    for manifest in &manifests.objects {
        let object = &manifest.value;
        let known =
            ["IPAddressPool", "L2Advertisement", "ConfigMap"].map(Value::from).contains(&object["kind"]);
        assert!((1..=lines).contains(&manifest.place.line), "{} of {lines}", manifest.place);
        if known && lbk8s::schema::check::<k8s_openapi::api::core::v1::ConfigMap>(object).is_empty() {
            controller.apply(Change::Config(config_change(object)));
            last.insert(manifest.reference(), manifest);
        }
    }
    controller.apply(Change::Synced);
    for notice in controller.notices() {
        let Notice::Problem(problem) = notice else { continue };
        if problem.severity == Severity::Warning {
            continue;
        }
        let manifest = last.values().find(|it| it.is(&problem.object)).unwrap();
        let place = manifest.locate_problem(&problem);
        assert!((1..=lines).contains(&place.line), "{place} of {lines}");
    }
    for error in &manifests.errors {
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(800) })]

    #[test]
    fn a_damaged_manifest_is_read_without_panic(text in damaged()) {
        use_all(&text);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,80}|[ \\n\\-:\\[\\]{}|>&*!a-c0-1'\"#%]{0,60}") {
        use_all(&text);
        use_all(&format!("{HEAD}  config: |\n    {}\n", text.replace('\n', "\n    ")));
    }
}
