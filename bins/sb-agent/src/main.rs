//! `sb-agent run` is the agent of one server, `sb-agent guard` the process that is PostgreSQL's parent, `sb-agent
//! replay` plays what an agent has recorded, `sb-agent mesh-key` says who the server is in the mesh, `sb-agent
//! tunnel` brings a laptop into it.

mod arguments;
mod report;
mod signals;

use std::process::ExitCode;

use arguments::{Arguments, Command, MeshKey, Replay};
use clap::Parser;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    report::log_to_stderr();
    let ended = match arguments.command {
        // The guard must be the only thread of its process.
        Command::Guard(guard) => sb_node::guard::run(guard.into_config()).map(|_| ()).map_err(report::guard),
        Command::Replay(replay) => play(&replay),
        Command::MeshKey(key) => show_mesh_key(key),
        Command::Tunnel(tunnel) => signals::until_told_to_stop(async |stop| {
            sb_node::mesh::tunnel(&tunnel.file, stop).await.map_err(|error| report::tunnel(&error))
        }),
        Command::Run(run) => signals::until_told_to_stop(async |stop| {
            sb_node::run(run.into_config(), stop).await.map_err(report::agent)
        }),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn play(replay: &Replay) -> Result<(), report::Failure> {
    let (shown, form) = replay.shown();
    let out = &mut std::io::BufWriter::new(std::io::stdout().lock());
    let played = sb_node::replay::replay(&replay.trace, shown, form, out);
    std::io::Write::flush(out).map_err(|error| report::output(&error))?;
    report::replayed(&played.map_err(|error| report::replay(&error))?)
}

fn show_mesh_key(key: MeshKey) -> Result<(), report::Failure> {
    let path = key.config_dir.join(sb_node::mesh::KEY_FILE);
    let private = sb_node::mesh::load_or_make_key(&path).map_err(|error| report::mesh_key(&error))?;
    let out = &mut std::io::stdout().lock();
    std::io::Write::write_fmt(out, format_args!("{}\n", private.public_key()))
        .map_err(|error| report::output(&error))
}
