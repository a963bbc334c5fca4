use super::{Happening, Invariant};
use crate::world::World;

/// R8: a copy that was not completed is never started, also after a crash in the middle.
pub struct NoTornStart;

impl Invariant for NoTornStart {
    fn name(&self) -> &'static str {
        "no_torn_start"
    }

    fn see(&mut self, _world: &World, happening: &Happening) -> Result<(), String> {
        match happening {
            Happening::StartedTorn { server } => Err(format!("s{server} started a half-made copy")),
            Happening::Acknowledged { .. }
            | Happening::BecamePrimary { .. }
            | Happening::Committed { .. }
            | Happening::Streamed { .. }
            | Happening::PromisedHolder { .. }
            | Happening::SettingChanged
            | Happening::Renews { .. }
            | Happening::Opened { .. }
            | Happening::Left { .. }
            | Happening::End => Ok(()),
        }
    }
}
