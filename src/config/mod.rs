//! Settings: text from a file, the environment and flags, checked once, one struct for each room; does not touch accounts, directories or sockets.
//!
//! Weakest first: defaults, the file, `PORTCULLIS_SECTION__KEY`, flags. Every mistake of a run is found in that run.

mod layers;
mod mistake;
mod programs;
mod reader;
mod sections;
mod settings;

#[cfg(test)]
mod tests;

pub(crate) use layers::{Flag, Layers};
pub(crate) use mistake::Mistakes;
pub(crate) use settings::{
    AccountSettings, CarefulOption, DetachKey, GatewayAccount, GatewayAgent, GatewaySettings, LimitSettings,
    ListenSettings, LogSettings, OriginSettings, Rate, Settings,
};

/// Reads the layers and checks everything.
pub(crate) fn load(layers: &Layers) -> Result<Settings, Mistakes> {
    let mut reader = layers.reader()?;
    let settings = sections::read(&mut reader);
    let mistakes = reader.finish();
    match settings {
        Some(settings) if mistakes.is_empty() => Ok(settings),
        _ => Err(Mistakes(mistakes)),
    }
}
