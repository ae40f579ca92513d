//! What compaction was at when a core died, in one sentence.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use engine::base::PartitionKey;
use engine::io::FileName;
use engine::log::cleaner::Swap;
use engine::log::names::SegmentFile;

use super::Report;
use super::data_dir::Known;
use crate::log::dump::read_small;
use crate::log::lines::Lines;

/// Reads `cores/<core>/swap`: a segment whose new files are whole counts from then on.
pub(super) fn swap<W: Write>(
    root: &Path,
    dir: &Path,
    known: &mut BTreeMap<PartitionKey, Known>,
    report: &mut Report,
    out: &mut Lines<W>,
) -> anyhow::Result<()> {
    let path = dir.join("swap");
    if !path.exists() {
        return Ok(());
    }
    let swap = match Swap::decode(&read_small(&path)?) {
        Ok(swap) => swap,
        Err(error) => {
            let what = format!("{error}: a start keeps it aside, and the segments count as they stand");
            return Ok(report.damage(out, &path.display().to_string(), Some(error.at as u64), &what)?);
        }
    };
    let what = match (known.get_mut(&swap.key), &swap.segment) {
        (None, _) => "the topic is gone: the next start removes what is left".to_owned(),
        (Some(_), None) => format!(
            "compaction was writing the segments {} to {} anew: they count as they are, and the next start removes \
             what it had written",
            swap.base,
            swap.end.plus(-1)
        ),
        (Some(known), Some(segment)) => {
            let partition = root.join(FileName::partition_dir(swap.key).as_str());
            let waits = partition.join(SegmentFile::Log.cleaned_name(swap.base)).exists();
            if known.state.segments.replace(segment, swap.end) {
                known.head.replace(segment, swap.end);
                known.swapped = Some(segment.base);
                let (from, to) = (swap.base, swap.end.plus(-1));
                if waits {
                    format!(
                        "compaction was about to put a new segment in the place of offsets {from} to {to}: the new \
                         one counts, and the next start finishes it"
                    )
                } else {
                    format!(
                        "compaction has put a new segment in the place of offsets {from} to {to}: the next start \
                         removes what is left of the old ones"
                    )
                }
            } else {
                "retention took the segments that compaction was at: the next start removes what is left"
                    .to_owned()
            }
        }
    };
    let fields = [
        ("partition", swap.key.to_string().into()),
        ("file", path.display().to_string().into()),
        ("what", what.into()),
    ];
    Ok(out.line("swap", "Compaction", &fields)?)
}
