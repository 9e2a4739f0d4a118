//! Starts `tracing` on stderr; does not know which process it is in. Audit does not go through here: a log line may be lost, an entry may not.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogForm {
    /// For a person at a console.
    Text,
    /// One JSON object a line, for a collector.
    Json,
}

/// Why logs did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// Not the filter's grammar.
    #[error(
        "log filter {0:?} is no filter ({1}); allowed: error, warn, info, debug, trace, or target=level, separated by commas"
    )]
    Filter(String, String),
    /// Called twice.
    #[error("logs were started already")]
    Started,
}

/// Once in each process.
pub(crate) fn start_logs(filter: &str, form: LogForm) -> Result<(), LogError> {
    let parsed =
        EnvFilter::builder().parse(filter).map_err(|error| LogError::Filter(filter.to_owned(), error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    let outcome = match form {
        LogForm::Text => builder.with_ansi(false).with_target(false).finish().try_init(),
        LogForm::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    outcome.map_err(|_| LogError::Started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_names_what_is_allowed() {
        let error = start_logs("portcullis=loud", LogForm::Text).unwrap_err();
        assert!(error.to_string().contains("error, warn, info"), "{error}");
    }
}
