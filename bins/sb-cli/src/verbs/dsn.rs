use sb_topology::{Access, DsnFormat, dsn, load_dir};
use serde::Serialize;

use crate::args::{DsnArgs, DsnForm, DsnRole, Output};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::verbs::{Ended, config, write_json};

#[derive(Serialize)]
struct Written<'a> {
    dsn: &'a str,
}

/// Prints how to reach the database that the documents describe.
pub fn run(args: &DsnArgs, output: Output, terminal: &mut Terminal) -> Ended {
    if args.format == DsnForm::Haproxy && args.root_cert.is_some() {
        let failure =
            Failure::new(Exit::Usage, "HAProxy passes the client's own TLS through and proves nothing");
        return Err(failure.hint("Give --root-cert with the form that your application takes."));
    }
    let place = format!("`{}`", args.config.display());
    let loaded = load_dir(&args.config).map_err(|problems| {
        config::tell(problems.as_slice(), terminal);
        config::unusable(&place, problems.as_slice())
    })?;
    let access = match args.role {
        DsnRole::Rw => Access::ReadWrite,
        DsnRole::Ro => Access::ReadOnly,
    };
    let format = match args.format {
        DsnForm::Libpq => DsnFormat::Libpq,
        DsnForm::Jdbc => DsnFormat::Jdbc,
        DsnForm::Sqlx => DsnFormat::Sqlx,
        DsnForm::Env => DsnFormat::Env,
        DsnForm::Haproxy => DsnFormat::Haproxy,
    };
    let text = dsn(&loaded.topology, format, access, args.root_cert.as_deref());
    match output {
        Output::Json => write_json(Written { dsn: &text }, terminal)?,
        Output::Table | Output::Wide => terminal.data(text.trim_end())?,
    }
    Ok(Exit::Done)
}
