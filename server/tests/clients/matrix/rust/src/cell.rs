//! What the program shares with those of other clients: records, verdicts, the lines on standard output, the group
//! that flows.

use std::collections::HashSet;
use std::fmt::{self, Debug};
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
pub(crate) const FLOWING: usize = 600;
const MEMBERS: usize = 3;

pub(crate) static ARGUMENTS: LazyLock<Vec<String>> = LazyLock::new(|| std::env::args().skip(1).collect());
/// An hour ago, in milliseconds since 1970.
pub(crate) static STARTED: LazyLock<i64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
    i64::try_from(now).expect("a clock before the year 292,277,026") - 3_600_000
});

/// Why a scenario is not done.
pub(crate) struct Failed(String);

impl Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: fmt::Display> From<T> for Failed {
    fn from(error: T) -> Failed {
        Failed(error.to_string())
    }
}

pub(crate) type Done<T = ()> = Result<T, Failed>;

pub(crate) fn address() -> &'static str {
    &ARGUMENTS[0]
}

pub(crate) fn topic(name: &str) -> String {
    format!("{}-{name}", ARGUMENTS[1])
}

pub(crate) fn key(i: usize) -> Vec<u8> {
    format!("k-{i}").into_bytes()
}

pub(crate) fn value(i: usize) -> Vec<u8> {
    format!("v-{i} ").repeat(20).into_bytes()
}

pub(crate) fn same<T: PartialEq + Debug>(what: &str, got: &T, want: &T) -> Done {
    if got == want {
        return Ok(());
    }
    let cut = |thing: &T| format!("{thing:?}").chars().take(100).collect::<String>();
    Err(Failed(format!("{what}: {} instead of {}", cut(got), cut(want))))
}

/// Asks until the answer is true.
pub(crate) fn waited(seconds: u64, what: &str, mut ready: impl FnMut() -> bool) -> Done {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !ready() {
        if Instant::now() > end {
            return Err(Failed(format!("waited {seconds} s for {what}")));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The driver kills the broker and starts it again while the program goes on.
pub(crate) fn restart_begins() {
    println!("restart");
}

pub(crate) fn restart_is_over() -> Done {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    same("the driver", &line.trim(), &"restarted")
}

/// What the members of one group saw: each record at least once, none again after its commit.
#[derive(Default)]
pub(crate) struct Ledger {
    seen: HashSet<Vec<u8>>,
    committed: HashSet<Vec<u8>>,
    again: HashSet<Vec<u8>>,
}

impl Ledger {
    pub(crate) fn receive(&mut self, value: &[u8]) {
        self.seen.insert(value.to_vec());
        if self.committed.contains(value) {
            self.again.insert(value.to_vec());
        }
    }

    pub(crate) fn commit(&mut self, value: &[u8]) {
        self.committed.insert(value.to_vec());
    }
}

/// One member's part in a flowing group, until it is told to leave.
pub(crate) type Work = dyn Fn(&Mutex<Ledger>, &AtomicBool) -> Done + Send + Sync;

/// Three members join one after another and the first leaves, while records flow.
pub(crate) fn flow(send: impl Fn(usize) -> Done, work: Arc<Work>) -> Done {
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut members = Vec::new();
    for i in 0..FLOWING {
        if i % (FLOWING / 4) == 0 {
            if members.len() < MEMBERS {
                let leave = Arc::new(AtomicBool::new(false));
                let (ledger, work, told) = (ledger.clone(), work.clone(), leave.clone());
                members.push((thread::spawn(move || work(&ledger, &told)), leave));
            } else {
                members[0].1.store(true, Ordering::SeqCst);
            }
        }
        send(i)?;
        thread::sleep(Duration::from_millis(10));
    }
    // What is missing then is said below.
    let _ = waited(40, "every commit", || ledger.lock().expect("no panic").committed.len() == FLOWING);
    for (thread, leave) in members {
        leave.store(true, Ordering::SeqCst);
        thread.join().map_err(|_| "a member panicked")??;
    }
    let ledger = ledger.lock().expect("no panic");
    let (lost, again) = (FLOWING - ledger.seen.len(), ledger.again.len());
    if lost > 0 || again > 0 {
        return Err(Failed(format!("{lost} records lost, {again} seen again after their commit")));
    }
    Ok(())
}

/// Prints the line of one scenario.
pub(crate) fn say(name: &str, done: Done) {
    match done {
        Ok(()) => println!("ok {name}"),
        Err(Failed(why)) => {
            let why: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
            println!("FAILED {name} {}", why.chars().take(300).collect::<String>());
        }
    }
}
