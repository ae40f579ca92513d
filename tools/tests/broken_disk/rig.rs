//! A disk whose reads and writes fail on demand: a file behind nbdkit's error filter, seen through FUSE as a
//! file again, as a loop device, with ext4 on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DISK_BYTES: u64 = 256 << 20;

/// How long each part may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// The rig. Its parts go in the opposite order with it.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    nbdkit: Option<Child>,
    fuse: Option<Child>,
    device: Option<String>,
    mounted: bool,
}

impl Rig {
    /// Builds one; `None` where that cannot be done, after saying why.
    pub(crate) fn build() -> Option<Rig> {
        match Rig::try_build() {
            Ok(rig) => Some(rig),
            Err(why) => {
                let required = std::env::var("RINGLOG_RIG").is_ok_and(|v| v == "required");
                assert!(!required, "no disk rig: {why}");
                eprintln!("SKIPPED, no disk rig: {why}");
                None
            }
        }
    }

    fn try_build() -> Result<Rig, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("it needs root".to_owned());
        }
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
        let mut rig = Rig { dir, nbdkit: None, fuse: None, device: None, mounted: false };
        let image = rig.path("image");
        fs::File::create(&image).and_then(|f| f.set_len(DISK_BYTES)).map_err(|e| e.to_string())?;
        // Without a journal of its own: one that cannot be written makes ext4 read-only for good, and what is
        // tested here is the broker.
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-O", "^has_journal"]).arg(&image))?;
        let socket = rig.path("socket");
        let file_of = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let nbdkit = Command::new("nbdkit")
            .args(["-f", "-U"])
            .arg(&socket)
            .args(["--filter=error", "file"])
            .arg(&image)
            .args(["error-pwrite=EIO", "error-pwrite-rate=100%"])
            .arg(file_of("error-pwrite-file", rig.path("fail-writes")))
            .args(["error-pread=EIO", "error-pread-rate=100%"])
            .arg(file_of("error-pread-file", rig.path("fail-reads")))
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
        run(Command::new("mount").args(["-o", "errors=continue"]).arg(device.trim()).arg(&mount))?;
        rig.mounted = true;
        Ok(rig)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A data directory on the disk.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("mount").join("data")
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

impl Drop for Rig {
    fn drop(&mut self) {
        self.fail_writes(false);
        self.fail_reads(false);
        if self.mounted {
            let _ = run(Command::new("umount").arg("-l").arg(self.path("mount")));
        }
        if let Some(device) = &self.device {
            let _ = run(Command::new("losetup").arg("-d").arg(device));
        }
        if let Some(fuse) = &mut self.fuse {
            let _ = run(Command::new("umount").arg("-l").arg(self.dir.path().join("disk")));
            let _ = fuse.kill();
            let _ = fuse.wait();
        }
        if let Some(nbdkit) = &mut self.nbdkit {
            let _ = nbdkit.kill();
            let _ = nbdkit.wait();
        }
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
