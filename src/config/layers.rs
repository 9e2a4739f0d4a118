//! Where values come from and which wins: defaults < file < environment < flags; does not know what the keys mean.

use std::path::PathBuf;

use figment::providers::{Format, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::mistake::{Mistake, Mistakes};
use super::reader::Reader;

/// What a variable of the environment begins with.
const PREFIX: &str = "PORTCULLIS_";

/// A setting given on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Flag {
    /// `section.key`.
    pub(crate) key: &'static str,
    /// As typed, for messages: `--https`.
    pub(crate) flag: &'static str,
    /// Its value.
    pub(crate) value: String,
}

/// The texts that settings are read from; the caller read them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// Path (for messages) and text of the file.
    pub(crate) file: Option<(PathBuf, String)>,
    /// The environment; only `PORTCULLIS_A__B` counts.
    pub(crate) environment: Vec<(String, String)>,
    /// Flags.
    pub(crate) flags: Vec<Flag>,
}

impl Layers {
    /// Merges everything; mistakes here are those of the file's grammar.
    pub(super) fn reader(&self) -> Result<Reader, Mistakes> {
        let mut figment = Figment::new();
        if let Some((path, text)) = &self.file {
            let source = path.display().to_string();
            figment = figment.merge(Layer::File { source: source.clone(), text });
            if let Err(error) = figment.data() {
                let (key, problem) = ("(file)".to_owned(), "is no TOML".to_owned());
                let allowed = "allowed: TOML, as in config/portcullis.toml".to_owned();
                return Err(Mistakes(vec![Mistake { source, key, problem, allowed, excerpt: error.to_string() }]));
            }
        }
        let mut refused = Vec::new();
        for (variable, value) in &self.environment {
            let Some(key) = variable.strip_prefix(PREFIX).filter(|rest| rest.contains("__")) else { continue };
            let key = key.to_lowercase().replace("__", ".");
            if key.starts_with("accounts.") || key.starts_with("agents.") {
                refused.push(Mistake {
                    source: variable.clone(),
                    key,
                    problem: "accounts and agents never come from the environment".to_owned(),
                    allowed: "write it into the configuration file".to_owned(),
                    excerpt: String::new(),
                });
                continue;
            }
            figment = figment.merge(Layer::One { source: variable.clone(), key, value });
        }
        for flag in &self.flags {
            let (source, key) = (flag.flag.to_owned(), flag.key.to_owned());
            figment = figment.merge(Layer::One { source, key, value: &flag.value });
        }
        let data = figment.data().unwrap_or_default();
        let values = data.get(&Profile::Default).cloned().unwrap_or_default();
        Ok(Reader::new(figment, values, refused))
    }
}

/// One source, named so that a mistake can say where it stands.
enum Layer<'a> {
    File { source: String, text: &'a str },
    One { source: String, key: String, value: &'a str },
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        let (Self::File { source, .. } | Self::One { source, .. }) = self;
        Metadata::named(source.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        match self {
            Self::File { text, .. } => Toml::string(text).data(),
            Self::One { key, value, .. } => {
                // A bare word is a string, `[a, b]` a list, `3` a number: figment's own grammar for variables.
                let parsed: Value = value.parse().unwrap_or_else(|_| Value::from(*value));
                let dict = nest(key, parsed).into_dict().unwrap_or_default();
                Ok(Profile::Default.collect(dict))
            }
        }
    }
}
