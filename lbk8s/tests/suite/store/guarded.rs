//! The store on a port that not everybody may use: a token, and TLS.

use kube::{Client, Config};
use lbk8s::Store;
use lbk8s::store::{Access, AccessError};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::api::{CONFIG_MAPS, Raw, config_map, in_time, refused};

async fn served(access: Access) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let store = Store::default();
    (port, tokio::spawn(async move { store.serve_to(listener, &access).await }))
}

fn client(mut config: Config, token: Option<&str>) -> Raw {
    config.auth_info.token = token.map(|token| token.to_owned().into());
    Raw(Client::try_from(config).unwrap())
}

#[tokio::test]
async fn who_does_not_say_the_token_is_told_nothing() {
    let (port, server) = served(Access::default().with_token(" open sesame\n").unwrap()).await;
    let with = |token| client(Config::new(format!("http://127.0.0.1:{port}").parse().unwrap()), token);
    for token in [None, Some("open"), Some("open sesamE"), Some("open sesame2"), Some("x")] {
        for path in [CONFIG_MAPS, "/version", "/readyz", "/nowhere"] {
            let refusal = refused(with(token).get(path).await, 401);
            assert_eq!((refusal.reason.as_str(), refusal.message.as_str()), ("Unauthorized", "Unauthorized"));
        }
        refused(with(token).post(CONFIG_MAPS, &config_map("a")).await, 401);
    }
    let api = with(Some("open sesame"));
    assert_eq!(api.names(CONFIG_MAPS).await, Vec::<String>::new());
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    server.abort();
}

#[tokio::test]
async fn by_tls_everything_works_that_works_in_the_clear() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let access = Access::default().with_token("t").unwrap();
    let access = access.with_tls(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap();
    let (port, server) = served(access).await;
    let mut config = Config::new(format!("https://localhost:{port}").parse().unwrap());
    config.root_cert = Some(vec![cert.der().to_vec()]);
    let api = client(config.clone(), Some("t"));
    let mut watch = api.watch(CONFIG_MAPS, "resourceVersion=0").await;
    api.post(CONFIG_MAPS, &config_map("a")).await.unwrap();
    assert_eq!(watch.change().await.short(), "ADDED a");
    refused(client(config.clone(), None).get(CONFIG_MAPS).await, 401);
    // Nobody is served in the clear, nor who does not trust the certificate.
    let clear = client(Config::new(format!("http://localhost:{port}").parse().unwrap()), Some("t"));
    let request = || http::Request::get(CONFIG_MAPS).body(Vec::new()).unwrap();
    assert!(in_time("a refusal", clear.0.request_text(request())).await.is_err());
    config.root_cert = None;
    let stranger = client(config, Some("t"));
    assert!(in_time("a refusal", stranger.0.request_text(request())).await.is_err());
    server.abort();
}

#[test]
fn what_cannot_protect_is_refused() {
    assert!(matches!(Access::default().with_token(" \n"), Err(AccessError::EmptyToken)));
    let one = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
    let tls =
        |cert: &str, key: &str| Access::default().with_tls(cert.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(matches!(tls("", &key), AccessError::Certificate(_)));
    assert!(matches!(tls(&cert, "x"), AccessError::Key(_)));
    assert!(matches!(tls(&cert, &other.signing_key.serialize_pem()), AccessError::Tls(_)));
}
