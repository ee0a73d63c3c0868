//! The embedded store against the real API server: the same requests to both, the answers compared; and kubectl on the
//! store.

use kube::Client;
use kube::client::Body;
use lbk8s::Store;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::plane::{Kind, Plane};
use crate::real::kubectl_on;

pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        case("the_store_answers_about_services_as_the_real_server_does", services),
        case("the_store_answers_about_custom_resources_as_the_real_server_does", pools),
        case("the_store_refuses_as_the_real_server_does", refusals),
        case("the_store_shows_tables_as_the_real_server_does", tables),
        case("kubectl_works_on_the_store", kubectl_works),
    ];
    cases.into_iter().map(|case| case.only_on(Kind::Real)).collect()
}

const JSON: &str = "application/json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

const SERVICES: &str = "/api/v1/namespaces/default/services";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const EVENTS: &str = "/api/v1/namespaces/default/events";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const POOLS: &str = "/apis/metallb.io/v1beta1/namespaces/default/ipaddresspools";

/// A request, as kubectl sends them.
struct Asked {
    method: &'static str,
    path: String,
    /// What the body is written in.
    content_type: &'static str,
    accept: &'static str,
    body: String,
}

fn send(method: &'static str, path: impl Into<String>, content_type: &'static str, body: &Value) -> Asked {
    Asked { method, path: path.into(), content_type, accept: JSON, body: body.to_string() }
}

fn post(path: impl Into<String>, body: &Value) -> Asked {
    send("POST", path, JSON, body)
}

fn bare(method: &'static str, path: impl Into<String>) -> Asked {
    Asked { method, path: path.into(), content_type: JSON, accept: JSON, body: String::new() }
}

fn table(path: impl Into<String>) -> Asked {
    Asked { accept: TABLE, ..bare("GET", path) }
}

async fn answer(client: &Client, asked: &Asked) -> Result<(u16, Value)> {
    let request = http::Request::builder()
        .method(asked.method)
        .uri(&asked.path)
        .header("content-type", asked.content_type)
        .header("accept", asked.accept)
        .body(Body::from(asked.body.clone().into_bytes()))?;
    let response = client.send(request).await?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await?;
    Ok((code, serde_json::from_slice(&bytes)?))
}

/// What no two servers have in common: identities, times, addresses; and words for people. Statuses keep code, reason and
/// the object that they are about.
fn comparable(value: Value) -> Value {
    const LEFT_OUT: [&str; 5] =
        ["managedFields", "causes", "description", "message", "serverAddressByClientCIDRs"];
    const GIVEN: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "clusterIP", "clusterIPs"];
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(field, _)| !LEFT_OUT.contains(&field.as_str()))
            .map(|(field, value)| {
                let value = if GIVEN.contains(&field.as_str()) { json!("given") } else { comparable(value) };
                (field, value)
            })
            .collect(),
        Value::Array(entries) => entries.into_iter().map(comparable).collect(),
        Value::String(text) if text.starts_with("10.96.") => json!("given"),
        Value::String(text) if is_young(&text) => json!("young"),
        value => value,
    }
}

/// An age, of the objects of a test.
fn is_young(text: &str) -> bool {
    text.strip_suffix('s').is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Asks a store of its own and the cluster the same, one after the other.
async fn same(cluster: &Cluster, all: Vec<Asked>) -> Result {
    let (store, real) = (Store::default().client(), cluster.client());
    for asked in all {
        let (real_code, expected) = answer(&real, &asked).await?;
        let (code, found) = answer(&store, &asked).await?;
        let (expected, found) = (comparable(expected), comparable(found));
        if (code, &found) != (real_code, &expected) {
            let Asked { method, path, accept, body, .. } = asked;
            let request = format!("{method} {path} ({accept})\n{body}");
            return Err(format!(
                "{request}\nthe real server: {real_code} {expected:#}\nthe store: {code} {found:#}"
            )
            .into());
        }
    }
    Ok(())
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"x": "y"}},
        "spec": {"selector": {"app": "a"}, "ports": [
            {"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"},
        ]},
    })
}

fn pool() -> Value {
    json!({
        "apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", "metadata": {"name": "truth"},
        // The server fills in what the definition says is the default; the store does not.
        "spec": {"addresses": ["198.51.100.0/28"], "autoAssign": false, "avoidBuggyIPs": false},
    })
}

async fn services(cluster: &mut Cluster) -> Result {
    let own = format!("{SERVICES}/truth");
    let strategic = |patch: Value| send("PATCH", own.clone(), STRATEGIC, &patch);
    let ordered = json!({"spec": {
        "$setElementOrder/ports": [{"port": 8080}, {"port": 53}],
        "ports": [{"port": 8080, "name": "alt"}, {"$patch": "delete", "port": 80}],
    }});
    let all = vec![
        post(
            format!("{SERVICES}?fieldValidation=Strict&fieldManager=kubectl-client-side-apply"),
            &service("truth"),
        ),
        bare("GET", own.clone()),
        post(format!("{SERVICES}?dryRun=All"), &service("dry")),
        bare("GET", format!("{SERVICES}/dry")),
        strategic(ordered.clone()),
        strategic(ordered),
        strategic(
            json!({"metadata": {"annotations": {"q": "1"}}, "spec": {"selector": {"app": null, "b": "c"}}}),
        ),
        strategic(json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 9, "name": "nine"}]}})),
        send("PATCH", own.clone(), MERGE, &json!({"metadata": {"labels": {"x": null, "z": "1"}}})),
        send(
            "PATCH",
            own.clone(),
            JSON_PATCH,
            &json!([{"op": "add", "path": "/spec/ports/0/targetPort", "value": 99}]),
        ),
        send("PATCH", format!("{own}?dryRun=All"), MERGE, &json!({"metadata": {"labels": {"z": "2"}}})),
        bare("GET", own.clone()),
        send("DELETE", own.clone(), JSON, &json!({"kind": "DeleteOptions", "apiVersion": "v1"})),
        bare("DELETE", own),
    ];
    same(cluster, all).await
}

async fn pools(cluster: &mut Cluster) -> Result {
    let own = format!("{POOLS}/truth");
    let all = vec![
        post(format!("{POOLS}?fieldValidation=Strict"), &pool()),
        post(POOLS, &pool()),
        send("PATCH", own.clone(), MERGE, &json!({"spec": {"autoAssign": true}})),
        send("PATCH", own.clone(), MERGE, &json!({"metadata": {"labels": {"a": "b"}}})),
        send("PATCH", own.clone(), STRATEGIC, &json!({})),
        table(POOLS),
        table(own.clone()),
        bare("DELETE", own.clone()),
        bare("GET", own),
    ];
    same(cluster, all).await
}

async fn refusals(cluster: &mut Cluster) -> Result {
    let own = format!("{SERVICES}/refused");
    let unknown = |mut object: Value| {
        object["metadata"]["name"] = json!("unknown");
        object["spec"]["invented"] = json!({});
        object
    };
    let strict = "fieldValidation=Strict";
    let old = json!({"name": "refused", "resourceVersion": "1"});
    let with = |mut object: Value, part: &str, value: Value| {
        object[part] = value;
        object
    };
    let wrong_type = with(pool(), "spec", json!({"addresses": "all"}));
    let all = vec![
        post(SERVICES, &service("refused")),
        post(SERVICES, &service("refused")),
        post(format!("{SERVICES}?{strict}"), &unknown(service("refused"))),
        post(format!("{POOLS}?{strict}"), &unknown(pool())),
        send("PATCH", format!("{own}?{strict}"), STRATEGIC, &json!({"spec": {"invented": {"a": "b"}}})),
        send("PATCH", own.clone(), STRATEGIC, &json!([1])),
        send("PATCH", own.clone(), JSON, &json!({})),
        send("PATCH", own.clone(), JSON_PATCH, &json!([{"op": "test", "path": "/spec/type", "value": "x"}])),
        send("PUT", own.clone(), JSON, &with(service("refused"), "metadata", old)),
        send("PUT", own.clone(), JSON, &service("other")),
        post(SERVICES, &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "empty"}})),
        post(
            SERVICES,
            &json!({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"ports": [{"port": 1}]}}),
        ),
        post(SERVICES, &with(service("wrong"), "spec", json!({"ports": "x"}))),
        post(POOLS, &with(pool(), "spec", json!({}))),
        post(POOLS, &wrong_type),
        post("/api/v1/namespaces/nowhere/services", &service("a")),
        post(own.clone(), &service("a")),
        bare("GET", format!("{SERVICES}/none")),
        bare("GET", format!("{POOLS}/none")),
        bare("GET", "/api/v1/frogs"),
        bare("DELETE", own),
    ];
    same(cluster, all).await
}

async fn tables(cluster: &mut Cluster) -> Result {
    let endpoints: Vec<Value> =
        (1..6).map(|last| json!({"addresses": [format!("10.0.0.{last}")], "conditions": {}})).collect();
    let slice = json!({
        "metadata": {"name": "truth", "labels": {"a": "truth"}}, "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"port": 80, "protocol": "TCP", "name": "http"}],
    });
    let event = json!({
        "metadata": {"name": "truth"}, "reason": "R", "type": "Normal", "message": " m\n", "count": 2,
        "involvedObject": {"kind": "Service", "name": "truth", "namespace": "default"},
        "source": {"component": "c"}, "firstTimestamp": "2001-01-01T00:00:00Z", "eventTime": null,
        "lastTimestamp": null, "reportingComponent": "", "reportingInstance": "",
    });
    let external = json!({
        "metadata": {"name": "truth-external"}, "spec": {"type": "ExternalName", "externalName": "example.com"},
    });
    let secret = json!({"metadata": {"name": "truth"}, "data": {"a": "YQ=="}});
    let written: [(&str, Value); 7] = [
        (SERVICES, service("truth")),
        (SERVICES, external),
        (CONFIG_MAPS, json!({"metadata": {"name": "truth"}, "data": {"a": "1", "b": "2"}})),
        (EVENTS, event),
        (SLICES, slice),
        (LEASES, json!({"metadata": {"name": "truth"}, "spec": {"holderIdentity": "me"}})),
        ("/api/v1/namespaces/default/secrets", secret),
    ];
    let names = |path: &str, object: &Value| {
        format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default())
    };
    // Only their creation: what else a server fills in is not what this is about.
    let (store, real) = (Store::default().client(), cluster.client());
    for (path, object) in &written {
        for client in [&store, &real] {
            let (code, answer) = answer(client, &post(*path, object)).await?;
            assert_eq!(code, 201, "{answer:#}");
        }
    }
    let mut shown: Vec<Asked> = written.iter().map(|(path, object)| table(names(path, object))).collect();
    shown.extend([
        table(format!("{SERVICES}/truth?includeObject=None")),
        table("/api/v1/namespaces/default"),
        table(format!("{EVENTS}?fieldSelector=involvedObject.name=truth")),
        table("/apis/events.k8s.io/v1/namespaces/default/events/truth"),
    ]);
    for asked in shown {
        let (expected, found) = (answer(&real, &asked).await?, answer(&store, &asked).await?);
        let (mut expected, mut found) = (comparable(expected.1), comparable(found.1));
        for shown in [&mut expected, &mut found] {
            for row in shown["rows"].as_array_mut().into_iter().flatten() {
                // The real server counts generations of built-in kinds, too.
                row["object"]["metadata"].as_object_mut().map(|metadata| metadata.remove("generation"));
                // Namespaces are older on the one than on the other.
                if asked.path == "/api/v1/namespaces/default" {
                    row["cells"][2].take();
                }
            }
        }
        assert_eq!(found, expected, "{}", asked.path);
    }
    for (path, object) in &written {
        answer(&real, &bare("DELETE", names(path, object))).await?;
    }
    Ok(())
}

async fn kubectl_works(cluster: &mut Cluster) -> Result {
    let Plane::Real(plane) = &cluster.plane else { return Err("it runs on the real one only".into()) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let store = Store::default();
    let serving = tokio::task::spawn_local(async move { store.serve(listener).await });
    let file = cluster.folder().join("kubectl.yaml");
    let write = |port: u16| {
        let mut service = service("web");
        service["spec"]["ports"][0]["port"] = json!(port);
        let mut pool = pool();
        pool["metadata"]["namespace"] = json!("default");
        std::fs::write(&file, format!("{service}\n---\n{pool}\n"))
    };
    let name = file.to_string_lossy();
    let run = async |arguments: &[&str], says: &[&str]| -> Result {
        let said = kubectl_on(plane, &["--server", &url], arguments).await?;
        let missing = says.iter().find(|text| !said.contains(**text));
        missing.map_or(Ok(()), |text| {
            Err(format!("kubectl {arguments:?} does not say {text:?}:\n{said}").into())
        })
    };
    write(80)?;
    run(&["apply", "-f", &name], &["service/web created", "truth created"]).await?;
    run(&["apply", "-f", &name], &["service/web unchanged", "truth unchanged"]).await?;
    write(81)?;
    run(&["apply", "-f", &name], &["service/web configured", "truth unchanged"]).await?;
    run(&["get", "services", "-A"], &["NAMESPACE", "EXTERNAL-IP", "81/TCP,53/UDP"]).await?;
    run(&["get", "svc", "web", "-o", "wide"], &["SELECTOR", "app=a"]).await?;
    run(&["get", "ipaddresspools"], &["AUTO ASSIGN", "198.51.100.0/28"]).await?;
    run(
        &["patch", "svc", "web", "-p", r#"{"spec":{"ports":[{"port":81,"targetPort":8081}]}}"#],
        &["patched"],
    )
    .await?;
    run(&["label", "svc", "web", "a=b"], &["labeled"]).await?;
    run(&["annotate", "svc", "web", "c=d"], &["annotated"]).await?;
    run(&["describe", "svc", "web"], &["a=b", "c: d", "8081/TCP", "53/UDP"]).await?;
    run(&["get", "events"], &[]).await?;
    run(&["explain", "service.spec.ports"], &["KIND:", "targetPort"]).await?;
    run(&["explain", "ipaddresspool.spec"], &["addresses", "autoAssign"]).await?;
    run(&["delete", "-f", &name], &["\"web\" deleted", "\"truth\" deleted"]).await?;
    run(&["create", "-f", &name], &["service/web created", "truth created"]).await?;
    serving.abort();
    Ok(())
}
