//! Progress of a run: one updated line on a terminal, else a line every five seconds.

use std::io::{IsTerminal, Write};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(5);

/// Prints the progress of a run.
#[derive(Debug)]
pub struct Progress {
    name: String,
    terminal: bool,
    next: Duration,
}

impl Progress {
    /// Creates the progress of the run `name` on stdout.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { name: name.to_owned(), terminal, next: EVERY }
    }

    /// Prints the counts at `elapsed`, if enough time has passed since the last line.
    pub fn show(&mut self, elapsed: Duration, planned: usize, done: usize, in_flight: usize) {
        let ended = done == planned;
        if !self.terminal && elapsed < self.next && !ended {
            return;
        }
        self.next = elapsed + EVERY;
        let seconds = elapsed.as_secs_f64();
        let line = format!(
            "{}: {seconds:5.1} s, {done} of {planned} done, {in_flight} in flight",
            self.name
        );
        let mut out = std::io::stdout().lock();
        // A closed stdout is no reason to stop measuring.
        let _ = match (self.terminal, ended) {
            (true, false) => write!(out, "\r{line}   "),
            (true, true) => writeln!(out, "\r{line}   "),
            (false, _) => writeln!(out, "{line}"),
        };
        let _ = out.flush();
    }
}
