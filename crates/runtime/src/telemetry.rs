//! Logs, which go to stderr: stdout is for the output of commands. It must not know what is logged.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The log arguments; flatten them into a binary's own.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogArgs {
    /// Log level, or a filter such as `info,qoe_router=debug`. Default: RUST_LOG, or info.
    #[arg(long, value_name = "FILTER")]
    pub log_level: Option<String>,
    /// Log format.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is invalid.
    #[error(
        "log filter `{filter}`: {source}: use a level such as info, or a filter such as info,qoe_router=debug"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// The parser's error.
        source: ParseError,
    },
    /// A subscriber is set already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Starts logging to stderr.
///
/// # Errors
/// The filter is invalid, or this is the second call.
pub fn init(args: &LogArgs) -> Result<(), TelemetryError> {
    let from_environment = std::env::var("RUST_LOG").ok();
    let filter = filter(args, from_environment.as_deref())?;
    match args.log_format {
        LogFormat::Text => text(filter, io::stderr).try_init()?,
        LogFormat::Json => json(filter, io::stderr).try_init()?,
    }
    Ok(())
}

/// Time since the Unix epoch, for display only: the wall clock can jump, so it must not measure how long something took.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn filter(args: &LogArgs, from_environment: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let given = args.log_level.as_deref().or(from_environment).map(str::trim);
    let filter = given.filter(|filter| !filter.is_empty()).unwrap_or("info");
    EnvFilter::try_new(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })
}

fn text<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Log collectors do not strip colour codes.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).finish()
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    builder.json().flatten_event(true).finish()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Binary {
        #[command(flatten)]
        log: LogArgs,
    }

    fn args(line: &[&str]) -> LogArgs {
        Binary::parse_from(std::iter::once(&"binary").chain(line)).log
    }

    /// A writer that tests can read.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn the_argument_beats_the_environment_and_the_environment_the_default() {
        let shown = |args: &LogArgs, env| filter(args, env).unwrap().to_string();
        assert_eq!(shown(&args(&[]), None), "info");
        assert_eq!(shown(&args(&[]), Some("")), "info");
        assert_eq!(shown(&args(&[]), Some("warn")), "warn");
        assert_eq!(shown(&args(&["--log-level", "debug"]), Some("warn")), "debug");
    }

    #[test]
    fn an_invalid_filter_says_what_to_use() {
        let error = filter(&args(&["--log-level", "qoe=loud"]), None).unwrap_err().to_string();
        assert!(error.starts_with("log filter `qoe=loud`: "), "{error}");
        assert!(
            error.ends_with("use a level such as info, or a filter such as info,qoe_router=debug"),
            "{error}"
        );
    }

    #[test]
    fn json_lines_have_their_fields_at_the_top_level() {
        let args = args(&["--log-format", "json"]);
        assert_eq!(args.log_format, LogFormat::Json);
        let written = Written::default();
        let writer = written.clone();
        let subscriber = json(filter(&args, None).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(endpoint = "p0", "ejected");
            tracing::debug!("not at this level");
        });
        let line: serde_json::Value = serde_json::from_str(&written.text()).unwrap();
        assert_eq!((&line["message"], &line["endpoint"]), (&"ejected".into(), &"p0".into()));
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn text_lines_have_no_colours() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = text(filter(&args(&[]), None).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || tracing::warn!(line = 12, "refused"));
        let text = written.text();
        assert!(text.ends_with("refused line=12\n") && !text.contains('\u{1b}'), "{text:?}");
    }
}
