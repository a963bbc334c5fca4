use std::io;
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use sb_client::bundle::{PASSPHRASE_CHARACTERS_MIN, Passphrase};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::{Conversation, Terminal};

/// The passphrase from a file, or from a person, who types it twice.
pub fn read(file: Option<&Path>, terminal: &mut Terminal) -> Result<Passphrase, Failure> {
    let text = match (file, terminal.conversation()) {
        (Some(file), _) => from_file(file)?,
        (None, Conversation::Possible) => from_person(terminal)?,
        (None, Conversation::Impossible) => {
            return Err(Failure::new(Exit::Usage, "without a terminal this needs --passphrase-file FILE")
                .detail("The passphrase protects the key that can make servers of this cluster."));
        }
    };
    Passphrase::new(text).map_err(|error| Failure::from_error(Exit::Usage, &error))
}

fn from_file(file: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Failed, format!("could not read the passphrase in `{}`", file.display()))
            .detail(error.to_string())
    };
    Ok(std::fs::read_to_string(file).map_err(failed)?.trim_end_matches(['\r', '\n']).to_owned())
}

fn from_person(terminal: &mut Terminal) -> Result<String, Failure> {
    terminal.talk("The authority's key stays with you, encrypted. It is needed to add servers.");
    let silence = Silence::begin()?;
    let asked = format!("Passphrase, at least {PASSPHRASE_CHARACTERS_MIN} characters:");
    let first = terminal.ask(asked)?;
    terminal.talk("");
    let second = terminal.ask("Once more:")?;
    terminal.talk("");
    drop(silence);
    if first == second { Ok(first) } else { Err(Failure::new(Exit::Usage, "the passphrases differ")) }
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
