//! The key by which the speakers of a cluster know each other: a Secret that is made once.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};

use crate::watching::explain_client;

/// The name of the Secret, which the speakers mount.
pub const NAME: &str = "lbd-membership";
/// The entry in it: 32 random bytes, in hexadecimal digits.
pub const KEY: &str = "key";

const RETRY: Duration = Duration::from_secs(5);

/// Makes the Secret if it is not there; tries until that is so.
pub async fn make(client: &Client, namespace: &str) {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut told = String::new();
    loop {
        let error = match try_to_make(&api).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if told != error {
            tracing::warn!(secret = NAME, error, "the key of the speakers cannot be made; trying again");
            told = error;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Boxes the future: each crate that awaits an unboxed one compiles it again.
fn try_to_make(api: &Api<Secret>) -> BoxFuture<'_, Result<(), String>> {
    make_if_missing(api).boxed()
}

async fn make_if_missing(api: &Api<Secret>) -> Result<(), String> {
    if api.get_opt(NAME).await.map_err(|error| explain_client(&error))?.is_some() {
        return Ok(());
    }
    let key = random_key().map_err(|error| format!("there are no random numbers: {error}"))?;
    let secret = Secret {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
        string_data: Some([(KEY.to_owned(), key)].into()),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => {
            tracing::info!(secret = NAME, "the key of the speakers is made");
            Ok(())
        }
        // Somebody was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(explain_client(&error)),
    }
}

fn random_key() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
