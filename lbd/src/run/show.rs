//! What `lbd run` shows: the Services as `kubectl get svc -w` would, and every event.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;

use anstyle::{AnsiColor, Style};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, ResourceExt};
use lbk8s::ObjectRef;
use lbk8s::controller::Notice;
use lbk8s::manifest::Manifest;
use lbk8s::watching::{Watched, config, follow};

const DIM: Style = Style::new().dimmed();
const WARN: Style = AnsiColor::Yellow.on_default();
const GOOD: Style = AnsiColor::Green.on_default();

/// The screen of `lbd run`. Clones are the same screen.
#[derive(Debug, Clone, Default)]
pub(super) struct Show(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    /// The rows as they were shown last, so that only changes are.
    rows: BTreeMap<(String, String), Row>,
    manifests: Vec<Manifest>,
}

/// A row of the table, without the age.
type Row = [String; 6];

const HEADER: [&str; 6] = ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)"];

impl Show {
    /// Remembers where the objects stand in files.
    pub(super) fn places(&self, manifests: Vec<Manifest>) {
        self.0.borrow_mut().manifests = manifests;
    }

    /// What the controller tells.
    pub(super) fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Pools { pools, .. } if pools.is_empty() => note("no pool is in force"),
            Notice::Pools { source, pools } => {
                for (pool, ranges, total) in pools {
                    note(&format!("pool {pool:?} from {source}: {}, {total} addresses", ranges.join(", ")));
                }
            }
            Notice::Problem(problem) => {
                let state = self.0.borrow();
                let manifest = state.manifests.iter().find(|manifest| manifest.is(&problem.object));
                let place = manifest.map(|manifest| format!("{}: ", manifest.locate_problem(problem)));
                warn(&format!("{}{problem}", place.unwrap_or_default()));
            }
            Notice::Solved(problem) => note(&format!("no more: {problem}")),
            // Of these there are events, which are shown.
            Notice::Moved { .. }
            | Notice::Double { .. }
            | Notice::Rival { .. }
            | Notice::Deprecated { .. } => {}
        }
    }

    /// Shows Services and events as they change, until the future is dropped.
    pub(super) async fn follow(self, client: Client) {
        let services = follow(Api::<Service>::all(client.clone()), config(), Service::clone);
        let events = follow(Api::<Event>::all(client), config(), Event::clone);
        let (mut services, mut events) = (services.fuse(), events.fuse());
        loop {
            tokio::select! {
                Some(told) = services.next() => match told {
                    Watched::Set(service) => self.service(&service),
                    Watched::Gone { namespace, name, .. } => self.gone(namespace, name),
                    Watched::Synced | Watched::Absent | Watched::Failed(_) => {}
                },
                Some(told) = events.next() => if let Watched::Set(event) = told {
                    self.event(&event);
                },
            }
        }
    }

    fn service(&self, service: &Service) {
        let key = (service.namespace().unwrap_or_default(), service.name_any());
        let row = row(service);
        let mut state = self.0.borrow_mut();
        if state.rows.is_empty() {
            print(&columns(&HEADER.map(str::to_owned)));
        }
        if state.rows.get(&key) != Some(&row) {
            print(&columns(&row));
            state.rows.insert(key, row);
        }
    }

    fn event(&self, event: &Event) {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let reason = text(&event.reason);
        // The controller has told of it already, with the place.
        if reason == "ConfigurationError" {
            return;
        }
        let warning = event.type_.as_deref() == Some("Warning");
        let style = if warning { WARN } else { GOOD };
        let about = event.regarding.clone().unwrap_or_default();
        let (kind, name, note) = (text(&about.kind), text(&about.name), text(&event.note));
        let object = ObjectRef {
            api_version: text(&about.api_version).into(),
            kind: kind.into(),
            namespace: text(&about.namespace).into(),
            name: name.into(),
            uid: "".into(),
        };
        let state = self.0.borrow();
        let manifest = state.manifests.iter().find(|manifest| warning && manifest.is(&object));
        let place = manifest.map(|manifest| {
            // The sentence begins with the field where one is at fault.
            let field = note.split_once(": ").map_or("", |(field, _)| field);
            format!("{}: ", manifest.locate_path(field))
        });
        print(&format!("{style}{reason}{style:#}  {}{object}: {note}", place.unwrap_or_default()));
    }

    fn gone(&self, namespace: String, name: String) {
        note(&format!("Service {namespace}/{name} is gone"));
        self.0.borrow_mut().rows.remove(&(namespace, name));
    }
}

fn row(service: &Service) -> Row {
    let spec = service.spec.clone().unwrap_or_default();
    let kind = spec.type_.clone().unwrap_or_default();
    let ingress = service.status.iter().filter_map(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let shown = ingress.flatten().filter_map(|entry| entry.ip.clone().or_else(|| entry.hostname.clone()));
    let external = match (shown.collect::<Vec<_>>().join(","), kind.as_str()) {
        (shown, "LoadBalancer") if shown.is_empty() => "<pending>".to_owned(),
        (shown, _) if shown.is_empty() => "<none>".to_owned(),
        (shown, _) => shown,
    };
    let ports = spec.ports.unwrap_or_default().into_iter();
    let ports = ports.map(|port| format!("{}/{}", port.port, port.protocol.as_deref().unwrap_or("TCP")));
    let cluster_ip = spec.cluster_ip.unwrap_or_else(|| "<none>".to_owned());
    let namespace = service.namespace().unwrap_or_default();
    [namespace, service.name_any(), kind, cluster_ip, external, ports.collect::<Vec<_>>().join(",")]
}

fn columns(row: &Row) -> String {
    const WIDTHS: [usize; 5] = [13, 22, 13, 14, 16];
    let padded = row.iter().zip(WIDTHS).map(|(cell, width)| format!("{cell:<width$} "));
    padded.chain([row[5].clone()]).collect()
}

/// A line for information.
pub(super) fn note(text: &str) {
    print(&format!("{DIM}{text}{DIM:#}"));
}

/// Something is wrong, and the rest goes on.
pub(super) fn warn(text: &str) {
    let _ = writeln!(anstream::stderr(), "{WARN}warning:{WARN:#} {text}");
}

/// A line on standard output. Whoever reads it may have gone; the service goes on.
fn print(line: &str) {
    let _ = writeln!(anstream::stdout(), "{line}");
}
