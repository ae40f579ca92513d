//! Cuts the power of a disk under `store` and looks what is left.
//!
//! The disk is an image file behind nbdkit's write-back cache, mounted through nbdfuse and a loop
//! device. Killing nbdkit loses what the cache held, as a power cut loses a drive's cache. Each
//! case runs twice: as it is, where everything promised must be there afterwards, and with one
//! flush left out on purpose, where it must not: otherwise the rig would prove nothing.
//!
//! Needs root and the Debian packages nbdkit, libnbd-bin, fuse3 and e2fsprogs. Not part of
//! `cargo test`; run it with `cargo test -p store --test power_loss`.

mod common;

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::on_executor;
use engine::io::{BLOCK, Disk, FileName, IO_BYTES_MAX, Open};
use store::{DiskSettings, FaultPoints, GlommioDisk, Skip};

const IMAGE_BYTES: u64 = 128 << 20;
const FILL: u8 = 0x77;
const MANY: usize = 40;
const FILE_BLOCKS: usize = 8;

/// What is promised, and the flush without which it is not.
const CASES: [(&str, Skip); 5] = [
    ("flush", Skip::Flush),
    ("flush-few", Skip::Flush),
    ("flush-many", Skip::SyncFs),
    ("rename", Skip::SyncDir),
    ("make-dir", Skip::SyncDir),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, dir, case, planted] = &args[..]
        && role == "--write"
    {
        write(Path::new(dir), case.clone(), planted == "planted");
        return;
    }
    assert!(rustix::process::getuid().is_root(), "the power-loss rig mounts file systems: run it as root");
    for tool in ["nbdkit", "nbdfuse", "losetup", "mkfs.ext4", "e2fsck", "fusermount3"] {
        let found =
            ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|d| Path::new(d).join(tool).exists());
        assert!(found, "{tool} is missing: apt-get install nbdkit libnbd-bin fuse3 e2fsprogs");
    }
    for (case, _) in CASES {
        let kept = survives(case, false);
        assert!(kept, "{case}: something that was promised is gone after a power cut");
        let kept = survives(case, true);
        assert!(!kept, "{case}: nothing was lost although its flush was left out; the rig is blind");
        println!("{case}: kept with its flush, lost without");
    }
}

/// Runs one case on a fresh disk, cuts its power, and says whether what it promised is there.
fn survives(case: &str, planted: bool) -> bool {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let rig = Rig::new(dir.path());
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--write", &path_text(&rig.mount), case, if planted { "planted" } else { "honest" }])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(writer.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let promised = line.trim() == "promised";
    rig.cut_power();
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert!(promised, "{case}: the writer failed");
    let image = rig.take_down();
    run(Command::new("e2fsck").arg("-fy").arg(&image).stdout(Stdio::null()).stderr(Stdio::null()), &[0, 1]);
    let mount = dir.path().join("after");
    fs::create_dir(&mount).unwrap();
    run(Command::new("mount").args(["-o", "loop,ro"]).arg(&image).arg(&mount), &[0]);
    let kept = is_kept(&mount, case);
    run(Command::new("umount").arg(&mount), &[0]);
    kept
}

fn is_kept(root: &Path, case: &str) -> bool {
    let full = |name: &str| fs::read(root.join(name)).is_ok_and(|bytes| bytes == [FILL; FILE_BLOCKS * BLOCK]);
    match case {
        "flush" => full("a"),
        "flush-few" => (0..3).all(|n| full(&format!("f{n}"))),
        "flush-many" => (0..MANY).all(|n| full(&format!("f{n}"))),
        "rename" => root.join("d/new").exists() && !root.join("d/old").exists(),
        "make-dir" => root.join("x/y/z").is_dir(),
        other => panic!("no case {other}"),
    }
}

/// The process whose writes are judged: prepares, promises, says so, and waits for its end.
fn write(dir: &Path, case: String, planted: bool) {
    on_executor(dir, 8 * IO_BYTES_MAX, move |dir| async move {
        let skip = CASES.iter().find(|(name, _)| *name == case).expect("a known case").1;
        let faults = Rc::new(FaultPoints { skip: Cell::new(None), ..FaultPoints::default() });
        let disk = GlommioDisk::open_faulty(dir, DiskSettings::default(), faults.clone()).await.unwrap();
        let count = match case.as_str() {
            "flush-few" => 3,
            "flush-many" => MANY,
            _ => 1,
        };
        // Files with real blocks under durable names: what follows is only overwritten.
        let mut files = Vec::new();
        for n in 0..count {
            let name = if count == 1 { "a".to_owned() } else { format!("f{n}") };
            let file = disk.open(&FileName::new(name), Open::OrCreate).await.unwrap();
            fill(&disk, &file, 0).await;
            disk.flush(&file).await.unwrap();
            files.push(file);
        }
        disk.make_dir(&FileName::new("d")).await.unwrap();
        let old = disk.open(&FileName::new("d/old"), Open::OrCreate).await.unwrap();
        disk.flush(&old).await.unwrap();
        disk.sync_dir(&FileName::new("d")).await.unwrap();

        faults.skip.set(planted.then_some(skip));
        match case.as_str() {
            "rename" => {
                disk.rename(&FileName::new("d/old"), &FileName::new("d/new")).await.unwrap();
                disk.sync_dir(&FileName::new("d")).await.unwrap();
            }
            "make-dir" => disk.make_dir(&FileName::new("x/y/z")).await.unwrap(),
            "flush" => {
                fill(&disk, &files[0], FILL).await;
                disk.flush(&files[0]).await.unwrap();
            }
            _ => {
                for file in &files {
                    fill(&disk, file, FILL).await;
                }
                disk.flush_all(&files).await.unwrap();
            }
        }
        println!("promised");
        std::future::pending::<()>().await;
    });
}

async fn fill(disk: &GlommioDisk, file: &store::File, fill: u8) {
    let mut buf = disk.take(FILE_BLOCKS * BLOCK).unwrap();
    buf.fill(fill);
    disk.write(file, 0, disk.seal(buf, FILE_BLOCKS * BLOCK)).await.unwrap();
}

/// A mounted ext4 whose disk can lose its power. Taken down in any case.
struct Rig {
    image: PathBuf,
    mount: PathBuf,
    device_file: PathBuf,
    loop_device: Option<String>,
    nbdkit: std::cell::RefCell<Child>,
    nbdfuse: Child,
    mounted: bool,
}

impl Rig {
    fn new(dir: &Path) -> Rig {
        let (image, mount, socket) = (dir.join("image"), dir.join("mnt"), dir.join("nbd.sock"));
        let device_file = dir.join("device");
        fs::create_dir(&mount).unwrap();
        fs::File::create(&device_file).unwrap();
        fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image), &[0]);
        let nbdkit = Command::new("nbdkit")
            .args([
                "-f",
                "-U",
                &path_text(&socket),
                "--filter=cache",
                "file",
                &path_text(&image),
                "cache=writeback",
            ])
            .spawn()
            .unwrap();
        wait_for(|| socket.exists(), "nbdkit");
        let nbdfuse = Command::new("nbdfuse")
            .args([&path_text(&device_file), "--unix", &path_text(&socket)])
            // It complains when its server dies, which is the point.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut rig = Rig {
            image,
            mount,
            device_file,
            loop_device: None,
            nbdkit: std::cell::RefCell::new(nbdkit),
            nbdfuse,
            mounted: false,
        };
        wait_for(|| fs::metadata(&rig.device_file).is_ok_and(|m| m.len() == IMAGE_BYTES), "nbdfuse");
        let output = Command::new("losetup").args(["-f", "--show"]).arg(&rig.device_file).output().unwrap();
        assert!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
        let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        rig.loop_device = Some(device.clone());
        // ext4's own commits would flush the disk behind our back every five seconds.
        run(Command::new("mount").args(["-o", "commit=300", &device]).arg(&rig.mount), &[0]);
        rig.mounted = true;
        rig
    }

    /// SIGKILL for the process that holds the disk's cache.
    fn cut_power(&self) {
        let mut nbdkit = self.nbdkit.borrow_mut();
        nbdkit.kill().unwrap();
        nbdkit.wait().unwrap();
    }

    fn take_down(mut self) -> PathBuf {
        self.clear();
        self.image.clone()
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.mounted) {
            let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
        }
        if let Some(device) = self.loop_device.take() {
            let _ = Command::new("losetup").args(["-d", &device]).status();
        }
        let _ = Command::new("fusermount3").arg("-uz").arg(&self.device_file).stderr(Stdio::null()).status();
        let _ = self.nbdkit.get_mut().kill();
        let _ = self.nbdkit.get_mut().wait();
        let _ = self.nbdfuse.kill();
        let _ = self.nbdfuse.wait();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.clear();
    }
}

fn run(command: &mut Command, good: &[i32]) {
    let status = command.status().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(status.code().is_some_and(|c| good.contains(&c)), "{command:?}: {status}");
}

fn wait_for(ready: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < deadline, "{what} did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("a path of ASCII").to_owned()
}
