//! What installs ours: kustomize, the Helm chart, and `lbd manifests`.

use serde_json::Value;

use super::allowed;
use crate::Result;
use crate::case::{Case, case};
use crate::cluster::Cluster;
use crate::object::{advertisement, pool};
use crate::page::Shell;
use crate::plane::Kind;
use crate::wait::until;

pub(super) fn cases() -> Vec<Case> {
    let cases = vec![
        case("the_chart_is_sound_and_refuses_values_that_nobody_reads", sound),
        case("kustomize_the_chart_and_lbd_manifests_install_the_same_objects", same),
        case("helm_takes_over_upgrades_and_leaves_every_pool_when_it_uninstalls", helm),
    ];
    cases.into_iter().map(|case| case.only_on(Kind::Real)).collect()
}

const TEMPLATE: &str = "helm template lbd deploy/chart -n metallb-system";
/// With every value that makes a template take another way; the kinds of Prometheus' operator are not served here.
const CHANGED: &str = "--set loadBalancerClass=lbd,speaker.httpAddress=127.0.0.1,speaker.httpPort=9100,speaker.tolerateMaster=false,\
    speaker.memberlist.mlBindPort=7000,speaker.ignoreExcludeLB=true,speaker.labels.a=b,speaker.podAnnotations.a=b,\
    controller.image.tag=x,controller.image.pullPolicy=Always,controller.strategy.type=Recreate,\
    controller.serviceAccount.name=mine,controller.extraArgs[0]=--beside-metallb,controller.runtimeClassName=x,\
    imagePullSecrets[0].name=x";

async fn sound(cluster: &mut Cluster) -> Result {
    let shell = Shell::new(cluster)?;
    shell.run("helm lint --strict deploy/chart").await?;
    for refused in
        ["frrk8s.enabled=true", "speaker.httpPort=0", "controller.resources=none", "rbac.create=maybe"]
    {
        let error = shell.run(&format!("{TEMPLATE} --set {refused}")).await.err();
        let error = error.ok_or_else(|| format!("{refused} is taken"))?.to_string();
        let field = refused.split(['.', '=']).next().unwrap_or_default();
        assert!(error.contains("don't meet the specifications") && error.contains(field), "{error}");
    }
    let monitored = "--set prometheus.podMonitor.enabled=true,prometheus.prometheusRule.enabled=true";
    let error = shell.run(&format!("{TEMPLATE} {monitored},speaker.httpAddress=127.0.0.1")).await.err();
    assert!(
        error.is_some_and(|error| error.to_string().contains("speaker.httpAddress")),
        "nobody reaches loopback"
    );
    let text = shell.run(&format!("{TEMPLATE} {monitored}")).await?;
    for part in ["kind: PodMonitor", "kind: PrometheusRule", "alert: LbdServicePending", "value: '[::]:7948'"]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let server = "kubectl apply --dry-run=server --validate=strict -f -";
    shell.run(&format!("{TEMPLATE} {CHANGED} | {server}")).await.map(drop)
}

/// What the real server makes of each, field by field.
async fn same(cluster: &mut Cluster) -> Result {
    let shell = Shell::new(cluster)?;
    let server = "kubectl apply --dry-run=server --validate=strict -o json";
    let kustomized = objects(&shell.run(&format!("{server} -k deploy/")).await?)?;
    let charted = objects(&shell.run(&format!("{TEMPLATE} | {server} -f -")).await?)?;
    let printed = objects(&shell.run(&format!("lbd manifests | {server} -f -")).await?)?;
    assert!(kustomized.len() > 15, "{} objects", kustomized.len());
    assert_eq!(kustomized, printed, "lbd manifests");
    // Whoever uses Helm names the namespace when it is made.
    let but_namespace: Vec<Value> = kustomized.into_iter().filter(|it| it["kind"] != "Namespace").collect();
    assert_eq!(but_namespace, charted, "the chart");
    Ok(())
}

/// The objects of a list by kind and name, without what is written on them about the writing itself.
fn objects(list: &str) -> Result<Vec<Value>> {
    let mut list: Value = serde_json::from_str(list)?;
    let mut objects: Vec<Value> = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    for object in &mut objects {
        let metadata = &mut object["metadata"];
        for field in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"] {
            metadata.as_object_mut().and_then(|metadata| metadata.remove(field));
        }
        if let Some(annotations) = metadata["annotations"].as_object_mut() {
            // Helm alone knows it: a definition stays when the release goes.
            annotations.remove("helm.sh/resource-policy");
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    objects.sort_by_key(|object| format!("{} {}", object["kind"], object["metadata"]["name"]));
    Ok(objects)
}

async fn helm(cluster: &mut Cluster) -> Result {
    let shell = Shell::new(cluster)?;
    cluster.create_all(&[pool("default", &["192.168.3.200/32"]), advertisement("all")]).await?;
    let install = "helm upgrade --install lbd deploy/chart -n metallb-system --take-ownership";
    let outcome = async {
        let said = shell.run(install).await?;
        assert!(said.contains("STATUS: deployed") && said.contains("It gives no address before"), "{said}");
        shell.run(&format!("{install} --set speaker.httpPort=9100")).await?;
        let port =
            "kubectl -n metallb-system get daemonset lbd-speaker -o jsonpath={..livenessProbe.httpGet.port}";
        assert_eq!(shell.run(port).await?, "9100");
        shell.run("helm rollback lbd 1 -n metallb-system").await?;
        assert_eq!(shell.run(port).await?, "7948");
        let said = shell.run("helm uninstall lbd -n metallb-system").await?;
        assert!(said.contains("kept due to the resource policy"), "{said}");
        let left = shell.run("kubectl get ipaddresspools,l2advertisements -n metallb-system -o name").await?;
        assert_eq!(left.lines().count(), 2, "{left}");
        until("the workloads are gone", async || {
            let left = "kubectl get deployment,daemonset,role,serviceaccount -n metallb-system -o name";
            let left = shell.run(left).await?;
            if left.contains("lbd") { Err(left.into()) } else { Ok(()) }
        })
        .await
    };
    let outcome: Result = outcome.await;
    // Other cases have what kustomize installs.
    cluster.stop_all()?;
    shell.run("kubectl apply -k deploy/").await?;
    allowed(cluster).await?;
    outcome
}
