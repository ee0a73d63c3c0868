//! Pages of the documentation whose commands are tried: a page's own text is what runs.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Result;
use crate::cluster::{Cluster, lbd};
use crate::plane::Plane;

/// Where helm and promtool are: what `e2e/tools/build` prints.
const TOOLS: &str = "TOOLS";
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A page, and what of it has not been run yet.
#[derive(Debug)]
pub(crate) struct Page {
    /// What each section tells to type, by its heading.
    scripts: BTreeMap<String, String>,
    shell: Shell,
}

impl Page {
    /// Reads a page under `docs/`.
    pub(crate) fn read(cluster: &Cluster, page: &str) -> Result<Self> {
        let path = Path::new(REPOSITORY).join("docs").join(page);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { scripts: scripts(&text), shell: Shell::new(cluster)? })
    }

    /// Types what this section tells to; what it printed.
    pub(crate) async fn run(&mut self, section: &str) -> Result<String> {
        let script = self.scripts.remove(section);
        let script =
            script.ok_or_else(|| format!("no section {section:?} has commands that were not run"))?;
        self.shell.run(&script).await.map_err(|error| format!("section {section:?}: {error}").into())
    }

    /// Writes a file that the reader of the page has.
    pub(crate) fn has(&self, file: &str, text: &str) -> Result {
        Ok(std::fs::write(self.shell.folder.join(file), text)?)
    }

    /// Fails if a section has commands that were not run.
    pub(crate) fn is_done(&self) -> Result {
        let left: Vec<&String> = self.scripts.keys().collect();
        if left.is_empty() { Ok(()) } else { Err(format!("these sections were not tried: {left:?}").into()) }
    }
}

/// The `console` blocks of each section: a line behind `$ `, and the lines under it that go with it.
fn scripts(text: &str) -> BTreeMap<String, String> {
    let mut scripts: BTreeMap<String, String> = BTreeMap::new();
    let (mut section, mut console, mut other) = (String::new(), false, false);
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            (console, other) = (language == "console", !language.is_empty() && language != "console");
        } else if console {
            let script = scripts.entry(section.clone()).or_default();
            script.push_str(line.strip_prefix("$ ").unwrap_or(line));
            script.push('\n');
        } else if !other && line.starts_with('#') {
            line.trim_start_matches('#').trim().clone_into(&mut section);
        }
    }
    scripts
}

/// A shell with all rights on a cluster, in a folder with a checkout's `deploy`.
#[derive(Debug)]
pub(crate) struct Shell {
    folder: PathBuf,
    kubeconfig: PathBuf,
}

impl Shell {
    pub(crate) fn new(cluster: &Cluster) -> Result<Self> {
        // Another shell's files are not this one's.
        static SHELLS: AtomicU32 = AtomicU32::new(0);
        let Plane::Real(real) = &cluster.plane else { return Err("it runs on the real one only".into()) };
        let tools = std::env::var_os(TOOLS).map(PathBuf::from);
        let tools = tools
            .ok_or_else(|| format!("{TOOLS} does not say where helm is: use e2e/run, which builds it"))?;
        let folder = cluster.folder().join(format!("shell-{}", SHELLS.fetch_add(1, Ordering::Relaxed)));
        let programs = folder.join("bin");
        std::fs::create_dir_all(&programs)?;
        for (name, program) in [
            ("kubectl", real.programs().join("kubectl")),
            ("helm", tools.join("helm")),
            ("lbd", lbd()?),
            ("kubectl-lb", lbd()?),
        ] {
            symlink(std::path::absolute(program)?, programs.join(name))?;
        }
        symlink(Path::new(REPOSITORY).join("deploy").canonicalize()?, folder.join("deploy"))?;
        Ok(Self { folder, kubeconfig: real.admin() })
    }

    /// What a script prints. It ends with the first command that fails.
    pub(crate) async fn run(&self, script: &str) -> Result<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", script]).current_dir(&self.folder);
        command.env("PATH", format!("{}:{path}", self.folder.join("bin").display()));
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.folder);
        // A thread that is started for this begins in the namespace of the one that starts it.
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("{script}{}: {error}{said}", output.status).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_is_found_by_its_section() {
        let text = "# Page\n## One\n```console\n$ a |\n    b\n$ c   # why\n```\n```yaml\n# no heading\n```\n```console\n$ d\n```\n## Two\n";
        let expected = BTreeMap::from([("One".to_owned(), "a |\n    b\nc   # why\nd\n".to_owned())]);
        assert_eq!(scripts(text), expected);
    }
}
