//! The lab's own proof, on a tiny load: a broker that stands still shows as long as it stood still.

use std::process::Command;
use std::sync::Mutex;

/// A self-check measures time: two at once would measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// Noise elsewhere above this share of what is demanded makes the upper side say nothing.
const NOISE_SHARE_MAX: f64 = 0.5;

fn proof(args: &[&str]) -> (serde_json::Value, Option<i32>) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on a disk");
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["bench", "self-check", "--json", "--data"])
        .arg(dir.path())
        .args(args)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{:?} {said}", output.status);
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0, "the data is gone");
    (serde_json::from_slice(&output.stdout).expect("json"), output.status.code())
}

fn number(value: &serde_json::Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// Whatever else the machine does can only make records later: the lower side holds always, the
/// upper one when nothing but the stop was slow. What the drain of the backlog added is known.
#[test]
fn a_stop_shows_as_long_as_it_was_and_other_ways_of_measuring_hide_it() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for _ in 0..3 {
        let (proof, code) = proof(&["--rate", "3000", "--duration", "5s", "--stop", "500ms"]);
        let overhang = number(&proof, "max_us") - number(&proof, "stop_s") * 1e6;
        assert!(overhang >= 0.0, "the record due first waited for all of the stop: {proof}");
        let rows = proof["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 2, "{proof}");
        let mut quiet = true;
        for row in rows {
            let (demanded, lab) = (number(row, "demanded_us"), number(row, "planned_send_us"));
            assert!(lab >= 0.98 * demanded, "{proof}");
            quiet &= number(&proof, "elsewhere_max_us") < NOISE_SHARE_MAX * demanded;
            if quiet {
                assert!(lab <= 1.02 * demanded + overhang, "{proof}");
            }
        }
        let p99 = &rows[0];
        assert!(number(p99, "averaged_us") < 0.9 * number(p99, "planned_send_us"), "{proof}");
        assert!(number(p99, "actual_send_us") < number(p99, "planned_send_us"), "{proof}");
        assert_eq!(code, Some(if proof["holds"] == true { 0 } else { 1 }));
        if quiet {
            return;
        }
    }
}

#[test]
fn a_stop_that_cannot_be_seen_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringlog"))
        .args(["bench", "self-check", "--duration", "200s", "--stop", "1s"])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("does not show at p99"), "{said}");
}
