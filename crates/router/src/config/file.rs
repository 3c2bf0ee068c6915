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
            self.look(&shared);
        }
    }

    fn look(&mut self, shared: &Shared) {
        // A file that is being replaced may be missing for a moment.
        let Ok(text) = read(&self.path) else { return };
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
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::observe::metrics::Metrics;

    const GOOD: &str = "apiVersion: qoe-router.io/v1alpha1\nkind: QoERoute\nmetadata: {name: a}\n---\napiVersion: qoe-router.io/v1alpha1\nkind: EndpointList\nendpoints: []\n";

    #[test]
    fn a_bad_file_keeps_the_last_good_one_and_a_good_one_is_taken() {
        let file = std::env::temp_dir().join(format!("qoe-config-{}.yaml", std::process::id()));
        let shared = Shared::new(Metrics::register(&mut Registry::default()), 0);
        let write = |text: &str| std::fs::write(&file, text).expect("a writable folder");
        write(GOOD);
        let mut config = ConfigFile::open(file.clone(), &shared).expect("a good file");
        let version = || shared.snapshot.load().version;
        assert_eq!(version(), 1);
        write("kind: [");
        config.look(&shared);
        assert_eq!(version(), 1, "the last good one");
        write(&format!("# a comment\n{GOOD}"));
        config.look(&shared);
        assert_eq!(version(), 1, "nothing changed");
        write(&GOOD.replace("name: a", "name: b"));
        config.look(&shared);
        assert_eq!((version(), &*shared.snapshot.load().routes[0].name), (2, "b"));
        std::fs::remove_file(&file).expect("it was written");
        config.look(&shared);
        assert_eq!(version(), 2, "a missing file changes nothing");
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
