//! The controller's rights, as the chart grants them, and bindings of them to the tests' users.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::api_server::User;
use crate::kubernetes::Kubernetes;
use crate::programs::{helm, root};
use crate::wait::until;

/// What the controller may do.
#[derive(Clone, Debug)]
pub struct Rights {
    /// In every namespace that it watches.
    pub watching: Vec<Value>,
    /// In its own namespace.
    pub leading: Vec<Value>,
}

/// The rights that the chart grants: by helm, where that is at hand, else by the manifests that it once rendered.
///
/// # Panics
/// The chart cannot be rendered, or grants something else than a `ClusterRole` and a `Role`.
#[must_use]
pub fn of_chart() -> Rights {
    static RIGHTS: OnceLock<Rights> = OnceLock::new();
    RIGHTS
        .get_or_init(|| {
            read(&helm().map_or_else(rendered_once, |helm| {
                let template =
                    ["template", "test", "--show-only", "templates/controller-rbac.yaml"];
                let chart = root().join("charts/qoe-router");
                let output =
                    Command::new(helm).args(template).arg(chart).output().expect("helm runs");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8_lossy(&output.stdout).into_owned()
            }))
        })
        .clone()
}

fn rendered_once() -> String {
    let file = root().join("deploy/kustomize/base/controller-rbac.yaml");
    std::fs::read_to_string(file).expect("the rendered manifests")
}

fn read(manifests: &str) -> Rights {
    let manifests: Vec<Value> = serde_saphyr::from_multiple(manifests).expect("manifests");
    let rules = |kind: &str| {
        let found = manifests.iter().find(|manifest| manifest["kind"] == kind);
        let found = found.unwrap_or_else(|| panic!("the chart has no {kind} for the controller"));
        found["rules"].as_array().expect("rules").clone()
    };
    Rights { watching: rules("ClusterRole"), leading: rules("Role") }
}

impl Rights {
    /// All of it, as verbs on resources: `list`, `qoe-router.io/qoeroutes`.
    #[must_use]
    pub fn kinds(&self) -> Vec<(String, String)> {
        let mut kinds: Vec<_> = self.watching.iter().chain(&self.leading).flat_map(kinds).collect();
        kinds.sort();
        kinds
    }

    /// The same without the right to `resource`.
    #[must_use]
    pub fn without(&self, resource: &str) -> Self {
        let left = |rules: &[Value]| {
            let others = rules.iter().filter(|rule| rule["resources"] != json!([resource]));
            others.cloned().collect::<Vec<_>>()
        };
        Self { watching: left(&self.watching), leading: left(&self.leading) }
    }
}

fn kinds(rule: &Value) -> Vec<(String, String)> {
    let list = |name: &str| {
        let list = rule[name].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut kinds = Vec::new();
    for group in list("apiGroups") {
        for resource in list("resources") {
            let resource = if group.is_empty() { resource } else { format!("{group}/{resource}") };
            kinds.extend(list("verbs").into_iter().map(|verb| (verb, resource.clone())));
        }
    }
    kinds
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// Lets a user do what `rules` say in a namespace; `None` is all of them.
///
/// # Panics
/// The API server does not let us.
pub async fn grant(admin: &Kubernetes, user: &User, rules: &[Value], namespace: Option<&str>) {
    let scope = if namespace.is_some() { "" } else { "Cluster" };
    let at = namespace.map_or_else(|| RBAC.to_owned(), |name| format!("{RBAC}/namespaces/{name}"));
    let plural = |kind: &str| format!("{at}/{}{kind}s", scope.to_lowercase());
    let metadata = json!({"generateName": format!("{}-", user.name)});
    let role = json!({"metadata": metadata, "rules": rules});
    let role = admin.create(&plural("role"), &role).await.expect("a role");
    let binding = json!({
        "metadata": metadata,
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": format!("{scope}Role"),
            "name": role["metadata"]["name"],
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name}],
    });
    admin.create(&plural("rolebinding"), &binding).await.expect("a binding");
    // The authorizer learns of it by a watch of its own.
    for (verb, resource) in rules.iter().flat_map(kinds) {
        let may = async || may(admin, user, &verb, &resource, namespace).await;
        until("the rights are in force", may).await;
    }
}

/// Takes back everything that users were granted in a namespace, and waits until `user` may not do what `rules` say.
///
/// # Panics
/// The API server does not let us.
pub async fn revoke(admin: &Kubernetes, user: &User, rules: &[Value], namespace: &str) {
    let bindings = format!("{RBAC}/namespaces/{namespace}/rolebindings");
    admin.delete(&bindings, None).await.expect("no bindings");
    for (verb, resource) in rules.iter().flat_map(kinds) {
        let denied = async || !may(admin, user, &verb, &resource, Some(namespace)).await;
        until("the rights are gone", denied).await;
    }
}

async fn may(
    admin: &Kubernetes,
    user: &User,
    verb: &str,
    resource: &str,
    namespace: Option<&str>,
) -> bool {
    let (group, plural, subresource) = match resource.split('/').collect::<Vec<_>>()[..] {
        [plural] => ("", plural, ""),
        [group, plural] => (group, plural, ""),
        [group, plural, subresource] => (group, plural, subresource),
        _ => panic!("not a resource: {resource}"),
    };
    let review = json!({"spec": {
        "user": user.name,
        "resourceAttributes": {
            "verb": verb, "group": group, "resource": plural, "subresource": subresource,
            "namespace": namespace,
        },
    }});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let review = admin.create(path, &review).await.expect("a review");
    review["status"]["allowed"] == true
}
