//! The diagram in the documents is that of the table. `SB_WRITE_DOCS=1` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

#[test]
fn the_diagram_in_the_documents_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/failover-states.md");
    let text = format!(
        "# The states of one server\n\n\
         Generated from `crates/sb-failover/src/table.rs`; a test compares the two.\n\
         Each arrow says why, and in brackets the rule that asks for it.\n\n\
         ```mermaid\n{}```\n",
        sb_failover::mermaid()
    );
    if std::env::var_os("SB_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "write it anew: SB_WRITE_DOCS=1 cargo test -p sb-failover --test diagram");
}
