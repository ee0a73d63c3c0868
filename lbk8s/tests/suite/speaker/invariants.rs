//! Speakers that are told of the same things in different orders come to the same end.
#![cfg(feature = "speaker")]

use std::collections::BTreeMap;

use lbcore::ServiceKey;
use lbk8s::objects::config::ConfigChange;
use lbk8s::objects::endpoints::SliceView;
use lbk8s::objects::node;
use lbk8s::speaker::{Change, Effect, Rules, Speaker, WithoutSlices};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{advertisement, announced, config_change, holding, ip, pool, with};

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

/// What became of one object: its forms in their order, the last of which may be that it is gone.
type Life = Vec<Change>;

fn service(number: u32) -> impl Strategy<Value = Change> {
    let addresses = prop::sample::subsequence(vec!["10.0.0.1", "10.0.0.2", "10.0.1.1", "172.16.0.1"], 0..3);
    let more =
        (any::<bool>(), prop::sample::select(vec!["x", "y"]), prop::sample::select(vec!["default", "gone"]));
    (addresses, more).prop_map(move |(addresses, (local, app, recorded))| {
        let policy = if local { "Local" } else { "Cluster" };
        let patch = json!({"metadata": {"labels": {"app": app}}, "spec": {"externalTrafficPolicy": policy}});
        Change::Service(announced(&with(
            holding(&format!("s{number}"), number, &addresses, recorded),
            &patch,
        )))
    })
}

fn slice(number: u32) -> impl Strategy<Value = Change> {
    let endpoint = (prop::sample::select(NODES.to_vec()), any::<bool>(), any::<bool>());
    prop::collection::vec(endpoint, 0..4).prop_map(move |endpoints| {
        let endpoint = |(node, ready, serving): &(&str, bool, bool)| {
            json!({"addresses": ["10.1.0.1"], "nodeName": node, "conditions": {"ready": ready, "serving": serving}})
        };
        let endpoints: Vec<Value> = endpoints.iter().map(endpoint).collect();
        let labels = json!({"kubernetes.io/service-name": format!("s{number}")});
        let slice = json!({
            "metadata": {"name": format!("slice-{number}"), "namespace": "default", "labels": labels},
            "addressType": "IPv4", "endpoints": endpoints,
        });
        Change::Slice(SliceView::read(&serde_json::from_value(slice).unwrap()))
    })
}

fn node_form(name: &'static str) -> impl Strategy<Value = Change> {
    (prop::sample::select(vec!["1", "2"]), prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(
        move |(zone, excluded, down)| {
            let mut labels = json!({"zone": zone});
            if excluded {
                labels["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
            }
            let status = if down { "True" } else { "False" };
            let object = json!({
                "metadata": {"name": name, "labels": labels},
                "status": {"conditions": [{"type": "NetworkUnavailable", "status": status}]},
            });
            Change::Node(node::read(&serde_json::from_value(object).unwrap()))
        },
    )
}

fn config(object: &Value) -> Change {
    Change::Config(config_change(object))
}

fn advertisement_form(name: &'static str) -> impl Strategy<Value = Change> {
    let zone = |zone: &str| json!([{"matchLabels": {"zone": zone}}]);
    let specs = vec![
        json!({}),
        json!({"nodeSelectors": zone("1")}),
        json!({"ipAddressPools": ["default"], "interfaces": ["eth1"]}),
        json!({"serviceSelectors": [{"matchLabels": {"app": "x"}}]}),
        json!({"preferredNodeSelectors": [{"weight": 3, "preference": zone("2")[0]}]}),
    ];
    prop::sample::select(specs).prop_map(move |spec| config(&advertisement(name, &spec)))
}

fn pool_form(name: &'static str, net: &'static str) -> impl Strategy<Value = Change> {
    prop::sample::select(vec!["28", "29", "30"])
        .prop_map(move |length| config(&pool(name, 1, &[&format!("{net}/{length}")])))
}

/// The forms of an object, or with `gone` that it went in the end.
fn life(form: impl Strategy<Value = Change> + 'static, gone: Change) -> BoxedStrategy<Life> {
    (prop::collection::vec(form, 1..4), prop::bool::weighted(0.2))
        .prop_map(move |(mut forms, ends)| {
            forms.extend(ends.then(|| gone.clone()));
            forms
        })
        .boxed()
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let key = |name: String| ServiceKey::new("default", name);
    let gone = |change| Change::Config(Box::new(change));
    let mut all = Vec::new();
    for number in 0..4 {
        all.push(life(service(number), Change::ServiceGone(key(format!("s{number}")))));
        all.push(life(slice(number), Change::SliceGone(key(format!("slice-{number}")))));
    }
    for name in NODES {
        all.push(life(node_form(name), Change::NodeGone(name.to_owned())));
    }
    for name in ["all", "some"] {
        all.push(life(advertisement_form(name), gone(ConfigChange::AdvertisementGone(name.to_owned()))));
    }
    for (name, net) in [("default", "10.0.0.0"), ("second", "10.0.1.0")] {
        all.push(life(pool_form(name, net), gone(ConfigChange::PoolGone(name.to_owned()))));
    }
    all
}

/// The changes of all lives as one speaker hears of them: those of one object in their order, and all the
/// others in between; some forms are never seen, but the last always is.
fn heard(lives: &[Life], choices: &[u16]) -> Vec<Change> {
    let mut left: Vec<&[Change]> = lives.iter().map(Vec::as_slice).collect();
    let mut heard = Vec::new();
    let mut choices = choices.iter().cycle();
    while left.iter().any(|life| !life.is_empty()) {
        let choice = usize::from(*choices.next().unwrap());
        left.retain(|life| !life.is_empty());
        let at = (choice / 2) % left.len();
        let life = left[at];
        if choice % 2 == 0 || life.len() == 1 {
            heard.push(life[0].clone());
        }
        left[at] = &life[1..];
    }
    heard
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn whatever_the_order_each_address_has_the_one_owner_that_newcomers_see(
        lives in lives(),
        choices in prop::array::uniform3(prop::collection::vec(any::<u16>(), 37)),
        synced_at in prop::array::uniform3(0_usize..60),
    ) {
        let mut newcomer = Speaker::new("newcomer", Rules::default());
        for life in &lives {
            newcomer.apply(life.last().unwrap().clone());
        }
        newcomer.apply(Change::Synced);
        let mut owners: BTreeMap<std::net::IpAddr, Vec<&str>> = BTreeMap::new();
        for (index, name) in NODES.iter().enumerate() {
            let mut speaker = Speaker::new(*name, Rules::default());
            let mut changes = heard(&lives, &choices[index]);
            let at = synced_at[index].min(changes.len());
            changes.insert(at, Change::Synced);
            let mut announced = BTreeMap::new();
            for (turn, change) in changes.into_iter().enumerate() {
                let again = change.clone();
                let effects = speaker.apply(change);
                prop_assert!(turn >= at || effects.is_empty(), "done before all is known: {effects:?}");
                for effect in effects {
                    match effect {
                        Effect::Announce { address, interfaces, .. } => {
                            let before = announced.insert(address, interfaces.clone());
                            prop_assert!(before.as_ref() != Some(&interfaces));
                        }
                        Effect::Withdraw { address, .. } => prop_assert!(announced.remove(&address).is_some()),
                        Effect::Owner { address, .. } | Effect::AnnounceAgain { address } => {
                            prop_assert!(announced.contains_key(&address));
                        }
                        Effect::Nobody { why, .. } => prop_assert!(!why.is_empty()),
                        Effect::Overlap { .. } => prop_assert!(false, "nobody else is heard"),
                    }
                }
                let repeated = speaker.apply(again);
                prop_assert!(repeated.is_empty(), "told twice, done twice: {repeated:?}");
            }
            for (address, interfaces) in announced {
                owners.entry(address).or_default().push(name);
                let ownership = newcomer.ownership(address).unwrap();
                prop_assert_eq!(&ownership.owner().unwrap().interfaces, &interfaces);
            }
        }
        for address in ["10.0.0.1", "10.0.0.2", "10.0.1.1", "172.16.0.1"].map(ip) {
            let ownership = newcomer.ownership(address);
            let expected = ownership.as_ref().and_then(|it| it.owner()).map(|owner| owner.node.as_str());
            let found = owners.remove(&address).unwrap_or_default();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{}", address);
        }
    }
}

/// How many addresses a speaker announces that was told of these objects of the configuration one by one.
fn addresses_announced(objects: &[&Value]) -> usize {
    let mut speaker =
        Speaker::new("node-a", Rules { without_slices: WithoutSlices::Served, ..Rules::default() });
    for object in objects {
        speaker.apply(config(object));
    }
    let node = json!({"metadata": {"name": "node-a"}});
    speaker.apply(Change::Node(node::read(&serde_json::from_value(node).unwrap())));
    speaker.apply(Change::Service(announced(&holding("web", 1, &["10.0.0.1"], "default"))));
    speaker.apply(Change::Synced);
    speaker.owned().count()
}

#[test]
fn a_speaker_that_was_restarted_agrees_with_one_that_was_not_about_a_broken_pool() {
    let labelled = |object| with(object, &json!({"metadata": {"labels": {"tier": "front"}}}));
    let good = labelled(pool("default", 1, &["10.0.0.0/24"]));
    let broken = labelled(pool("default", 1, &["frog"]));
    let by_label = json!({"ipAddressPoolSelectors": [{"matchLabels": {"tier": "front"}}]});
    let by_label = advertisement("all", &by_label);
    assert_eq!(
        (addresses_announced(&[&good, &by_label, &broken]), addresses_announced(&[&by_label, &broken])),
        (1, 1)
    );
}

#[test]
fn a_speaker_that_was_restarted_agrees_with_one_that_was_not_about_pools_that_overlap() {
    let default = pool("default", 9, &["10.0.0.0/25"]);
    let (apart, overlapping) = (pool("older", 1, &["10.1.0.0/24"]), pool("older", 1, &["10.0.0.0/24"]));
    let ad = advertisement("all", &json!({"ipAddressPools": ["default"]}));
    let (running, restarted) = ([&default, &apart, &ad, &overlapping], [&overlapping, &default, &ad]);
    assert_eq!(addresses_announced(&running), addresses_announced(&restarted));
}
