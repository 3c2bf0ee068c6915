//! The last good routes on disk, for a router that starts while no controller can be reached.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use qoe_discovery::Version;
use qoe_discovery::saved::{self, Saved};

const FILE: &str = "routes.bin";

/// The folder that routes are saved in. Reading and writing wait for the disk.
pub(super) struct Disk {
    folder: PathBuf,
}

impl Disk {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The saved routes; none where they cannot be read.
    pub(super) fn read(&self) -> Vec<Saved> {
        let path = self.folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot read saved routes");
                return Vec::new();
            }
        };
        saved::decode(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "saved routes are damaged: they are not used");
            Vec::new()
        })
    }

    /// Replaces the saved routes, whole or not at all. Not to be called twice at the same time.
    pub(super) fn write<'a>(
        &self,
        routes: impl Iterator<Item = (&'a str, &'a Version, &'a Bytes)>,
    ) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let new = self.folder.join(format!("{FILE}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&saved::encode(routes))?;
        file.sync_all()?;
        fs::rename(new, self.folder.join(FILE))
    }
}
