//! The admin pages of a controller or a router.

use std::net::SocketAddr;

use qoe_tests::client::get;
use serde_json::Value;

/// An admin port.
#[derive(Clone, Copy, Debug)]
pub struct Pages(pub SocketAddr);

impl Pages {
    /// A page as JSON.
    pub async fn json(self, path: &str) -> Value {
        get(self.0, path).await.json().await
    }

    /// A page's status and text.
    pub async fn text(self, path: &str) -> (u16, String) {
        let page = get(self.0, path).await;
        let status = page.status.as_u16();
        (status, String::from_utf8_lossy(&page.whole().await).into_owned())
    }

    /// Whether it says that it is ready.
    pub async fn ready(self) -> bool {
        self.text("/ready").await.0 == 200
    }

    /// The sum of the samples of `/metrics` whose name is `name` and whose labels hold all of `labels`.
    pub async fn metric(self, name: &str, labels: &[&str]) -> f64 {
        let (_, page) = self.text("/metrics").await;
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (family, set) = series.split_once('{').unwrap_or((series, ""));
            let fits = family == name && labels.iter().all(|label| set.contains(label));
            fits.then(|| value.parse::<f64>().ok())?
        };
        page.lines().filter_map(sample).sum()
    }
}
