//! Entering the laboratory: the namespaces in which the whole process lives.

use std::io;
use std::process::{Child, Command};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getegid, geteuid};

use crate::LabError;

/// Moves the process into network and mount namespaces of its own; without root, into a user namespace in
/// which it is root.
///
/// To be called first thing in `main`: a process that has threads cannot enter a user namespace.
///
/// # Errors
/// [`LabError::Forbidden`] where the kernel does not allow it; the message says what to do.
pub fn enter() -> Result<(), LabError> {
    let (uid, gid) = (geteuid(), getegid());
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    let forbidden = |what| move |source: io::Error| LabError::Forbidden { what, source };
    if uid.is_root() {
        unshare(own).map_err(|errno| forbidden("a network namespace")(errno.into()))?;
    } else {
        let made = || -> io::Result<()> {
            unshare(own | CloneFlags::CLONE_NEWUSER)?;
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
            std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
        };
        made().map_err(forbidden("a user namespace"))?;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    // With restricted user namespaces the one above is made, but without rights: that shows here first.
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|errno| forbidden("mounts in a user namespace")(errno.into()))?;
    // Containers mount /proc/sys read-only. Root may change that in its own mount namespace; others need not
    // succeed, and learn of it when a setting cannot be written.
    let writable = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    let _ = mount(None::<&str>, "/proc/sys", None::<&str>, writable, None::<&str>);
    Ok(())
}

/// A child process that is told to end when this value is dropped, and killed if it does not.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

/// How long a child may take to end by itself.
const GRACE: std::time::Duration = std::time::Duration::from_secs(2);

impl Process {
    /// Starts a child from the calling thread, in that thread's namespaces.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(name: impl Into<String>, command: &mut Command) -> io::Result<Self> {
        Ok(Self { name: name.into(), child: command.spawn()? })
    }

    /// The name it was started under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// What the system says; the child may have ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }

    /// Asks the child to end and waits for it; kills it if it does not.
    ///
    /// # Errors
    /// What the system says.
    pub fn stop(&mut self) -> io::Result<std::process::ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        let deadline = std::time::Instant::now() + GRACE;
        while std::time::Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.stop();
    }
}
