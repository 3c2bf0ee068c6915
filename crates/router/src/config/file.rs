//! The configuration file: read at the start, and again whenever it changes. A bad file changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use qoe_api::standalone::StandaloneConfig;
use qoe_api::standalone::load;

use crate::routes::source::RouteSource;
use crate::shared::Shared;

/// How often the file is read to see whether it changed: the delay of a change, at most. The text is compared, because
/// mounted ConfigMaps swap links and editors replace files, which times and inodes tell differently.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file's text.
fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The file's configuration.
///
/// # Errors
/// It cannot be read, or has errors: all of them, with their lines and fields.
pub fn check(path: &Path) -> anyhow::Result<StandaloneConfig> {
    parse(path, &read(path)?)
}

fn parse(path: &Path, text: &str) -> anyhow::Result<StandaloneConfig> {
    let file = path.display().to_string();
    load(text).map_err(|errors| anyhow::anyhow!("{}", errors.in_file(&file)))
}

/// The configuration file, and its text when it was last read.
pub(crate) struct ConfigFile {
    path: PathBuf,
    text: String,
}

impl ConfigFile {
    /// Reads the file for the first time and puts it into use.
    pub(crate) fn open(path: PathBuf, shared: &Shared) -> anyhow::Result<Self> {
        let text = read(&path)?;
        shared.configure(&RouteSource::of_file(&parse(&path, &text)?));
        Ok(Self { path, text })
    }

    /// Reads the file once per [`LOOK_EVERY`], for ever, and puts each good change into use.
    pub(crate) async fn watch(mut self, shared: Arc<Shared>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let path = self.path.clone();
            // The disk may be slow: the thread has other things to do meanwhile.
            let read = tokio::task::spawn_blocking(move || read(&path)).await;
            // A file that is being replaced may be missing for a moment.
            if let Ok(Ok(text)) = read {
                self.take(text, &shared);
            }
        }
    }

    /// Puts the text into use, if it is new and good.
    fn take(&mut self, text: String, shared: &Shared) {
        if text == self.text {
            return;
        }
        self.text = text;
        match parse(&self.path, &self.text) {
            Ok(config) => {
                shared.configure(&RouteSource::of_file(&config));
                tracing::info!(file = %self.path.display(), "configuration reloaded");
            }
            Err(error) => {
                shared.metrics.config_read("rejected");
                tracing::error!(%error, "configuration rejected; the last good one stays in use");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;

    use prometheus_client::registry::Registry;

    use super::*;
    use crate::observe::metrics::Metrics;

    const GOOD: &str = "apiVersion: qoe-router.io/v1alpha1\nkind: QoERoute\nmetadata: {name: a}\n---\napiVersion: qoe-router.io/v1alpha1\nkind: EndpointList\nendpoints: []\n";

    #[test]
    fn a_bad_file_keeps_the_last_good_one_and_a_good_one_is_taken() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, GOOD).expect("a writable folder");
        let shared = Shared::new(Metrics::register(&mut Registry::default()), 0);
        let mut config = ConfigFile::open(path, &shared).expect("a good file");
        let version = || shared.snapshot.load().version;
        assert_eq!(version(), 1);
        config.take("kind: [".to_owned(), &shared);
        assert_eq!(version(), 1, "the last good one");
        config.take(format!("# a comment\n{GOOD}"), &shared);
        assert_eq!(version(), 1, "nothing changed");
        config.take(GOOD.replace("name: a", "name: b"), &shared);
        assert_eq!((version(), &*shared.snapshot.load().routes[0].name), (2, "b"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_file_changes_nothing_and_is_read_when_it_is_back() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("config.yaml");
        let shared = Shared::new(Metrics::register(&mut Registry::default()), 0);
        let config = ConfigFile { path: path.clone(), text: String::new() };
        let version = || shared.snapshot.load().version;
        let check = async {
            tokio::time::sleep(LOOK_EVERY * 5 / 2).await;
            assert_eq!(version(), 0);
            std::fs::write(path, GOOD).expect("a writable folder");
            tokio::time::sleep(LOOK_EVERY * 2).await;
            assert_eq!(version(), 1);
        };
        tokio::select! {
            () = config.watch(Arc::clone(&shared)) => unreachable!("it never ends"),
            () = check => {}
        }
    }

    /// A named pipe blocks its reader until there is a writer, as a disk that hangs does.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_stops_nothing_else_on_the_thread() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        let shared = Shared::new(Metrics::register(&mut Registry::default()), 0);
        let config = ConfigFile { path: path.clone(), text: String::new() };
        let (free, is_free) = mpsc::channel();
        let writer = thread::spawn(move || {
            let in_time = is_free.recv_timeout(Duration::from_secs(10));
            std::fs::write(path, GOOD).expect("a pipe with a reader");
            in_time
        });
        let others = async {
            tokio::time::advance(LOOK_EVERY).await;
            free.send(()).expect("the writer waits");
            while shared.snapshot.load().version == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = config.watch(Arc::clone(&shared)) => unreachable!("it never ends"),
            () = others => {}
        }
        writer.join().expect("no panic").expect("others go on while the file is read");
    }

    #[test]
    fn errors_name_the_file_the_line_and_the_field() {
        let error = parse(
            Path::new("r.yaml"),
            &GOOD.replace("{name: a}", "{name: a}\nspec: {policy: {type: Best}}"),
        );
        let error = error.expect_err("an unknown policy").to_string();
        assert!(error.starts_with("r.yaml:4") && error.contains("spec.policy.type"), "{error}");
    }
}
