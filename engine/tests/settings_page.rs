//! `docs/settings.md` is what the definitions say. `UPDATE_DOCS=1 cargo test -p engine --test
//! settings_page` writes it anew.

use std::path::Path;

#[test]
fn the_settings_page_is_the_definitions() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let page = engine::config::docs::page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("a writable page");
    }
    let kept = std::fs::read_to_string(&path).expect("the page");
    assert!(
        kept == page,
        "docs/settings.md is stale: run UPDATE_DOCS=1 cargo test -p engine --test settings_page"
    );
}
