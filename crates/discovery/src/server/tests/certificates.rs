//! Mutual TLS between routers and controllers.

use super::*;

/// An authority, whose certificates are good for loopback.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::new(params, key), pem }
    }

    /// Puts a certificate of this authority into a folder.
    fn issue(&self, folder: &Path) -> TlsFolder {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        for (name, text) in [
            ("tls.crt", certificate.pem()),
            ("tls.key", key.serialize_pem()),
            ("ca.crt", self.pem.clone()),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        TlsFolder::new(folder)
    }

    fn folder(&self) -> (TempDir, TlsFolder) {
        let folder = TempDir::new().unwrap();
        let tls = self.issue(folder.path());
        (folder, tls)
    }
}

#[tokio::test]
async fn only_routers_of_the_same_authority_are_let_in() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (_controller, of_controller) = ours.folder();
    let controller = Controller::start(LONG, Some(of_controller)).await;
    controller.publish(&[("llm/a", 1)]);
    let (_router, of_router) = ours.folder();
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::start(&mut tasks, controller.address, Some(of_router));
    router.until("its routes", |told| serves(told, &[("llm/a", 1)])).await;
    let (_other, of_other) = theirs.folder();
    assert!(!admitted(&controller, Some(of_other)).await, "of another authority");
    assert!(!admitted(&controller, None).await, "without TLS");
    // One that trusts the controller, but shows another authority's certificate.
    let (folder, disguised) = theirs.folder();
    std::fs::write(folder.path().join("ca.crt"), &ours.pem).unwrap();
    assert!(!admitted(&controller, Some(disguised)).await, "with another's certificate");
    assert_eq!(controller.ear.0.0.borrow().joined.len(), 1);
}

#[tokio::test]
async fn certificates_are_rotated_without_a_restart_and_bad_ones_are_not_taken() {
    let (old, new) = (Authority::new(), Authority::new());
    let (folder, of_controller) = old.folder();
    let controller = Controller::start(LONG, Some(of_controller)).await;
    controller.publish(&[]);
    let (_old, of_old) = old.folder();
    let (_new, of_new) = new.folder();
    let who = async || {
        let (old, new) = (Some(of_old.clone()), Some(of_new.clone()));
        (admitted(&controller, old).await, admitted(&controller, new).await)
    };
    assert_eq!(who().await, (true, false));
    new.issue(folder.path());
    pass(listen::CERTIFICATES_FOR).await;
    assert_eq!(who().await, (false, true));
    for broken in ["tls.crt", "ca.crt"] {
        std::fs::write(folder.path().join(broken), "half a certi").unwrap();
        pass(listen::CERTIFICATES_FOR).await;
        assert_eq!(who().await, (false, true), "{broken}: the last good ones stay");
    }
}
