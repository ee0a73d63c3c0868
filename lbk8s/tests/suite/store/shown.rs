//! What kubectl is shown: tables, what is served, and the schemas.

use std::pin::pin;

use futures::{AsyncBufReadExt, TryStreamExt};
use lbk8s::Store;
use serde_json::{Value, json};

use super::api::{
    CONFIG_MAPS, POOLS, Raw, SERVICES, config_map, in_time, load_balancer, pool, refused, service, version,
};

/// What kubectl accepts.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
    application/json";
/// By what kubectl asks for all kinds at once.
const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

async fn get(api: &Raw, path: &str, accept: &str) -> Value {
    let request = http::Request::get(path).header("accept", accept).body(Vec::new()).unwrap();
    api.0.request(request).await.unwrap()
}

/// The columns of a table; those of the wide form in brackets.
fn columns(table: &Value) -> Vec<String> {
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let name = |column: &Value| column["name"].as_str().unwrap().to_owned();
    columns
        .map(|column| if column["priority"] == 0 { name(column) } else { format!("[{}]", name(column)) })
        .collect()
}

/// The cells of a row by the names of their columns.
fn cell<'t>(table: &'t Value, row: usize, column: &str) -> &'t Value {
    let names = columns(table);
    let position = names.iter().position(|name| name.trim_matches(['[', ']']) == column);
    &table["rows"][row]["cells"][position.unwrap_or_else(|| panic!("{column} is not among {names:?}"))]
}

#[tokio::test]
async fn a_list_of_services_is_shown_as_the_real_server_shows_it() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(SERVICES, &service("a")).await.unwrap();
    let mut wide = load_balancer("b");
    wide["spec"]["ports"] =
        json!([{"name": "x", "port": 80, "nodePort": 30080}, {"name": "y", "port": 53, "protocol": "UDP"}]);
    wide["spec"]["selector"] = json!({"z": "1", "a": "2"});
    api.post(SERVICES, &wide).await.unwrap();
    let ingress = json!([{"ip": "192.0.2.9"}, {"ip": "2001:db8::1"}]);
    let shown = |ingress: &Value| json!({"status": {"loadBalancer": {"ingress": ingress}}});
    let table = get(&api, SERVICES, TABLE).await;
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(
        columns(&table),
        ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "[Selector]"].map(str::to_owned)
    );
    let address = cell(&table, 0, "Cluster-IP").as_str().unwrap();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(cell(&table, 0, "External-IP"), "<none>");
    assert_eq!(cell(&table, 0, "Port(s)"), "80/TCP");
    assert_eq!(
        (cell(&table, 1, "Type"), cell(&table, 1, "External-IP")),
        (&json!("LoadBalancer"), &json!("<pending>"))
    );
    assert_eq!(cell(&table, 1, "Port(s)"), "80:30080/TCP,53/UDP");
    assert_eq!(cell(&table, 1, "Selector"), "a=2,z=1");
    let age = cell(&table, 1, "Age").as_str().unwrap();
    assert!(age.ends_with('s'), "{age}");
    api.merge(&format!("{SERVICES}/b/status"), shown(&ingress)).await.unwrap();
    let table = get(&api, &format!("{SERVICES}/b"), TABLE).await;
    assert_eq!(cell(&table, 0, "External-IP"), "192.0.2.9,2001:db8::1");
    let row = &table["rows"][0]["object"];
    assert_eq!(
        (&row["kind"], &row["metadata"]["namespace"]),
        (&json!("PartialObjectMetadata"), &json!("default"))
    );
    assert_eq!(row.get("spec"), None);
    assert_eq!(table["metadata"]["resourceVersion"], row["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_row_carries_as_much_of_its_object_as_is_asked_for() {
    let store = Store::default();
    let api = Raw::of(&store);
    let object = api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    let row = |include: &'static str| {
        let api = api.clone();
        async move { get(&api, &format!("{CONFIG_MAPS}?includeObject={include}"), TABLE).await["rows"][0].clone() }
    };
    assert_eq!(row("None").await["object"], Value::Null);
    assert_eq!(row("Object").await["object"], object);
    assert_eq!(row("Metadata").await["object"]["metadata"], object["metadata"]);
    assert_eq!(row("Metadata").await["cells"][1], 1);
}

#[tokio::test]
async fn every_kind_has_a_table_and_ours_have_the_columns_of_their_definitions() {
    let store = Store::default();
    let api = Raw::of(&store);
    let mut two = pool("a");
    two["spec"]["addresses"] = json!(["192.0.2.0/28", "fd00::1-fd00::9"]);
    api.post(POOLS, &two).await.unwrap();
    let table = get(&api, POOLS, TABLE).await;
    assert_eq!(columns(&table), ["Name", "Auto Assign", "Avoid Buggy IPs", "Addresses"].map(str::to_owned));
    assert_eq!(cell(&table, 0, "Addresses"), r#"["192.0.2.0/28","fd00::1-fd00::9"]"#);
    assert_eq!(cell(&table, 0, "Auto Assign"), &Value::Null);
    let event = json!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Service", "name": "web"}, "reason": "Done",
        "type": "Normal", "message": " all is well\n", "source": {"component": "lbd"}, "count": 3,
        "firstTimestamp": "2020-01-01T00:00:00Z",
    });
    api.post("/api/v1/namespaces/default/events", &event).await.unwrap();
    for path in ["/api/v1/events", "/apis/events.k8s.io/v1/events"] {
        let table = get(&api, path, TABLE).await;
        let shown =
            ["Type", "Reason", "Object", "Message", "Source"].map(|column| cell(&table, 0, column).clone());
        assert_eq!(json!(shown), json!(["Normal", "Done", "service/web", "all is well", "lbd"]), "{path}");
        assert_eq!((cell(&table, 0, "Count"), cell(&table, 0, "Name")), (&json!(3), &json!("e")));
        assert!(cell(&table, 0, "Last Seen").as_str().unwrap().contains('y'), "{table}");
    }
    for kind in store.kinds().iter() {
        let root = if kind.group.is_empty() { "api" } else { "apis" };
        let table = get(&api, &format!("/{root}/{}/{}", kind.api_version(), kind.plural), TABLE).await;
        let widths: Vec<usize> = table["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["cells"].as_array().unwrap().len())
            .collect();
        assert!(widths.iter().all(|width| *width == columns(&table).len()), "{table}");
    }
}

#[tokio::test]
async fn a_watch_shows_rows_and_the_columns_once() {
    let store = Store::default();
    let api = Raw::of(&store);
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    let path =
        format!("{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&timeoutSeconds=60");
    let request = http::Request::get(path).header("accept", TABLE).body(Vec::new()).unwrap();
    let mut lines = pin!(api.0.request_stream(request).await.unwrap().lines());
    let mut told = Vec::new();
    for round in 0..4 {
        let line = in_time("an event", lines.try_next()).await.unwrap().expect("the watch goes on");
        let event: Value = serde_json::from_str(&line).unwrap();
        let table = &event["object"];
        assert_eq!(table["kind"], "Table");
        assert_eq!(table["columnDefinitions"].is_array(), round == 0, "{table}");
        told.push(format!("{} {}", event["type"].as_str().unwrap(), table["rows"][0]["cells"][0]));
        match round {
            1 => drop(api.merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"b": "2"}})).await.unwrap()),
            2 => drop(api.delete(&format!("{CONFIG_MAPS}/a")).await.unwrap()),
            _ => {}
        }
    }
    assert_eq!(told, [r#"ADDED "a""#, r#"BOOKMARK """#, r#"MODIFIED "a""#, r#"DELETED "a""#]);
}

#[tokio::test]
async fn what_is_served_is_said_plainly_and_in_one_answer() {
    let store = Store::default();
    let api = Raw::of(&store);
    assert_eq!(api.get("/api").await.unwrap()["versions"], json!(["v1"]));
    let groups = api.get("/apis").await.unwrap();
    let metallb = groups["groups"].as_array().unwrap().iter().find(|it| it["name"] == "metallb.io").unwrap();
    assert_eq!(metallb["preferredVersion"]["groupVersion"], "metallb.io/v1beta1");
    assert_eq!(api.get("/apis/metallb.io").await.unwrap()["versions"], metallb["versions"]);
    let core = api.get("/api/v1").await.unwrap();
    let of = |name: &str| core["resources"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
    let services = of("services").unwrap();
    assert_eq!((&services["shortNames"], &services["namespaced"]), (&json!(["svc"]), &json!(true)));
    assert!(of("services/status").is_some() && of("configmaps/status").is_none());
    let in_one = [get(&api, "/api", AGGREGATED).await, get(&api, "/apis", AGGREGATED).await];
    let items = in_one.iter().flat_map(|it| it["items"].as_array().unwrap());
    let resources = items.flat_map(|it| it["versions"].as_array().unwrap());
    let resources = resources.flat_map(|it| it["resources"].as_array().unwrap());
    assert_eq!(resources.count(), store.kinds().iter().count());
    assert_eq!(api.get("/version").await.unwrap()["major"], "1");
    for path in ["/apis/frogs.io", "/apis/frogs.io/v1", "/api/v2", "/openapi/v3/api/v2", "/openapi/v2"] {
        refused(api.get(path).await, 404);
    }
}

#[tokio::test]
async fn every_kind_has_a_schema_by_which_kubectl_leaves_the_checking_to_the_server() {
    let store = Store::default();
    let api = Raw::of(&store);
    let index = api.get("/openapi/v3").await.unwrap();
    for kind in store.kinds().iter() {
        let root = if kind.group.is_empty() { "api" } else { "apis" };
        let url = &index["paths"][format!("{root}/{}", kind.api_version())]["serverRelativeURL"];
        let document = api.get(url.as_str().unwrap()).await.unwrap();
        let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        let paths = document["paths"].as_object().unwrap();
        let patch = paths.values().find(|path| path["patch"]["x-kubernetes-group-version-kind"] == own);
        let parameters = patch.unwrap()["patch"]["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|it| it["name"] == "fieldValidation" && it["in"] == "query"));
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let schema = schemas.values().find(|it| it["x-kubernetes-group-version-kind"] == json!([own]));
        assert!(schema.unwrap()["properties"]["metadata"].is_object(), "{}", kind.kind);
        // Nothing refers to what is not there.
        let text = document.to_string();
        for (_, rest) in
            text.match_indices("\"#/components/schemas/").map(|(at, it)| text.split_at(at + it.len()))
        {
            let name = rest.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is missing for {}", kind.kind);
        }
    }
}

#[tokio::test]
async fn a_strategic_patch_is_taken_for_built_in_kinds_only() {
    let store = Store::default();
    let api = Raw::of(&store);
    let strategic = "application/strategic-merge-patch+json";
    let mut object = service("a");
    object["spec"]["ports"] = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    let before = api.post(SERVICES, &object).await.unwrap();
    let patch = json!({"spec": {"ports": [{"port": 81, "targetPort": 8081}], "$setElementOrder/ports": [{"port": 81}, {"port": 80}]}});
    let own = format!("{SERVICES}/a");
    let patched = api.send("PATCH", &own, strategic, &patch.to_string()).await.unwrap();
    let expected = json!([
        {"name": "b", "port": 81, "protocol": "TCP", "targetPort": 8081},
        {"name": "a", "port": 80, "protocol": "TCP", "targetPort": 80},
    ]);
    assert_eq!(patched["spec"]["ports"], expected);
    assert_eq!(patched["spec"]["clusterIP"], before["spec"]["clusterIP"]);
    // The same again changes nothing.
    let again = api.send("PATCH", &own, strategic, &patch.to_string()).await.unwrap();
    assert_eq!(version(&again), version(&patched));
    api.post(POOLS, &pool("p")).await.unwrap();
    let refusal = refused(api.send("PATCH", &format!("{POOLS}/p"), strategic, "{}").await, 415);
    assert!(refusal.message.contains("application/merge-patch+json"), "{refusal:?}");
    let refusal =
        refused(api.send("PATCH", &own, "application/apply-patch+yaml", "kind: Service").await, 415);
    assert!(refusal.message.contains("--server-side"), "{refusal:?}");
}

#[tokio::test]
async fn an_object_in_another_language_is_refused_with_what_to_do() {
    let api = Raw::of(&Store::default());
    let refusal =
        refused(api.send("POST", CONFIG_MAPS, "application/vnd.kubernetes.protobuf", "k8s").await, 415);
    assert!(refusal.message.contains("create -f"), "{refusal:?}");
}

#[tokio::test]
async fn a_refusal_says_which_object_it_is_about() {
    let store = Store::default();
    let api = Raw::of(&store);
    let details = refused(api.get(&format!("{POOLS}/none")).await, 404).details.unwrap();
    assert_eq!(
        (details.name, details.group, details.kind),
        ("none".into(), "metallb.io".into(), "ipaddresspools".into())
    );
}
