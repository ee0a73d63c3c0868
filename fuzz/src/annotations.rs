//! What a Service asks for in its annotations and in text fields of its spec: `lbk8s::objects::service`.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use kube::core::ObjectMeta;
use lbk8s::objects::service::{ServiceView, Wish};

/// Reads a Service whose annotations are the lines `key=value` of the input. A key of `spec.` is that field.
pub fn check(data: &[u8]) {
    let service = service(&crate::text(data));
    let view = ServiceView::read(&service, &None);
    assert!(view == ServiceView::read(&service, &None), "read twice, understood in two ways");
    match &view.wish {
        Wish::Addresses(request) => {
            for address in &request.addresses {
                assert_eq!(*address, address.to_canonical());
            }
            // A value that is empty or blank is none.
            let mut texts =
                request.pool.iter().map(|it| &**it).chain(request.sharing.iter().map(|it| it.key.as_str()));
            assert!(texts.all(|it| !it.is_empty() && it.trim() == it), "{request:?}");
        }
        Wish::Unclear(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|it| !it.path.is_empty() && !it.message.is_empty()), "{problems:?}");
        }
        Wish::Nothing => {}
        Wish::NotOurs => panic!("a Service of no class is ours"),
    }
}

/// A Service of type `LoadBalancer` with a cluster address of each family, and what the lines say.
fn service(text: &str) -> Service {
    let mut service = Service {
        metadata: ObjectMeta {
            name: Some("web".to_owned()),
            namespace: Some("default".to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            type_: Some("LoadBalancer".to_owned()),
            cluster_ips: Some(vec!["10.96.0.7".to_owned(), "fd96::7".to_owned()]),
            ports: Some(vec![ServicePort { port: 80, ..ServicePort::default() }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    let spec = service.spec.get_or_insert_default();
    let annotations = service.metadata.annotations.get_or_insert_default();
    for line in text.split('\n') {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let value = value.to_owned();
        match key {
            "spec.loadBalancerIP" => spec.load_balancer_ip = Some(value),
            "spec.clusterIPs" => spec.cluster_ips = Some(value.split(',').map(str::to_owned).collect()),
            "spec.ipFamilyPolicy" => spec.ip_family_policy = Some(value),
            "spec.externalTrafficPolicy" => spec.external_traffic_policy = Some(value),
            annotation => drop(annotations.insert(annotation.to_owned(), value)),
        }
    }
    service
}
