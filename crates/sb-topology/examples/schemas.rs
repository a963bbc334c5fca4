//! Writes the JSON Schemas of the documents into `crates/sb-topology/schemas`.
//!
//! ```sh
//! cargo run -p sb-topology --example schemas
//! ```

use std::io;
use std::path::Path;

use sb_topology::documents::schema_files;
use sb_topology::write::replace_file;

fn main() -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    schema_files()
        .iter()
        .try_for_each(|(name, text)| replace_file(&directory.join(name), text.as_bytes(), 0o644))
}
