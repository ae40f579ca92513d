//! A disk that fails on demand: a file behind a filter of nbdkit, seen through FUSE as a file again, as a
//! loop device, with ext4 on it.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DISK_BYTES: u64 = 256 << 20;

/// How long each part may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a disk can do to its file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Reads or writes fail while they are told to.
    Errors,
    /// Nothing is answered while it is told so.
    Hang,
    /// Each write takes this many milliseconds.
    Slow(u32),
    /// What was not flushed is lost when the power goes.
    PowerLoss,
}

/// The rig. Its parts go in the opposite order with it.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    fault: Fault,
    nbdkit: Option<Child>,
    fuse: Option<Child>,
    device: Option<String>,
    mounted: bool,
}

impl Rig {
    /// Builds one whose reads and writes fail; `None` where that cannot be done, after saying why.
    pub(crate) fn build() -> Option<Rig> {
        Rig::with(Fault::Errors)
    }

    /// As [`Rig::build`], for any fault.
    pub(crate) fn with(fault: Fault) -> Option<Rig> {
        match Rig::try_build(fault) {
            Ok(rig) => Some(rig),
            Err(why) => {
                let required = std::env::var("FAULT_RIG").is_ok_and(|v| v == "required");
                assert!(!required, "no disk rig: {why}");
                // Past the test harness, which shows only what failed.
                let _ = writeln!(std::io::stderr(), "SKIPPED, no disk rig: {why}");
                None
            }
        }
    }

    fn try_build(fault: Fault) -> Result<Rig, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("it needs root".to_owned());
        }
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
        let mut rig = Rig { dir, fault, nbdkit: None, fuse: None, device: None, mounted: false };
        let image = rig.path("image");
        fs::File::create(&image).and_then(|f| f.set_len(DISK_BYTES)).map_err(|e| e.to_string())?;
        // Without a journal of its own, which only a power cut needs: one that cannot be written makes ext4
        // read-only for good, and what is tested here is the broker.
        let journal = if fault == Fault::PowerLoss { "has_journal" } else { "^has_journal" };
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-O", journal]).arg(&image))?;
        let socket = rig.path("socket");
        let nbdkit = Command::new("nbdkit")
            .args(["-f", "-U"])
            .arg(&socket)
            .arg(format!("--filter={}", fault.filter()))
            .arg("file")
            .arg(&image)
            .args(rig.filter_settings())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("nbdkit: {e}"))?;
        rig.nbdkit = Some(nbdkit);
        wait_for("nbdkit's socket", || socket.exists())?;
        let seen = rig.path("disk");
        fs::write(&seen, "").map_err(|e| e.to_string())?;
        let fuse = Command::new("nbdfuse")
            .arg(&seen)
            .arg("--unix")
            .arg(&socket)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("nbdfuse: {e}"))?;
        rig.fuse = Some(fuse);
        wait_for("the disk as a file", || fs::metadata(&seen).is_ok_and(|m| m.len() == DISK_BYTES))?;
        let device = run(Command::new("losetup").args(["-f", "--show", "--direct-io=on"]).arg(&seen))?;
        rig.device = Some(device.trim().to_owned());
        let mount = rig.path("mount");
        fs::create_dir(&mount).map_err(|e| e.to_string())?;
        // ext4's own commits would flush the disk behind our back every five seconds.
        let options = if fault == Fault::PowerLoss { "commit=300" } else { "errors=continue" };
        run(Command::new("mount").args(["-o", options]).arg(device.trim()).arg(&mount))?;
        rig.mounted = true;
        Ok(rig)
    }

    fn filter_settings(&self) -> Vec<String> {
        let file = |name: &str, path: &str| format!("{name}={}", self.path(path).display());
        match self.fault {
            Fault::Errors => vec![
                "error-pwrite=EIO".to_owned(),
                "error-pwrite-rate=100%".to_owned(),
                file("error-pwrite-file", "fail-writes"),
                "error-pread=EIO".to_owned(),
                "error-pread-rate=100%".to_owned(),
                file("error-pread-file", "fail-reads"),
            ],
            Fault::Hang => vec![file("pause-control", "pause")],
            Fault::Slow(ms) => vec![format!("wdelay={ms}ms")],
            Fault::PowerLoss => vec!["cache=writeback".to_owned()],
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A data directory on the disk.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("mount").join("data")
    }

    /// Nothing is answered until what this gives is dropped. Begin it after the process that uses the disk: that
    /// cannot end before the disk answers, so it must be dropped first when a test fails.
    pub(crate) fn hang(&self) -> Hang<'_> {
        self.pause(b"p", b'P');
        Hang { rig: self }
    }

    fn pause(&self, ask: &[u8], answer: u8) {
        let mut control = UnixStream::connect(self.path("pause")).expect("the filter's socket");
        control.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        control.write_all(ask).expect("asked");
        let mut said = [0];
        control.read_exact(&mut said).expect("answered");
        assert_eq!(said[0], answer);
    }

    /// SIGKILL for the process that holds the disk's cache.
    pub(crate) fn cut_power(&mut self) {
        let nbdkit = self.nbdkit.as_mut().expect("it runs");
        nbdkit.kill().expect("SIGKILL");
        nbdkit.wait().expect("its end");
    }

    /// The data directory as it is after a power cut, on a file system that was checked. Whoever used
    /// it must have ended.
    pub(crate) fn after_power_cut(&mut self) -> PathBuf {
        self.take_down();
        let (image, mount) = (self.path("image"), self.path("mount"));
        let checked = Command::new("e2fsck").arg("-fy").arg(&image).output().expect("e2fsck");
        assert!(
            checked.status.code().is_some_and(|code| code <= 1),
            "{}",
            String::from_utf8_lossy(&checked.stdout)
        );
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount)).expect("mounted again");
        self.mounted = true;
        self.data()
    }

    /// Whether every write fails from now on.
    pub(crate) fn fail_writes(&self, fail: bool) {
        trigger(&self.path("fail-writes"), fail);
    }

    /// Whether every read fails from now on.
    pub(crate) fn fail_reads(&self, fail: bool) {
        trigger(&self.path("fail-reads"), fail);
    }
}

impl Fault {
    fn filter(self) -> &'static str {
        match self {
            Fault::Errors => "error",
            Fault::Hang => "pause",
            Fault::Slow(_) => "delay",
            Fault::PowerLoss => "cache",
        }
    }
}

impl Rig {
    fn take_down(&mut self) {
        if std::mem::take(&mut self.mounted) {
            let _ = run(Command::new("umount").arg("-l").arg(self.path("mount")));
        }
        if let Some(device) = self.device.take() {
            let _ = run(Command::new("losetup").arg("-d").arg(device));
        }
        if let Some(mut fuse) = self.fuse.take() {
            let _ = run(Command::new("umount").arg("-l").arg(self.dir.path().join("disk")));
            let _ = fuse.kill();
            let _ = fuse.wait();
        }
        if let Some(mut nbdkit) = self.nbdkit.take() {
            let _ = nbdkit.kill();
            let _ = nbdkit.wait();
        }
    }
}

/// While it lives the disk answers nothing.
pub(crate) struct Hang<'a> {
    rig: &'a Rig,
}

impl Drop for Hang<'_> {
    fn drop(&mut self) {
        self.rig.pause(b"r", b'R');
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        match self.fault {
            Fault::Errors => {
                self.fail_writes(false);
                self.fail_reads(false);
            }
            Fault::Hang | Fault::Slow(_) | Fault::PowerLoss => {}
        }
        self.take_down();
    }
}

fn trigger(path: &Path, on: bool) {
    if on {
        fs::write(path, "").expect("a trigger");
    } else {
        let _ = fs::remove_file(path);
    }
}

/// What a command printed, if it succeeded.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !there() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{what} did not appear"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
