//! What controllers and routers logged, as JSON, a line each. All tests share one log: look for what is only yours.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::EnvFilter;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps all lines from now on. With `QOE_TEST_LOG=1` they are also shown.
pub fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = EnvFilter::new("qoe_controller=info,qoe_discovery=info,qoe_router=info");
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true);
        subscriber.with_env_filter(filter).with_writer(|| Keeper).init();
    });
}

/// The first line that has all of `parts`.
#[must_use]
pub fn line(parts: &[&str]) -> Option<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().find(|line| parts.iter().all(|part| line.contains(part))).cloned()
}

/// How many lines have all of `parts`.
#[must_use]
pub fn count(parts: &[&str]) -> usize {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
}

/// The formatter writes a line at a time.
struct Keeper;

impl io::Write for Keeper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        if std::env::var_os("QOE_TEST_LOG").is_some() {
            eprint!("{line}");
        }
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
