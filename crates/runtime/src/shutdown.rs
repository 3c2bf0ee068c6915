//! The signal to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal as listen};

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: from whoever runs the process.
    Terminate,
    /// SIGINT: from the keyboard.
    Interrupt,
}

/// Listens from this call on for SIGTERM and SIGINT; the future resolves at the first. Neither ends the process by
/// itself any more. To be called within a runtime.
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
