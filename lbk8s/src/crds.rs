//! The definitions of our kinds (CRDs), made from the types that read them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::objects::facts::NodeFacts;
use crate::objects::metallb::{ConfigurationState, IPAddressPool, L2AdvertisementWithSpec, ServiceL2Status};

/// All definitions that a cluster needs. Those of group `metallb.io` take the place of MetalLB's own: the same names
/// and versions, and every object that was written for MetalLB fits.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        IPAddressPool::crd(),
        L2AdvertisementWithSpec::crd(),
        ServiceL2Status::crd(),
        ConfigurationState::crd(),
        NodeFacts::crd(),
    ];
    for definition in &mut all {
        definition.metadata.labels = Some([("app.kubernetes.io/name".to_owned(), "lbd".to_owned())].into());
        // An advertisement without a spec is one of everything, and those without a status are new.
        let schemas = definition.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
        for schema in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
            let pool = definition.spec.names.kind == "IPAddressPool";
            schema.required = pool.then(|| vec!["spec".to_owned()]);
        }
    }
    all
}
