//! Rows that share a load are measured in one walk, in which that load runs once for all of them.
//!
//! A row is a pair of lanes. A row whose one lane stands at an end of the walk so far puts its other lane beside it: the
//! rows A B and A C become the walk C A B. It is walked forwards for odd pairs and backwards for even ones: C A B, B A C,
//! C A B … The two lanes of a row are always neighbours, so each row keeps its order A B B A.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use super::document::{Side, SideDocument};
use super::lab::Row;
use super::peer::{Mode, Peer};

/// A walk that is cut off is walked again as a whole: it does not grow without end.
const ROWS_MAX: usize = 3;

/// One load on one broker.
#[derive(Debug, Clone)]
pub(super) struct Lane<'a> {
    /// The first row that has it: names its folders.
    pub(super) row: &'a Row,
    /// Its side in that row.
    pub(super) side: Side,
    /// Whose broker it goes to.
    pub(super) broker: Side,
    pub(super) document: SideDocument,
}

/// One row of a walk.
#[derive(Debug)]
pub(super) struct Link<'a> {
    pub(super) row: &'a Row,
    pub(super) ours: SideDocument,
    /// Or why there is nothing beside it; then it has no slots.
    pub(super) theirs: Result<SideDocument, String>,
    /// Where its lanes are among the walk's; ours first.
    lanes: Option<[usize; 2]>,
}

/// Rows that are measured together.
#[derive(Debug, Default)]
pub(super) struct Chain<'a> {
    pub(super) links: Vec<Link<'a>>,
    lanes: Vec<Lane<'a>>,
    order: VecDeque<usize>,
}

/// Description and packages of each side.
pub(super) type Peers = BTreeMap<Side, (Peer, PathBuf)>;

impl<'a> Chain<'a> {
    /// The lanes in the order of a pair, which counts from 1.
    pub(super) fn walk(&self, pair: u32) -> Vec<&Lane<'a>> {
        let forwards = self.order.iter().map(|index| &self.lanes[*index]);
        if pair % 2 == 1 { forwards.collect() } else { forwards.rev().collect() }
    }

    /// The rows that have a lane, by their index, and its side there.
    pub(super) fn rows_of(&self, lane: &Lane<'_>) -> Vec<(usize, Side)> {
        let index = self.lanes.iter().position(|one| one.is(lane));
        let side = |link: &Link<'_>| match link.lanes {
            Some([ours, _]) if Some(ours) == index => Some(Side::Ours),
            Some([_, theirs]) if Some(theirs) == index => Some(Side::Theirs),
            _ => None,
        };
        let sides = self.links.iter().map(side).enumerate();
        sides.filter_map(|(row, side)| Some((row, side?))).collect()
    }

    /// How many slots a pair has.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Takes a row in, if its loads fit to what is there.
    fn take(&mut self, row: &'a Row, ours: &Lane<'a>, theirs: &Lane<'a>) -> bool {
        let ends =
            [self.order.front(), self.order.back()].map(|end| end.map(|index| self.lanes[*index].clone()));
        let at = |lane: &Lane<'_>| ends.iter().position(|end| end.as_ref().is_some_and(|end| end.is(lane)));
        let room = self.links.len() < ROWS_MAX;
        let found = match (at(ours), at(theirs)) {
            (Some(end), None) if room => Some((end, theirs)),
            (None, Some(end)) if room => Some((end, ours)),
            _ => None,
        };
        let known = |lanes: &[Lane<'_>], lane: &Lane<'_>| lanes.iter().position(|one| one.is(lane));
        match found {
            // One that is in the middle already would have to be walked twice.
            Some((end, new)) if known(&self.lanes, new).is_none() => {
                let index = self.lanes.len();
                self.lanes.push(new.clone());
                if end == 0 { self.order.push_front(index) } else { self.order.push_back(index) }
            }
            _ if self.links.is_empty() => {
                self.lanes = vec![ours.clone(), theirs.clone()];
                self.order = VecDeque::from([0, 1]);
            }
            _ => return false,
        }
        let lanes = [ours, theirs].map(|lane| known(&self.lanes, lane).expect("it was taken in"));
        let (ours, theirs) = (ours.document.clone(), Ok(theirs.document.clone()));
        self.links.push(Link { row, ours, theirs, lanes: Some(lanes) });
        true
    }
}

impl Lane<'_> {
    /// Whether it is the same load on the same broker, as long.
    fn is(&self, other: &Lane<'_>) -> bool {
        let shape = |row: &Row| (row.kind, row.warm, row.duration);
        let same_broker = (self.broker, &self.document) == (other.broker, &other.document);
        same_broker && shape(self.row) == shape(other.row)
    }
}

/// The rows in as few slots as keep each row's lanes neighbours; rows keep their order.
///
/// # Errors
/// A mode that our own broker does not have.
pub(super) fn chains<'a>(rows: &[&'a Row], peers: &Peers) -> anyhow::Result<Vec<Chain<'a>>> {
    let mut all: Vec<Chain<'a>> = Vec::new();
    for row in rows {
        let (ours, theirs) = lanes(row, peers);
        let ours = ours.map_err(anyhow::Error::msg)?;
        match theirs {
            Ok(theirs) => {
                if !all.last_mut().is_some_and(|last| last.take(row, &ours, &theirs)) {
                    let mut chain = Chain::default();
                    chain.take(row, &ours, &theirs);
                    all.push(chain);
                }
            }
            Err(reason) => {
                let link = Link { row, ours: ours.document, theirs: Err(reason), lanes: None };
                all.push(Chain { links: vec![link], ..Chain::default() });
            }
        }
    }
    Ok(all)
}

/// Our load of a row, and theirs or why there is none.
fn lanes<'a>(row: &'a Row, peers: &Peers) -> (Result<Lane<'a>, String>, Result<Lane<'a>, String>) {
    let lane = |side, broker, word: &str, workload: &str, flags: &[String]| {
        let (peer, _) = &peers[&broker];
        match peer.mode(word) {
            Some(mode) => {
                Ok(Lane { row, side, broker, document: side_document(peer, mode, workload, flags) })
            }
            None => Err(format!("{} {} offers no {word} mode", peer.title, peer.version)),
        }
    };
    let flags = [&row.flags[..], &row.ours_flags].concat();
    let ours = lane(Side::Ours, Side::Ours, &row.ours, &row.workload, &flags);
    let theirs = match (&row.beside, &row.theirs) {
        (Some(beside), _) => {
            let workload = beside.workload.as_ref().unwrap_or(&row.workload);
            lane(Side::Theirs, Side::Ours, &beside.mode, workload, &beside.flags)
        }
        (None, Some(word)) => lane(Side::Theirs, Side::Theirs, word, &row.workload, &row.flags),
        (None, None) => Err("the row names no other side".to_string()),
    };
    (ours, theirs)
}

/// Settings of a topic in a mode.
pub(super) fn topic(peer: &Peer, mode: &Mode) -> BTreeMap<String, String> {
    let mut all = peer.topic.clone();
    all.extend(mode.topic.clone());
    all
}

fn side_document(peer: &Peer, mode: &Mode, workload: &str, flags: &[String]) -> SideDocument {
    SideDocument {
        broker: format!("{} {}", peer.title, peer.version),
        mode: mode.name.clone(),
        flushed: mode.flushed,
        meaning: mode.meaning.clone(),
        workload: workload.to_string(),
        flags: flags.to_vec(),
        topic: topic(peer, mode),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::lab::Lab;
    use super::*;

    fn perf() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../perf")
    }

    fn peers(theirs: &str) -> Peers {
        let peer = |name: &str| (Peer::read(&perf().join("peers"), name).expect("a peer"), PathBuf::new());
        BTreeMap::from([(Side::Ours, peer("ringlog")), (Side::Theirs, peer(theirs))])
    }

    fn walked(chain: &Chain<'_>, pair: u32) -> Vec<(Side, String)> {
        chain.walk(pair).iter().map(|lane| (lane.broker, lane.document.mode.clone())).collect()
    }

    #[test]
    fn rows_with_a_load_in_common_are_one_walk_with_that_load_between_the_others() {
        let lab = Lab::read(&perf()).expect("the lab");
        let names = ["saturated-16k", "saturated-16k-flushed"].map(str::to_string);
        let rows = lab.rows(false, &names).expect("rows");
        let all = chains(&rows, &peers("kafka")).expect("chains");
        assert_eq!((all.len(), all[0].len(), all[0].links.len()), (1, 3, 2));
        let forwards = walked(&all[0], 1);
        let modes: Vec<&str> = forwards.iter().map(|(_, mode)| mode.as_str()).collect();
        assert_eq!(modes, ["flush.messages=1", "flushed", "page cache"]);
        assert_eq!(walked(&all[0], 2), forwards.into_iter().rev().collect::<Vec<_>>());
    }

    #[test]
    fn in_every_walk_of_the_repository_a_rows_lanes_are_neighbours_and_no_load_runs_twice() {
        let lab = Lab::read(&perf()).expect("the lab");
        for peer in ["kafka", "tansu", "ringlog"] {
            let rows = lab.rows(true, &[]).expect("rows");
            let all = chains(&rows, &peers(peer)).expect("chains");
            assert_eq!(all.iter().map(|chain| chain.links.len()).sum::<usize>(), lab.row.len());
            for chain in &all {
                let walk = chain.walk(1);
                for (index, link) in chain.links.iter().enumerate().filter(|(_, link)| link.theirs.is_ok()) {
                    let has = |lane: &&&Lane<'_>| chain.rows_of(lane).iter().any(|(row, _)| *row == index);
                    let at: Vec<usize> =
                        walk.iter().enumerate().filter(|(_, lane)| has(lane)).map(|(at, _)| at).collect();
                    assert_eq!(at.len(), 2, "{peer}: {}", link.row.name);
                    assert_eq!(at[1] - at[0], 1, "{peer}: {}", link.row.name);
                }
                for (at, lane) in walk.iter().enumerate() {
                    assert!(walk[..at].iter().all(|before| !before.is(lane)), "{peer}: {}", lane.row.name);
                }
            }
        }
    }

    #[test]
    fn a_row_without_another_side_stands_alone_and_says_why() {
        let lab = Lab::read(&perf()).expect("the lab");
        let rows = lab.rows(false, &["depth1-flushed".to_string()]).expect("a row");
        let all = chains(&rows, &peers("tansu")).expect("chains");
        assert!(all[0].links[0].theirs.as_ref().is_err_and(|why| why.contains("flushed")), "{all:?}");
        assert_eq!(all[0].len(), 0);
    }
}
