//! Child processes that never outlive the tests, however these end.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Runs the program, and kills it when the pipe from the tests closes: by hand, or because their process is gone. The
/// shell is the program's parent, so that its number cannot become another's before it is killed.
const WATCH: &str = r#"
trap '' INT TERM HUP
log=$1 rubbish=$2
shift 2
"$@" </dev/null >>"$log" 2>&1 &
child=$!
read -r _
kill -KILL "$child" 2>/dev/null
wait
for _ in 1 2 3 4 5; do
  [ -z "$rubbish" ] || rm -rf "$rubbish" 2>/dev/null || { sleep 0.2; continue; }
  break
done
"#;

/// A running program; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program that writes to `log`. The folder `rubbish` is removed after its end.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        log: &Path,
        rubbish: Option<&Path>,
    ) -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", WATCH, "sh"]).arg(log).arg(rubbish.unwrap_or(Path::new("")));
        shell.arg(program).args(arguments).stdin(Stdio::piped());
        shell.spawn().map(Self)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}
