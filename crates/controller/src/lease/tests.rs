use std::sync::Mutex;

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

fn held_by(holder: &str) -> Observed {
    Observed { holder: holder.to_owned(), lease: Duration::from_secs(15), ..Observed::default() }
}

#[test]
fn a_lease_is_taken_when_it_is_free_or_was_silent_for_its_whole_time() {
    let s = Duration::from_secs;
    for (holder, unchanged_for, wanted) in [
        ("me", s(0), Step::Hold { taken: false }),
        ("", s(0), Step::Hold { taken: true }),
        ("other", s(14), Step::Wait),
        ("other", s(15), Step::Hold { taken: true }),
    ] {
        assert_eq!(step(&held_by(holder), "me", unchanged_for), wanted, "{holder}");
    }
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_by_itself() {
    let leadership = Leadership::new(Instant::now());
    assert_eq!(leadership.left(), None);
    leadership.set(Some(Duration::from_secs(10)));
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(leadership.left(), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(leadership.left(), None);
}

#[test]
fn a_writer_is_silent_before_another_may_write() {
    let Times { lease, renew_within, every } = Times::default();
    assert!(renew_within < lease && every * 2 < renew_within);
}

/// An API server with one lease, as it was last written.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Option<Value>>>);

impl Server {
    fn api(&self) -> Api<Lease> {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let method = request.method().clone();
                let sent = request.into_body().collect_bytes().await.unwrap();
                if method != Method::GET {
                    *server.0.lock().unwrap() = serde_json::from_slice(&sent).ok();
                }
                let lease = server.0.lock().unwrap().clone();
                let missing = json!({
                    "kind": "Status", "status": "Failure", "message": "no", "reason": "NotFound",
                    "code": 404,
                });
                let status = if lease.is_some() { 200 } else { 404 };
                let body = lease.unwrap_or(missing).to_string();
                Response::builder().status(status).body(Body::from(body.into_bytes()))
            }
        };
        Api::default_namespaced(kube::Client::new(tower::service_fn(answer), "default"))
    }

    fn holder(&self) -> String {
        let lease = self.0.lock().unwrap();
        let holder = lease.as_ref().map(|lease| lease["spec"]["holderIdentity"].clone());
        holder.and_then(|holder| holder.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_cannot_read_the_cluster_gives_the_lease_up_until_it_can() {
    let server = Server::default();
    let (outage, outages) = watch::channel(None);
    let leadership = Leadership::new(Instant::now());
    let replica = Replica { name: "me".to_owned(), pod_uid: None };
    let candidate = Candidate::new(server.api(), "lease", replica, leadership.clone(), outages);
    tokio::spawn(candidate.run(std::future::pending()));
    let a_while = Times::default().every * 2;
    sleep(a_while).await;
    assert!(leadership.left().is_some() && server.holder() == "me");
    outage.send_replace(Some("the watch of pods is silent".into()));
    sleep(a_while).await;
    assert!(leadership.left().is_none() && server.holder().is_empty());
    sleep(a_while * 10).await;
    assert!(leadership.left().is_none() && server.holder().is_empty(), "nor does it take it");
    outage.send_replace(None);
    sleep(a_while).await;
    assert!(leadership.left().is_some() && server.holder() == "me");
}
