//! The signals that ask the process to shut down.

use std::io;

use tokio::signal::unix::{SignalKind, signal as listen};

/// A signal that asks the process to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, from the supervisor.
    Terminate,
    /// SIGINT, from the keyboard.
    Interrupt,
}

/// Listens for SIGTERM and SIGINT from this call on, and resolves at the first. From then on neither of them ends the
/// process by itself. Call it within a tokio runtime.
///
/// # Errors
/// The operating system refuses the handlers.
pub fn signal() -> io::Result<impl Future<Output = Signal> + Send + 'static> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => Signal::Terminate,
            _ = interrupt.recv() => Signal::Interrupt,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    // One test for both: signals are of the whole process.
    #[tokio::test]
    async fn both_signals_are_heard() {
        for (name, signal) in [("-TERM", Signal::Terminate), ("-INT", Signal::Interrupt)] {
            let heard = super::signal().unwrap();
            let sent = Command::new("kill").args([name, &id().to_string()]).status().unwrap();
            assert!(sent.success());
            assert_eq!(heard.await, signal);
        }
    }
}
