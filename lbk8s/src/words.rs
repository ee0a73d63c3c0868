//! Words for machines that no enum lists: reasons of events, conditions, and codes of problems, each with its meaning.
//!
//! They stand in the code where they are used. A test of `lbd` reads the sources and sees that none is missing here, and
//! none is here that nobody uses; the book's tables are made of them.

/// A reason of events.
#[derive(Debug, Clone, Copy)]
pub struct EventReason {
    /// As in an event's `reason`.
    pub word: &'static str,
    /// What the event is about.
    pub about: &'static str,
    /// As in an event's `type`.
    pub severity: &'static str,
    /// Which component sends it.
    pub from: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

/// Every reason of an event. Where MetalLB has one that means the same, it is MetalLB's.
pub const EVENTS: &[EventReason] = &[
    event(
        "IPAllocated",
        SERVICE,
        NORMAL,
        CONTROLLER,
        "It has got addresses; the note names the pools, and says why it is these.",
    ),
    event(
        "AllocationFailed",
        SERVICE,
        WARNING,
        CONTROLLER,
        "It waits, is refused, or keeps an address that it should leave; the note says why.",
    ),
    event(
        "ClearAssignment",
        SERVICE,
        "Normal, Warning",
        CONTROLLER,
        "An address is not its own any more. Normal if it asks for none, a warning with the reason otherwise.",
    ),
    event("LoadBalancerFailed", SERVICE, WARNING, CONTROLLER, "What it asks for cannot be read."),
    event(
        "deprecatedAnnotation",
        SERVICE,
        WARNING,
        CONTROLLER,
        "It has annotations under `metallb.universe.tf/`, which should begin with `metallb.io/` now.",
    ),
    event(
        "StatusConflict",
        SERVICE,
        WARNING,
        CONTROLLER,
        "Somebody else, who is named, keeps changing its status.",
    ),
    event(
        "nodeAssigned",
        SERVICE,
        NORMAL,
        SPEAKER,
        "A node answers for an address of it from now on; the note says why, if another one did before.",
    ),
    event(
        "announceFailed",
        SERVICE,
        WARNING,
        SPEAKER,
        "An address is not answered: no node can, the owner's interfaces cannot, or another station has it already.",
    ),
    event(
        "addressConflict",
        SERVICE,
        WARNING,
        SPEAKER,
        "Another station claims an address that is answered here; the note has its hardware address.",
    ),
    event(
        "answeredTwice",
        SERVICE,
        WARNING,
        SPEAKER,
        "Two nodes that did not hear each other answered for one address; the note says for how long they did not.",
    ),
    event("ConfigurationError", CONFIGURATION, WARNING, CONTROLLER, "It is not in force as it is written."),
    event(
        "ConfigurationWarning",
        CONFIGURATION,
        WARNING,
        CONTROLLER,
        "It is in force and of no use, or not served, as what is BGP's.",
    ),
];

const SERVICE: &str = "Service";
const CONFIGURATION: &str = "pools, advertisements, ConfigMaps, what MetalLB left";
const NORMAL: &str = "Normal";
const WARNING: &str = "Warning";
const CONTROLLER: &str = "controller";
const SPEAKER: &str = "speaker";

const fn event(
    word: &'static str,
    about: &'static str,
    severity: &'static str,
    from: &'static str,
    meaning: &'static str,
) -> EventReason {
    EventReason { word, about, severity, from, meaning }
}

/// Every condition that is written: its type, the object that has it, and what it says.
pub const CONDITIONS: &[[&str; 3]] = &[
    [
        "lbd.io/Assigned",
        "Service",
        "`True` with the reason `Assigned`: it has what it asks for. `True` with another reason: it has an address, and \
         something is the matter with it. `False`: it has none. `InvalidRequest`: what it asks for cannot be read.",
    ],
    [
        "lbd.io/InForce",
        "IPAddressPool, L2Advertisement",
        "`True` with the reason `InForce`: in force as it is written. Otherwise the reason is the code of the first \
         problem; `False` if it is an error, and then its last good form stays in force.",
    ],
    [
        "poolReconcilerValid",
        "ConfigurationState `controller`",
        "`Reconciled`: all that is configured is in force. `ConfigurationError`: something is not; all errors, a line each.",
    ],
    [
        "configReconcilerValid",
        "ConfigurationState `speaker-NODE`",
        "The same, as the speaker of a node reads it.",
    ],
];

/// Every code of a problem, but for those of refusals ([`lbcore::Refusal::code`]), which can be one too.
pub const PROBLEMS: &[[&str; 2]] = &[
    ["ConflictingRequests", "A Service asks for addresses in two ways that contradict each other."],
    ["Deprecated", "An annotation is written under MetalLB's prefix of old."],
    ["Duplicate", "An object is in the manifests twice."],
    ["DuplicateName", "Two pools have one name."],
    ["ExcludesNothing", "`lbd.io/exclude` names addresses that the pool does not have."],
    ["FamiliesApart", "No node can announce both families of a Service, so that two do."],
    ["InvalidAddress", "An address, a CIDR or a range cannot be read."],
    ["InvalidAnnotation", "The value of an annotation cannot be read."],
    ["InvalidClusterAddress", "A Service has a cluster address that is none."],
    ["InvalidConfigMap", "The ConfigMap `metallb-excludel2` cannot be read."],
    ["InvalidName", "A name in a v0.12 ConfigMap cannot be made one of Kubernetes."],
    ["InvalidSelector", "A label selector cannot be read."],
    ["InvalidValue", "A field has a value that it cannot have."],
    ["InvalidWeight", "The weight of a preferred node is not from 1 to 100."],
    ["MetalLBRuns", "MetalLB's controller or speakers still run, and lbd waits, unless it was told not to."],
    ["NoAddresses", "A pool has no addresses."],
    ["NoConfiguration", "A v0.12 ConfigMap has no text under the key `config`."],
    ["NoNamespace", "An object names no namespace, and counts only in that of pools and advertisements."],
    ["NoSecondFamily", "A Service requires two families, and the cluster gave it one."],
    [
        "NotAdvertised",
        "No `L2Advertisement` chooses a pool: its addresses are given, and nobody answers for them.",
    ],
    ["NotAnObject", "A document is no object: it has no apiVersion, no kind or no name."],
    [
        "NotCovered",
        "A v0.12 ConfigMap stays in force beside pools, because Services hold addresses that only it has.",
    ],
    [
        "NotForMetalLB",
        "MetalLB would refuse this, and with it the whole configuration, if you went back to it.",
    ],
    ["NearlyFull", "No more than a tenth of a pool's addresses is left; told of a cluster only."],
    ["NotInForce", "A v0.12 ConfigMap is not in force, because there are pools."],
    ["NotServed", "It is BGP's, and lbd serves layer 2 only."],
    ["Overlap", "Two ranges have addresses in common."],
    ["ReservedOutside", "`lbd.io/reserve` names addresses that the pool does not have."],
    ["ReservedTwice", "`lbd.io/reserve` keeps an address for two."],
    ["SelectsNothing", "A selector chooses nothing of what is there."],
    ["Syntax", "A text is not YAML."],
    ["UnknownAnnotation", "An annotation under `lbd.io/` that nobody reads."],
    ["UnknownCommunity", "A v0.12 ConfigMap names a community that is not in it."],
    ["UnknownField", "An object has a field that its kind does not have."],
    ["UnknownKind", "A kind that its group does not have."],
    ["UnknownNamespace", "A pool is set aside for a namespace that is not there."],
    ["UnknownPool", "An advertisement names a pool that is not there."],
    ["UnknownProfile", "A v0.12 ConfigMap names a BFD profile that is not in it."],
    ["UnknownProtocol", "The protocol of a pool is neither `layer2` nor `bgp`."],
    ["UnknownVersion", "A version of a kind that is not served."],
    ["Unreadable", "A file cannot be read."],
    ["WebhookLeft", "MetalLB's webhook is left, and every edit of a pool is refused until it is deleted."],
    ["WrongNamespace", "An object is in a namespace in which nobody reads it."],
];

/// Why a plan does not look at a Service, or cannot.
pub const IGNORED: &[[&str; 2]] = &[
    ["InvalidRequest", "What it asks for cannot be read; the message has all that is wrong."],
    ["OtherClass", "It names another implementation (`spec.loadBalancerClass`)."],
    ["OtherType", "It is not of type LoadBalancer."],
];
