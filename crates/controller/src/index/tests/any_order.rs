//! However pods and routes came to be as they are, the index publishes the same.

use proptest::prelude::*;

use super::*;
use crate::route::key_of;

#[derive(Clone, Debug)]
enum Operation {
    Pod { namespace: bool, name: u8, value: PodFacts },
    PodGone { namespace: bool, name: u8 },
    Route(Value),
    RouteGone { namespace: bool, name: u8 },
    Publish,
}

fn namespace(first: bool) -> &'static str {
    if first { "llm" } else { "other" }
}

fn operation() -> impl Strategy<Value = Operation> {
    let pod = (any::<bool>(), 0..4_u8, 0..3_u8, any::<bool>(), 1..4_u8).prop_map(
        |(in_first, name, label, is_ready, ip)| {
            let app = ["vllm", "web", "none"][usize::from(label)];
            let labels = json!({"app": app});
            let mut pod = ready(&format!("p{name}"), &format!("10.0.0.{ip}"), labels);
            pod["status"]["conditions"][0]["status"] =
                json!(if is_ready { "True" } else { "False" });
            Operation::Pod { namespace: in_first, name, value: facts(pod) }
        },
    );
    let models = prop::sample::subsequence(vec!["m", "n", "o"], 0..3);
    let route = (any::<bool>(), 0..3_u8, models, any::<bool>(), 1..4_u32, any::<bool>()).prop_map(
        |(in_first, name, models, web, day, ours)| {
            let mut route = created(manifest(&format!("r{name}"), &models), day);
            route["metadata"]["namespace"] = json!(namespace(in_first));
            // An object that is created anew is another one.
            route["metadata"]["uid"] = json!(format!("{in_first}-{name}-{day}"));
            if web {
                route["spec"]["endpoints"]["selector"]["matchLabels"]["app"] = json!("web");
            }
            route["spec"]["routerClassName"] = json!(if ours { "default" } else { "blue" });
            Operation::Route(route)
        },
    );
    let who = (any::<bool>(), 0..4_u8);
    prop_oneof![
        4 => pod,
        2 => who.clone().prop_map(|(namespace, name)| Operation::PodGone { namespace, name }),
        4 => route,
        1 => who.prop_map(|(namespace, name)| Operation::RouteGone { namespace, name }),
        2 => Just(Operation::Publish),
    ]
}

/// What is published, without the nonces, which tell how it came to be.
fn published(index: &mut Index) -> (BTreeMap<String, Option<Vec<u8>>>, Vec<String>) {
    let (world, view) = index.publish(ms(0));
    let body = |state: &RouteState| state.body.as_ref().map(|body| body.to_vec());
    let bodies = world.routes.iter().map(|(name, state)| (name.to_string(), body(state)));
    let outcomes = view.routes.iter().map(|(key, (_, outcome))| {
        let RouteOutcome { acceptance, translation, .. } = &**outcome;
        format!("{key}: {acceptance:?} {translation:?}")
    });
    (bodies.collect(), outcomes.collect())
}

proptest! {
    #[test]
    fn whatever_happened_before_only_what_is_there_now_counts(
        operations in prop::collection::vec(operation(), 0..60),
    ) {
        let mut index = Index::new("default");
        let (mut pods, mut routes) = (BTreeMap::new(), BTreeMap::new());
        for operation in operations {
            match operation {
                Operation::Pod { namespace: ns, name, value } => {
                    index.pod(namespace(ns), value.clone());
                    pods.insert((ns, name), value);
                }
                Operation::PodGone { namespace: ns, name } => {
                    index.pod_gone(namespace(ns), &format!("p{name}"));
                    pods.remove(&(ns, name));
                }
                Operation::Route(manifest) => {
                    let route = raw(manifest.clone());
                    routes.insert(key_of(&route).unwrap(), manifest);
                    index.route(route);
                }
                Operation::RouteGone { namespace: ns, name } => {
                    let key = RouteKey {
                        namespace: namespace(ns).into(),
                        name: format!("r{name}").into(),
                    };
                    index.route_gone(&key);
                    routes.remove(&key);
                }
                Operation::Publish => drop(index.publish(ms(0))),
            }
        }
        let mut fresh = Index::new("default");
        for manifest in routes.into_values() {
            fresh.route(raw(manifest));
        }
        for ((ns, _), pod) in pods {
            fresh.pod(namespace(ns), pod);
        }
        prop_assert_eq!(published(&mut index), published(&mut fresh));
    }
}
