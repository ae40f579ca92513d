//! What every page begins and ends with.

use std::fmt::Write;

use super::html::escaped;

/// No page exceeds this, whatever it is made from.
pub const PAGE_BYTES_MAX: usize = 2_000_000;

const STYLE: &str = include_str!("style.css");

/// A page of these sections. The policy forbids every request: a page that is opened offline stays offline.
pub(super) fn html(title: &str, sections: &[String]) -> String {
    let mut out = String::with_capacity(256 << 10);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        escaped(title)
    );
    sections.iter().for_each(|section| out.push_str(section));
    out.push_str("</body>\n</html>\n");
    assert!(out.len() <= PAGE_BYTES_MAX, "runs, intervals and rows are bounded, so is the page");
    out
}
