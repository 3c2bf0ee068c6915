//! A controller in this process, with a client, rights and an identity of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use qoe_controller::Controller;
use qoe_controller::args::Run;

use crate::api_server::User;
use crate::pages::Pages;
use crate::rights::{self, Rights, grant};
use crate::space::Space;

/// How a controller is to run: by default for its space alone, with the rights of the chart.
pub struct Control<'a> {
    space: &'a Space,
    /// Empty: all.
    namespaces: Vec<String>,
    class: String,
    user: Option<User>,
    rights: Rights,
    api: SocketAddr,
    tls: Option<PathBuf>,
}

/// A running controller. Dropped, it is gone as if it was killed.
pub struct Running {
    controller: Controller,
    /// Who it is to the API server.
    pub user: User,
    /// Who it is to other controllers.
    pub identity: String,
}

impl<'a> Control<'a> {
    pub(crate) fn of(space: &'a Space) -> Self {
        Self {
            space,
            namespaces: vec![space.namespace.clone()],
            class: "default".to_owned(),
            user: None,
            rights: rights::of_chart(),
            api: space.api.address(),
            tls: None,
        }
    }

    /// For all namespaces: then let the class be of this test only, since others have routes too.
    #[must_use]
    pub fn everywhere(mut self, class: &str) -> Self {
        self.namespaces.clear();
        self.class = class.to_owned();
        self
    }

    /// For one more namespace.
    #[must_use]
    pub fn and(mut self, other: &Space) -> Self {
        self.namespaces.push(other.namespace.clone());
        self
    }

    /// For routes of this class.
    #[must_use]
    pub fn class(mut self, class: &str) -> Self {
        self.class = class.to_owned();
        self
    }

    /// With these rights.
    #[must_use]
    pub fn rights(mut self, rights: Rights) -> Self {
        self.rights = rights;
        self
    }

    /// As a user who has rights already.
    #[must_use]
    pub fn user(mut self, user: &User) -> Self {
        self.user = Some(user.clone());
        self
    }

    /// With the API server at the end of a wire.
    #[must_use]
    pub const fn via(mut self, api: SocketAddr) -> Self {
        self.api = api;
        self
    }

    /// With certificates.
    #[must_use]
    pub fn tls(mut self, folder: &Path) -> Self {
        self.tls = Some(folder.to_owned());
        self
    }

    /// Starts it. It is not ready yet.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start(self) -> Running {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let Space { api, namespace, admin } = self.space;
        let user = match self.user {
            Some(user) => user,
            None => {
                let (user, Rights { watching, leading }) = (api.user(), &self.rights);
                for namespace in &self.namespaces {
                    grant(admin, &user, watching, Some(namespace)).await;
                }
                if self.namespaces.is_empty() {
                    grant(admin, &user, watching, None).await;
                }
                grant(admin, &user, leading, Some(namespace)).await;
                user
            }
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let identity = format!("controller-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let run = Run {
            class: self.class,
            namespaces: self.namespaces,
            listen: any,
            tls_dir: self.tls,
            admin: any,
            lease_name: None,
            lease_namespace: Some(namespace.clone()),
            identity: Some(identity.clone()),
            pod_uid: None,
            drain_seconds: 0,
        };
        let controller = Controller::start(&run, api.client(&user, self.api)).await;
        let controller = controller.unwrap_or_else(|error| panic!("{error:#}"));
        Running { controller, user, identity }
    }
}

impl Running {
    /// Where routers connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.controller.address()
    }

    /// Its admin pages.
    #[must_use]
    pub fn pages(&self) -> Pages {
        Pages(self.controller.admin_address())
    }

    /// Whether it writes, as it says itself.
    pub async fn leads(&self) -> bool {
        self.pages().metric("qoe_controller_leader", &[]).await == 1.0
    }

    /// Ends it in good order.
    pub async fn shut_down(self) {
        self.controller.shut_down().await;
    }
}
