//! Where etcd, kube-apiserver and helm are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A program of the control plane. The first call may build it, which takes minutes.
///
/// # Panics
/// It is not there, and cannot be built.
pub(crate) fn control_plane(name: &str) -> PathBuf {
    find(name, folders()).unwrap_or_else(|| panic!("no {name} in {:?}", folders()))
}

/// helm, where it is at hand.
pub(crate) fn helm() -> Option<PathBuf> {
    find("helm", folders())
}

fn folders() -> &'static [PathBuf] {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOLDERS.get_or_init(|| {
        let at_hand = at_hand();
        let complete = ["etcd", "kube-apiserver"].iter().all(|name| find(name, &at_hand).is_some());
        if complete { at_hand } else { installed() }
    })
}

/// The folders of envtest, and of the PATH.
fn at_hand() -> Vec<PathBuf> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    assets.into_iter().chain(env::split_paths(&path)).collect()
}

/// The folders that the installer prints once everything is there.
fn installed() -> Vec<PathBuf> {
    let script = root().join("tests/kubernetes/install.sh");
    let output = Command::new(&script).arg("control-plane").stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
    assert!(
        output.status.success(),
        "etcd and kube-apiserver are not there, and {} could not build them (see above): install Go, or set \
         KUBEBUILDER_ASSETS to a folder that has them",
        script.display()
    );
    env::split_paths(String::from_utf8_lossy(&output.stdout).trim()).collect()
}

fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}
