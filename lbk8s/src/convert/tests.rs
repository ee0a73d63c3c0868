use serde_json::{Value, json};

use super::*;

fn run(text: &str) -> Result<Vec<Value>, Vec<String>> {
    let object = ObjectRef {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: "metallb-system".into(),
        name: "config".into(),
        uid: "".into(),
    };
    let tell =
        |problems: Vec<Problem>| problems.iter().map(|it| format!("{}: {}", it.path, it.message)).collect();
    convert_text(text, &object, "metallb-system").map_err(tell)
}

#[test]
fn everything_comes_out_under_the_names_and_in_the_order_of_metallb() {
    let text = "
peers:
- my-asn: 64512
  peer-asn: 64513
  peer-address: 10.0.0.1
  hold-time: 1m30.9s
  keepalive-time: 10s
  bfd-profile: Full_One
  node-selectors:
  - match-labels: {rack: a}
    match-expressions: [{key: zone, operator: In, values: [b, c]}]
bgp-communities: {vpn: '65000:2', any: 'large:1:2:3'}
bfd-profiles:
- {name: Full_One, receive-interval: 50, echo-mode: true}
address-pools:
- {name: My_Pool, protocol: layer2, addresses: [10.1.0.0/24], auto-assign: false}
- name: 2nd
  protocol: bgp
  addresses: [10.2.0.1-10.2.0.9]
  bgp-advertisements:
  - {aggregation-length: 32, localpref: 100, communities: [vpn, '65000:1']}
- {name: third, protocol: bgp, addresses: ['fd00::/120'], avoid-buggy-ips: true}
";
    let objects = run(text).expect("all of it is good");
    let names: Vec<String> = objects
        .iter()
        .map(|it| format!("{} {}", it["kind"], it["metadata"]["name"]).replace('"', ""))
        .collect();
    assert_eq!(
        names,
        [
            "BGPPeer peer1",
            "IPAddressPool my-pool",
            "IPAddressPool nd",
            "IPAddressPool third",
            "BGPAdvertisement bgpadvertisement1",
            "BGPAdvertisement bgpadvertisement2",
            "L2Advertisement l2advertisement1",
            "BFDProfile full-one",
            "Community communities",
        ]
    );
    assert_eq!(
        objects[0]["spec"],
        json!({
            "myASN": 64512, "peerASN": 64513, "peerAddress": "10.0.0.1", "holdTime": "90s", "keepaliveTime": "10s",
            "bfdProfile": "full-one",
            "nodeSelectors": [{
                "matchLabels": {"rack": "a"},
                "matchExpressions": [{"key": "zone", "operator": "In", "values": ["b", "c"]}],
            }],
        })
    );
    assert_eq!(objects[1]["spec"], json!({"addresses": ["10.1.0.0/24"], "autoAssign": false}));
    assert_eq!(
        objects[4]["spec"],
        json!({"ipAddressPools": ["nd"], "aggregationLength": 32, "localPref": 100, "communities": ["vpn", "65000:1"]})
    );
    assert_eq!(objects[5]["spec"], json!({"ipAddressPools": ["third"]}));
    assert_eq!(objects[6]["spec"], json!({"ipAddressPools": ["my-pool"]}));
    assert_eq!(
        objects[8]["spec"]["communities"],
        json!([{"name": "any", "value": "large:1:2:3"}, {"name": "vpn", "value": "65000:2"}])
    );
}

#[test]
fn where_metallb_s_converter_is_silent_this_one_fails_with_all_reasons() {
    let text = "
peers:
- {my-asn: 0, peer-asn: 1, peer-address: router, hold-time: 2s, bfd-profile: ful}
bfd-profiles: [{name: full, detect-multiplier: 1}]
address-pools:
- {name: a, protocol: l2, addresses: [10.0.0.0/24]}
- {name: A, protocol: layer2, adresses: [10.1.0.0/24], addresses: [10.0.0.9-10.0.0.1]}
- {name: '123', protocol: layer2, addresses: [10.0.0.128/25]}
- {name: b, protocol: bgp, addresses: [10.3.0.0/24], bgp-advertisements: [{communities: [nix]}]}
";
    let problems = run(text).expect_err("nearly all of it is bad");
    let paths: Vec<&str> = problems
        .iter()
        .map(|it| it.trim_start_matches("data.config: ").split(": ").next().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "address-pools[1].adresses",
            "address-pools[1].name",
            "address-pools[2].name",
            "address-pools[1].addresses[0]",
            "address-pools[2].addresses[0]",
            "peers[0].my-asn",
            "peers[0].peer-address",
            "peers[0].bfd-profile",
            "peers[0].hold-time",
            "address-pools[0].protocol",
            "address-pools[3].bgp-advertisements[0].communities[0]",
            "bfd-profiles[0].detect-multiplier",
        ],
        "{problems:#?}"
    );
    assert!(problems[0].ends_with("did you mean addresses?"), "{}", problems[0]);
    assert!(problems[7].ends_with("did you mean full?"), "{}", problems[7]);
}

#[test]
fn a_text_that_is_none_is_an_error_and_no_panic() {
    for text in ["address-pools: [", "- a", "42", "address-pools: 7", "address-pools: [{protocol: layer2}]"] {
        assert!(run(text).is_err(), "{text}");
    }
    assert_eq!(run("{}").expect("there is nothing in it"), Vec::<Value>::new());
}
