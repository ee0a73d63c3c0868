//! A Service as allocation and announcing see it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use lbcore::{Families, Family, Labels, Port, Protocol, Request, ServiceKey, Sharing};

use serde::{Deserialize, Serialize};

use super::{ObjectRef, Problem, annotations, created};

/// The parts of a Service that we look at.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceView {
    /// Namespace and name.
    pub key: ServiceKey,
    /// The whole reference, for events.
    pub object: ObjectRef,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// What it asks for.
    pub wish: Wish,
    /// What it shows (`status.loadBalancer.ingress`), others' fields included.
    pub ingress: Vec<LoadBalancerIngress>,
    /// Its conditions, others' included.
    pub conditions: Vec<Condition>,
    /// The pool recorded beside the addresses.
    pub recorded_pool: Option<String>,
    /// The same under the key that MetalLB used before.
    pub recorded_before: Option<String>,
    /// What is recorded of addresses that their pool no longer has.
    pub kept: BTreeMap<IpAddr, Kept>,
    /// Its labels.
    pub labels: Labels,
    /// `externalTrafficPolicy: Local`.
    pub local: bool,
    /// Different nodes are to answer for its two families: [`annotations::SPREAD`].
    pub spread: bool,
    /// The annotations of it that are written under MetalLB's deprecated prefix.
    pub deprecated: Vec<String>,
    /// Who else has written its addresses, by the name that he goes by (`metadata.managedFields`).
    pub other_writer: Option<String>,
    created: i64,
    /// If its wish cannot be read: the part of it that can be.
    readable: Option<Box<Request>>,
}

/// What a Service asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Addresses.
    Addresses(Arc<Request>),
    /// It is ours, but what it asks for cannot be read. What it holds stays.
    Unclear(Vec<Problem>),
    /// It is of another type, or has no cluster address yet: nothing, and what it held is free.
    Nothing,
    /// It is another implementation's (`spec.loadBalancerClass`): not to be touched.
    NotOurs,
}

/// Where an address came from that its pool no longer has: an entry of [`annotations::KEPT`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The pool it came from.
    pub pool: String,
    /// The advertisements that chose the pool last: under these it stays announced. `None` if nobody saw the pool
    /// go; then those that name it count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertisements: Option<BTreeSet<String>>,
}

fn read_kept(service: &Service) -> BTreeMap<IpAddr, Kept> {
    // We wrote it ourselves; what somebody else made of it counts as nothing.
    let text = service.annotations().get(annotations::KEPT);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The name under which the controller writes the status of Services.
pub const FIELD_MANAGER: &str = "lbd-controller";

/// The one beside us who has written the addresses of a Service last.
fn other_writer(service: &Service) -> Option<String> {
    let entries = service.metadata.managed_fields.iter().flatten();
    let foreign = entries.filter(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER));
    let addresses = foreign.filter(|entry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:status/f:loadBalancer").is_some())
    });
    addresses
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
        .and_then(|entry| entry.manager.clone())
}

/// The class of Services that are ours: without one, those that name no class.
pub type Class = Option<String>;

/// Where the families of a Service come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FamiliesFrom {
    /// Its cluster addresses alone: only they can be reached, and it has them before it is ours to serve.
    ClusterAddresses,
    /// Its cluster addresses, else what it asks for, else IPv4: it may be on no cluster yet.
    WhatIsWritten,
}

impl ServiceView {
    /// Reads a Service.
    #[must_use]
    pub fn read(service: &Service, class: &Class) -> Self {
        Self::read_from(service, class, FamiliesFrom::ClusterAddresses)
    }

    /// Reads a Service from a manifest, which need not have cluster addresses yet: then its families are those of
    /// `spec.ipFamilies`, and without these it is IPv4.
    #[must_use]
    pub fn read_manifest(service: &Service, class: &Class) -> Self {
        Self::read_from(service, class, FamiliesFrom::WhatIsWritten)
    }

    fn read_from(service: &Service, class: &Class, families: FamiliesFrom) -> Self {
        let status = service.status.clone().unwrap_or_default();
        let object = ObjectRef::of(service);
        let labels = Labels::from(service.labels());
        let (wish, readable) = read_wish(service, &object, &labels, class, families);
        let local = service.spec.as_ref().is_some_and(is_local);
        Self {
            created: created(service),
            readable,
            key: object.key(),
            object,
            version: service.resource_version().unwrap_or_default(),
            wish,
            ingress: status.load_balancer.and_then(|status| status.ingress).unwrap_or_default(),
            conditions: status.conditions.unwrap_or_default(),
            recorded_pool: service.annotations().get(annotations::ALLOCATED_FROM).cloned(),
            recorded_before: service.annotations().get(annotations::ALLOCATED_FROM_OF_OLD).cloned(),
            kept: read_kept(service),
            labels,
            local,
            spread: service.annotations().get(annotations::SPREAD).is_some_and(|text| text.trim() == "true"),
            deprecated: annotations::deprecated(service.annotations()),
            other_writer: other_writer(service),
        }
    }

    /// When it was created, in microseconds since the Unix epoch.
    #[must_use]
    pub fn created(&self) -> i64 {
        self.created
    }

    /// A condition by its type.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Whether this is an earlier form of the same Service than `other`. Resource versions of one kind can be
    /// compared since Kubernetes 1.35 says so, and could be in every store before.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        let version = |view: &Self| view.version.parse::<u64>().ok();
        let older = version(self).zip(version(other)).is_some_and(|(ours, theirs)| ours < theirs);
        older && self.object.uid == other.object.uid
    }

    /// A request for just the addresses that it shows: what it is taken to ask for while that cannot be read
    /// ([`Wish::Unclear`]).
    #[must_use]
    pub fn request_for_what_is_shown(&self) -> Option<Request> {
        let shown = self.addresses();
        let primary = Family::of(*shown.first()?);
        let both = shown.iter().any(|address| Family::of(*address) != primary);
        let families = if both { Families::Prefer { primary } } else { Families::Single(primary) };
        Some(Request { addresses: shown, families, ..*self.readable.clone()? })
    }

    /// The pool recorded beside its addresses, under whichever key there is one.
    #[must_use]
    pub fn pool_on_record(&self) -> Option<&str> {
        self.recorded_pool.as_deref().or(self.recorded_before.as_deref())
    }

    /// The pools that are recorded of single addresses.
    #[must_use]
    pub fn recorded_pools(&self) -> BTreeMap<IpAddr, String> {
        self.kept.iter().map(|(address, kept)| (*address, kept.pool.clone())).collect()
    }

    /// The addresses that it shows; what is no address is passed over.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.ingress.iter().filter_map(|entry| entry.ip.as_ref()?.parse().ok()).collect()
    }
}

/// What it asks for; if that cannot be read as a whole, also what of it can be.
fn read_wish(
    service: &Service,
    object: &ObjectRef,
    labels: &Labels,
    class: &Class,
    from: FamiliesFrom,
) -> (Wish, Option<Box<Request>>) {
    let unspecified = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&unspecified);
    if spec.type_.as_deref() != Some("LoadBalancer") {
        return (Wish::Nothing, None);
    }
    if spec.load_balancer_class != *class {
        return (Wish::NotOurs, None);
    }
    let mut problems = Vec::new();
    let families = match read_families(spec, object, from) {
        Ok(Some(families)) => families,
        Ok(None) => return (Wish::Nothing, None),
        Err(problem) => {
            problems.push(problem);
            // It is not asked for.
            Families::Single(Family::V4)
        }
    };
    let addresses = read_addresses(service, spec, object, &mut problems);
    let all = service.annotations();
    let release = annotations::read(object, all, annotations::RELEASE, &mut problems, annotations::release);
    annotations::read(object, all, annotations::SPREAD, &mut problems, annotations::yes_or_no);
    let annotation = |name| annotations::find(all, name).map(|(_, value)| value);
    let readable = Request {
        created: created(service),
        sharing: annotation(annotations::ALLOW_SHARED_IP)
            .map(|key| Sharing { key: key.to_owned(), backend: backend(spec) }),
        ports: read_ports(spec),
        labels: labels.clone(),
        ..Request::new(object.key(), families)
    };
    if !problems.is_empty() {
        return (Wish::Unclear(problems), Some(Box::new(readable)));
    }
    let pool = annotation(annotations::ADDRESS_POOL).map(Arc::from);
    let wish = Request { addresses, pool, release: release.unwrap_or_default(), ..readable };
    (Wish::Addresses(Arc::new(wish)), None)
}

/// The families of the cluster addresses: only they can be reached. `None` while there is none.
fn read_families(
    spec: &ServiceSpec,
    object: &ObjectRef,
    from: FamiliesFrom,
) -> Result<Option<Families>, Problem> {
    let listed = spec.cluster_ips.clone().unwrap_or_default();
    let texts = if listed.is_empty() { spec.cluster_ip.clone().into_iter().collect() } else { listed };
    let mut families: Vec<Family> = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let address: IpAddr = text.parse().map_err(|_| {
            let message = format!("{text:?} is no address; a LoadBalancer Service needs a cluster address");
            let field = if spec.cluster_ips.iter().flatten().any(|listed| listed == text) { "s" } else { "" };
            Problem::new(object, "InvalidClusterAddress", format!("spec.clusterIP{field}"), message)
        })?;
        families.push(Family::of(address));
    }
    let required = spec.ip_family_policy.as_deref() == Some("RequireDualStack");
    match families[..] {
        [] if from == FamiliesFrom::WhatIsWritten => written_families(spec, object).map(Some),
        [] => Ok(None),
        [primary, second, ..] if primary != second && required => Ok(Some(Families::Require { primary })),
        [primary, second, ..] if primary != second => Ok(Some(Families::Prefer { primary })),
        [_, ..] if required => {
            let message =
                "is RequireDualStack, but the Service has one cluster address; is the cluster dual-stack?";
            Err(Problem::new(object, "NoSecondFamily", "spec.ipFamilyPolicy", message))
        }
        // With PreferDualStack on a single-stack cluster a second family could not be reached.
        [only, ..] => Ok(Some(Families::Single(only))),
    }
}

/// The families that a Service asks for (`spec.ipFamilies` and `spec.ipFamilyPolicy`).
fn written_families(spec: &ServiceSpec, object: &ObjectRef) -> Result<Families, Problem> {
    let mut families: Vec<Family> = Vec::new();
    for (index, text) in spec.ip_families.iter().flatten().enumerate() {
        families.push(match text.as_str() {
            "IPv4" => Family::V4,
            "IPv6" => Family::V6,
            other => {
                let message = format!("{other:?} is no family; write IPv4 or IPv6");
                let path = format!("spec.ipFamilies[{index}]");
                return Err(Problem::new(object, crate::schema::INVALID_VALUE, path, message));
            }
        });
    }
    let primary = families.first().copied().unwrap_or(Family::V4);
    Ok(match (spec.ip_family_policy.as_deref(), families.len()) {
        // Of two families without a policy the API server makes a Service that requires both.
        (Some("RequireDualStack"), _) | (None, 2..) => Families::Require { primary },
        (Some("PreferDualStack"), 2..) => Families::Prefer { primary },
        _ => Families::Single(primary),
    })
}

/// The addresses asked for, from the annotation or from `spec.loadBalancerIP`.
fn read_addresses(
    service: &Service,
    spec: &ServiceSpec,
    object: &ObjectRef,
    problems: &mut Vec<Problem>,
) -> Vec<IpAddr> {
    let annotation = annotations::find(service.annotations(), annotations::LOAD_BALANCER_IPS);
    let field = spec.load_balancer_ip.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let (path, text) = match (annotation, field) {
        (None, None) => return Vec::new(),
        (Some((key, text)), None) => (format!("metadata.annotations[{key}]"), text),
        (None, Some(text)) => ("spec.loadBalancerIP".to_owned(), text),
        (Some((key, _)), Some(_)) => {
            let message = format!("is set together with the annotation {key}; remove one of them");
            problems.push(Problem::new(object, "ConflictingRequests", "spec.loadBalancerIP", message));
            return Vec::new();
        }
    };
    let mut addresses = Vec::new();
    for part in text.split(',').map(str::trim) {
        if let Ok(address) = part.parse::<IpAddr>() {
            addresses.push(address.to_canonical());
        } else {
            let message = format!("{part:?} is no IP address");
            problems.push(Problem::new(object, "InvalidAddress", path.as_str(), message));
        }
    }
    addresses
}

fn read_ports(spec: &ServiceSpec) -> BTreeSet<Port> {
    let ports = spec.ports.iter().flatten();
    ports
        .filter_map(|port| {
            let protocol = match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            };
            Some(Port { protocol, number: u16::try_from(port.port).ok()? })
        })
        .collect()
}

fn is_local(spec: &ServiceSpec) -> bool {
    spec.external_traffic_policy.as_deref() == Some("Local")
}

/// Services with `externalTrafficPolicy: Local` share an address only if they have the same pods.
fn backend(spec: &ServiceSpec) -> String {
    if !is_local(spec) {
        return String::new();
    }
    let selector = spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    format!("local:{}", selector.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wish(annotations: &Value, spec: &Value) -> Wish {
        let mut all = json!({"type": "LoadBalancer", "clusterIPs": ["10.96.0.7"], "ports": [{"port": 80}]});
        for (key, value) in spec.as_object().unwrap() {
            all[key] = value.clone();
        }
        let service =
            json!({"metadata": {"name": "a", "namespace": "n", "annotations": annotations}, "spec": all});
        ServiceView::read(&serde_json::from_value(service).unwrap(), &None).wish
    }

    fn request(annotations: &Value, spec: &Value) -> Request {
        match wish(annotations, spec) {
            Wish::Addresses(request) => (*request).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn families_are_those_of_the_cluster_addresses() {
        let families = |spec| request(&json!({}), &spec).families;
        let both = json!(["10.96.0.7", "fd96::7"]);
        assert_eq!(families(json!({})), Families::Single(Family::V4));
        assert_eq!(families(json!({"ipFamilyPolicy": "PreferDualStack"})), Families::Single(Family::V4));
        assert_eq!(
            families(json!({"clusterIPs": both, "ipFamilyPolicy": "PreferDualStack"})),
            Families::Prefer { primary: Family::V4 }
        );
        assert_eq!(
            families(json!({"clusterIPs": ["fd96::7", "10.96.0.7"], "ipFamilyPolicy": "RequireDualStack"})),
            Families::Require { primary: Family::V6 }
        );
    }

    #[test]
    fn annotations_count_under_both_prefixes_and_an_empty_one_hides_nothing() {
        let pool = |annotations| request(&annotations, &json!({})).pool;
        assert_eq!(pool(json!({"metallb.io/address-pool": "a"})).as_deref(), Some("a"));
        assert_eq!(pool(json!({"metallb.universe.tf/address-pool": "b"})).as_deref(), Some("b"));
        assert_eq!(
            pool(json!({"metallb.io/address-pool": "", "metallb.universe.tf/address-pool": "b"})).as_deref(),
            Some("b")
        );
        let addresses =
            request(&json!({"metallb.io/loadBalancerIPs": "10.0.0.9, 10.0.0.8"}), &json!({})).addresses;
        assert_eq!(addresses, ["10.0.0.9".parse::<IpAddr>().unwrap(), "10.0.0.8".parse().unwrap()]);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_field() {
        let problems = |annotations: Value, spec: Value| match wish(&annotations, &spec) {
            Wish::Unclear(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            problems(json!({"metallb.io/loadBalancerIPs": "10.0.0.9,frog"}), json!({})),
            [r#"Service n/a: metadata.annotations[metallb.io/loadBalancerIPs]: "frog" is no IP address"#]
        );
        assert_eq!(
            problems(
                json!({"metallb.io/loadBalancerIPs": "10.0.0.9"}),
                json!({"loadBalancerIP": "10.0.0.9"})
            ),
            [
                "Service n/a: spec.loadBalancerIP: is set together with the annotation metallb.io/loadBalancerIPs; remove one of them"
            ]
        );
        assert_eq!(problems(json!({}), json!({"clusterIPs": ["None"]})).len(), 1);
        assert_eq!(problems(json!({}), json!({"ipFamilyPolicy": "RequireDualStack"})).len(), 1);
    }

    #[test]
    fn other_types_and_classes_are_left_alone() {
        assert_eq!(wish(&json!({}), &json!({"type": "ClusterIP"})), Wish::Nothing);
        assert_eq!(wish(&json!({}), &json!({"clusterIPs": []})), Wish::Nothing);
        assert_eq!(wish(&json!({}), &json!({"loadBalancerClass": "example.com/other"})), Wish::NotOurs);
    }
}
