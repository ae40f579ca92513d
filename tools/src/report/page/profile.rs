//! Where the broker's CPU time went.

use std::fmt::Write;

use super::facts::shortened;
use super::html::{escaped, figure};
use crate::report::json::Document;
use crate::report::profile::HOT_MAX;
use crate::report::units;

/// Characters of a function's name.
const SYMBOL_SHOWN_MAX: usize = 120;

/// The section; nothing without a profile.
pub(super) fn profile(document: &Document) -> String {
    let Some(profile) = &document.profile else { return String::new() };
    let largest = profile.hot.first().map_or(1.0, |hot| hot.share).max(1e-9);
    let mut rows = String::new();
    for (index, hot) in profile.hot.iter().enumerate().take(HOT_MAX) {
        let _ = writeln!(
            rows,
            "<tr><td class=\"num\">{}</td><td class=\"share\"><div class=\"meter\"><i style=\"width:{:.1}%\"></i></div></td>\
             <td>{}</td><td><code>{}</code></td></tr>",
            figure(&format!("profile.hot.{index}.share"), hot.share, &units::percent(hot.share)),
            (hot.share / largest * 100.0).clamp(0.0, 100.0),
            escaped(&shortened(&hot.module, SYMBOL_SHOWN_MAX)),
            escaped(&shortened(&hot.symbol, SYMBOL_SHOWN_MAX)),
        );
    }
    format!(
        "<section>\n<h2>Where the CPU time went</h2>\n<p class=\"lead\">Samples of the broker's threads in the window, {} a second \
         of CPU time, each counted where it was, not who called it. The profiler takes time too: compare runs without it. \
         All samples: <a href=\"{1}\">{1}</a>, for <code>perf report -i</code>.</p>\n<div class=\"card\"><table class=\"hot\">\n\
         <thead><tr><th class=\"num\">share</th><th></th><th>module</th><th>function</th></tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table></div>\n</section>\n",
        profile.hertz,
        escaped(&shortened(&profile.file, SYMBOL_SHOWN_MAX)),
    )
}
