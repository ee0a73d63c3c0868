//! Parts of the schemas that say more than a type does.

use schemars::{Schema, SchemaGenerator, json_schema};

/// What an entry of `spec.addresses` looks like. The API server takes no IPv4 address inside an IPv6 one for an
/// address; MetalLB does.
const ADDRESS: &str = "self.contains('::ffff:') || (self.contains('-') \
     ? isIP(self.substring(0, self.indexOf('-')).trim()) && isIP(self.substring(self.indexOf('-') + 1).trim()) \
     && ip(self.substring(0, self.indexOf('-')).trim()).family() \
     == ip(self.substring(self.indexOf('-') + 1).trim()).family() : isCIDR(self))";
const ADDRESS_MESSAGE: &str =
    "an entry is a CIDR as in 192.168.3.0/24, or a range of one family as in 192.168.3.251-192.168.3.254";

const EXPRESSION: &str = "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : \
     !has(self.values) || size(self.values) == 0";
const EXPRESSION_MESSAGE: &str = "In and NotIn need values; Exists and DoesNotExist have none";

/// CIDRs and ranges.
pub(super) fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 4096,
        "items": {
            "type": "string",
            "maxLength": 128,
            "x-kubernetes-validations": [{"rule": ADDRESS, "message": ADDRESS_MESSAGE}],
        },
    })
}

/// Names, each once.
pub(super) fn names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "string"},
        "x-kubernetes-list-type": "set",
    })
}

/// One label selector.
pub(super) fn selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
            "matchExpressions": {
                "type": "array",
                "maxItems": 128,
                "x-kubernetes-list-type": "set",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string"},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {
                            "type": "array",
                            "items": {"type": "string"},
                            "x-kubernetes-list-type": "set",
                        },
                    },
                    "x-kubernetes-map-type": "atomic",
                    "x-kubernetes-validations": [{"rule": EXPRESSION, "message": EXPRESSION_MESSAGE}],
                },
            },
        },
        "x-kubernetes-map-type": "atomic",
    })
}

/// Label selectors, one of which has to match, each once.
pub(super) fn selectors(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 512,
        "items": selector(generator),
        "x-kubernetes-list-type": "set",
    })
}

/// Conditions as in every object of Kubernetes, one of each type.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {"type": "string"},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {"type": "string"},
                "message": {"type": "string"},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64"},
            },
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
