//! Each kind of damage in a data directory is one line: the file, the place in it, and a sentence.

use std::fs;
use std::path::{Path, PathBuf};

use engine::base::{LeaderEpoch, Offset};
use engine::io::FileName;
use engine::record::BatchHeader;
use serde_json::Value;

use crate::{data_dir, key, ringlog};

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("there");
    change(&mut bytes);
    fs::write(path, bytes).expect("a writable directory");
}

fn partition(dir: &Path, file: &str) -> PathBuf {
    dir.join(FileName::partition_dir(key(0)).as_str()).join(file)
}

/// Where the batches of a segment begin.
fn begins(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (0, Vec::new());
    while let Some(header) = BatchHeader::peek(&bytes[at..]) {
        found.push(at);
        at += header.total_bytes().expect("a length");
    }
    found
}

/// The lines of one kind.
fn lines(dir: &Path, kind: &str) -> Vec<Value> {
    let (damages, lines) = ringlog(&["verify", dir.to_str().expect("text")]);
    let of_damage = lines.iter().filter(|line| line["kind"] == "damage").count() as u64;
    assert_eq!(damages, of_damage, "the exit code counts what is told");
    lines.into_iter().filter(|line| line["kind"] == kind).collect()
}

/// Exactly one line of damage, of this file, with a position, that says this.
fn told(dir: &Path, file: &Path, position: Option<u64>, words: &str) {
    let damages = lines(dir, "damage");
    let [line] = &damages[..] else { panic!("{words}: {damages:?}") };
    assert_eq!(line["file"], file.display().to_string(), "{words}");
    assert_eq!(line["position"].as_u64(), position, "{words}: {line}");
    assert!(line["what"].as_str().expect("a sentence").contains(words), "{words}: {line}");
}

const LOG: &str = "00000000000000000000.log";

#[test]
fn a_segment_says_what_is_wrong_where() {
    type Change = fn(&mut Vec<u8>, &[usize]);
    let flip: Change = |bytes, begins| bytes[begins[4] + 70] ^= 1;
    let zero: Change = |bytes, begins| bytes[begins[4]..].fill(0);
    let epoch: Change = |bytes, begins| {
        let header = BatchHeader::peek_mut(&mut bytes[begins[4]..]).expect("a header");
        let base = header.base_offset();
        header.stamp(base, LeaderEpoch(7));
    };
    let magic: Change = |bytes, begins| bytes[begins[4] + 16] = 1;
    for (name, change_it, words) in [
        ("rot", flip, "the batch at offset 4 fails its checksum"),
        ("zeroes", zero, "zeroes where a batch should be"),
        ("an older leader", epoch, "the batch at offset 4 is of leader epoch 7, not 0"),
        ("magic", magic, "not a batch of magic 2"),
    ] {
        let dir = data_dir(1, true);
        let file = partition(dir.path(), LOG);
        let begins = begins(&fs::read(&file).expect("there"));
        change(&file, |bytes| change_it(bytes, &begins));
        let damages = lines(dir.path(), "damage");
        assert_eq!(damages.len(), 1, "{name}: {damages:?}");
        told(dir.path(), &file, Some(begins[4] as u64), words);
    }
    // Batches of another place: the right length would be chance, so one of the last is put over an earlier.
    let dir = data_dir(1, true);
    let file = partition(dir.path(), LOG);
    let found = begins(&fs::read(&file).expect("there"));
    change(&file, |bytes| {
        BatchHeader::peek_mut(&mut bytes[found[4]..]).expect("a header").stamp(Offset(5), LeaderEpoch(0));
    });
    let damages = lines(dir.path(), "damage");
    let what = damages[0]["what"].as_str().expect("a sentence");
    assert!(what.contains("the batch at offset 5 stands where 4 is due"), "{damages:?}");
    assert_eq!(damages[0]["position"].as_u64(), Some(found[4] as u64));
    let dir = data_dir(1, true);
    let file = partition(dir.path(), LOG);
    fs::remove_file(&file).expect("there");
    told(dir.path(), &file, None, "the file is missing or shorter than what is vouched for");
}

#[test]
fn an_index_says_which_entry() {
    let dir = data_dir(1, true);
    let file = partition(dir.path(), "00000000000000000000.index");
    change(&file, |bytes| bytes[8 * 3 + 7] ^= 1);
    told(dir.path(), &file, Some(24), "no batch");
    let dir = data_dir(1, true);
    let file = partition(dir.path(), "00000000000000000000.timeindex");
    change(&file, |bytes| bytes[12 * 3 + 7] ^= 0x40);
    let damages = lines(dir.path(), "damage");
    assert_eq!((damages.len(), damages[0]["file"].clone()), (1, Value::from(file.display().to_string())));
    assert!(damages[0]["position"].as_u64().is_some_and(|at| at == 36 || at == 48), "{damages:?}");
    let dir = data_dir(1, true);
    let file = partition(dir.path(), "00000000000000000000.index");
    fs::remove_file(&file).expect("there");
    told(dir.path(), &file, None, "the index is missing");
}

#[test]
fn a_checkpoint_says_why_it_does_not_count() {
    let newest = |dir: &Path| {
        let (_, lines) = ringlog(&["dump", dir.join("cores/0").to_str().expect("text")]);
        let mut file = String::new();
        let mut found = (0, String::new());
        for line in lines {
            match line["kind"].as_str() {
                Some("file") => file = line["file"].as_str().expect("text").to_owned(),
                Some("checkpoint") => {
                    found = found.max((line["generation"].as_u64().expect("a number"), file.clone()));
                }
                _ => {}
            }
        }
        PathBuf::from(found.1)
    };
    type Change = fn(&mut Vec<u8>);
    let cases: [(Change, u64, &str); 4] = [
        (|bytes| bytes[100] ^= 1, 54, "its checksum fails"),
        (|bytes| bytes[2] ^= 1, 0, "it does not begin as a checkpoint does"),
        (|bytes| bytes.truncate(30), 30, "it has 30 bytes, and its header says 58"),
        (|bytes| bytes.truncate(90), 90, "it has 90 bytes, and its header says"),
    ];
    for (change_it, position, words) in cases {
        // A closed directory has nothing in its journal: the older checkpoint alone would lose what it held.
        let dir = data_dir(1, true);
        let file = newest(dir.path());
        change(&file, change_it);
        let torn = lines(dir.path(), "torn");
        let line = torn.iter().find(|line| line["file"] == file.display().to_string()).expect("a line");
        assert_eq!(line["position"], position, "{line}");
        let what = line["what"].as_str().expect("a sentence");
        assert!(what.contains(words) && what.contains("the other one counts"), "{line}");
    }
    let dir = data_dir(1, true);
    for slot in 0..2 {
        change(&dir.path().join(format!("cores/0/checkpoint-{slot}")), |bytes| bytes[60] ^= 1);
    }
    let damages = lines(dir.path(), "damage");
    let both = damages
        .iter()
        .filter(|line| line["what"].as_str().expect("text").contains("no checkpoint of this core"));
    assert_eq!(both.count(), 2, "{damages:?}");
    let (listed, lines) = ringlog(&["damage", dir.path().to_str().expect("text")]);
    assert_eq!(listed, 2, "{lines:?}");
    let dir = data_dir(1, true);
    change(&dir.path().join("cores/0/checkpoint-0"), |bytes| bytes[7] = b'9');
    let damages = lines_of_later(dir.path());
    assert!(damages.iter().any(|what| what.contains("a checkpoint of a later format")), "{damages:?}");
}

fn lines_of_later(dir: &Path) -> Vec<String> {
    lines(dir, "damage").iter().map(|line| line["what"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn a_journal_says_what_a_start_would() {
    // Its header: the first frame stands in for it, as it does at a start.
    let dir = data_dir(2, false);
    let sound = crate::verify(dir.path()).1["batchesInJournal"].clone();
    for file in used(&dir.path().join("cores/0")) {
        change(&file, |bytes| bytes[9] ^= 0xFF);
    }
    let torn = lines(dir.path(), "torn");
    assert!(
        torn.iter().any(|l| l["what"].as_str().expect("text").contains("the first frame stands in")),
        "{torn:?}"
    );
    assert_eq!(crate::verify(dir.path()), (0, crate::verify(dir.path()).1));
    assert_eq!(crate::verify(dir.path()).1["batchesInJournal"], sound, "not one is lost");
    // The first frame too: a start refuses.
    let file = used(&dir.path().join("cores/0")).remove(0);
    change(&file, |bytes| bytes[4096..8192].fill(3));
    let damages = lines(dir.path(), "damage");
    let line = damages.iter().find(|line| line["file"] == file.display().to_string()).expect("a line");
    assert_eq!(line["position"], 0);
    assert!(line["what"].as_str().expect("text").contains("neither the header nor the first frame verifies"));
}

/// The journal files that were written to.
fn used(core: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(core).expect("there").map(|e| e.expect("listed").path());
    let is_used = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name.starts_with("journal-") && fs::read(path).expect("there").starts_with(b"RLJRNL01")
    };
    let mut journals: Vec<PathBuf> = entries.filter(is_used).collect();
    journals.sort();
    journals
}

#[test]
fn a_journal_that_does_not_reach_back_to_a_checkpoint_is_damage() {
    let dir = data_dir(2, false);
    for slot in 0..2 {
        fs::remove_file(dir.path().join(format!("cores/0/checkpoint-{slot}"))).expect("there");
    }
    let damages = lines(dir.path(), "damage");
    let gap = damages
        .iter()
        .find(|line| line["what"].as_str().expect("text").contains("the journal begins with frame"));
    assert_eq!(gap.expect("a line")["file"], dir.path().join("cores/0").display().to_string(), "{damages:?}");
}

#[test]
fn small_files_say_which_byte() {
    let dir = data_dir(1, true);
    for (name, words) in [("leader-epoch-checkpoint", "epoch"), ("partition.metadata", "metadata")] {
        let file = partition(dir.path(), name);
        let before = fs::read(&file).unwrap_or_default();
        fs::write(&file, b"nonsense\n").expect("a writable directory");
        let damages = lines(dir.path(), "damage");
        let [line] = &damages[..] else { panic!("{name}: {damages:?}") };
        assert_eq!(line["file"], file.display().to_string());
        assert!(line["position"].is_u64() && line["what"].as_str().expect("text").contains(words), "{line}");
        if before.is_empty() {
            fs::remove_file(&file).expect("there");
        } else {
            fs::write(&file, before).expect("a writable directory");
        }
    }
    let file = partition(dir.path(), "00000000000000000009.snapshot");
    fs::write(&file, [1; 60]).expect("a writable directory");
    told(dir.path(), &file, Some(0), "producer snapshot version");
    fs::write(&file, [0, 1, 9, 9, 9, 9, 0, 0, 0, 0]).expect("a writable directory");
    told(dir.path(), &file, Some(2), "producer snapshot checksum");
}
