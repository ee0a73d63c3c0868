//! Who may ask the API server: tokens made for one run, and a kubeconfig for each.

use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use lbk8s::CONFIG_NAMESPACE;

use crate::Result;
use crate::role::Role;
use crate::site::SERVER;

/// The files of one run.
#[derive(Debug)]
pub(super) struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    pub(super) fn make(programs: &Path, folder: &Path) -> Result<Self> {
        let credentials = Self { folder: folder.to_owned() };
        let account = |name: &str| format!("system:serviceaccount:{CONFIG_NAMESPACE}:{name}");
        let accounts = "system:serviceaccounts,system:authenticated";
        let mut tokens = String::new();
        for (name, user, groups) in [
            ("admin", "admin".to_owned(), "system:masters"),
            ("kube-proxy", "system:kube-proxy".to_owned(), ""),
            ("controller", account("lbd-controller"), accounts),
            ("speaker", account("lbd-speaker"), accounts),
            ("viewer", "viewer".to_owned(), "lbd-viewers"),
            ("stranger", "stranger".to_owned(), ""),
        ] {
            let token = random()?;
            writeln!(tokens, "{token},{user},{user},\"{groups}\"")?;
            let authority = folder.join("certificates/apiserver.crt");
            let kubeconfig = kubeconfig(name, &token, &authority.display().to_string());
            fs::write(credentials.file(name), kubeconfig)?;
        }
        fs::write(folder.join("tokens.csv"), tokens)?;
        let key = Command::new(programs.join("new-key")).output()?;
        if !key.status.success() {
            return Err(format!("no key for service accounts: {key:?}").into());
        }
        fs::write(folder.join("service-accounts.pem"), key.stdout)?;
        Ok(credentials)
    }

    pub(super) fn admin(&self) -> PathBuf {
        self.file("admin")
    }

    pub(super) fn of(&self, role: Role) -> PathBuf {
        self.file(match role {
            Role::Controller => "controller",
            Role::Speaker => "speaker",
        })
    }

    /// Of a person: `viewer` is in the group of deploy/viewer.yaml, `stranger` in none.
    pub(super) fn somebody(&self, name: &str) -> PathBuf {
        self.file(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.kubeconfig"))
    }
}

fn random() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn kubeconfig(name: &str, token: &str, authority: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: lab
  cluster: {{server: \"https://{SERVER}:6443\", certificate-authority: \"{authority}\"}}
users:
- name: {name}
  user: {{token: {token}}}
contexts:
- name: lab
  context: {{cluster: lab, user: {name}}}
current-context: lab
"
    )
}
