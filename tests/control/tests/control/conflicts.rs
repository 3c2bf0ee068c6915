//! Two routes want one model.

use qoe_control_tests::entry::router;
use qoe_control_tests::pods::selecting;
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::comes_to;
use qoe_tests::bodies::with;
use serde_json::{Value, json};

use crate::routing::{serves, unreachable};

/// Creates a route in a later second than `than`: the API server's times are that coarse.
async fn later(space: &Space, than: &Value, name: &str, spec: &Value) {
    loop {
        let made = space.route(name, spec).await;
        if made["metadata"]["creationTimestamp"] != than["metadata"]["creationTimestamp"] {
            return;
        }
        space.delete_route(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_route_has_the_model_and_the_other_says_so() {
    let space = Space::new("conflict").await;
    let control = space.controller().start().await;
    let router = router(control.address());
    space.pod(&unreachable("a", 1)).await;
    let wants = |models: &[&str]| with(selecting(), "models", json!(models));
    // By its name it would come last.
    let older = space.route("z-older", &wants(&["m"])).await;
    later(&space, &older, "a-all", &wants(&["m"])).await;
    space.route("b-some", &wants(&["m", "own"])).await;
    let accepted = async |name| space.conditions(name).await.into_iter().next().unwrap_or_default();
    comes_to("all is lost", "Accepted=False ModelConflict".to_owned(), async || {
        accepted("a-all").await
    })
    .await;
    comes_to("some is lost", "Accepted=True PartlyAccepted".to_owned(), async || {
        accepted("b-some").await
    })
    .await;
    comes_to("nothing is lost", "Accepted=True Accepted".to_owned(), async || {
        accepted("z-older").await
    })
    .await;
    let namespace = &space.namespace;
    assert_eq!(
        space.message("a-all", "Accepted").await,
        format!(
            "Older routes have all of the models: `m` belongs to {namespace}/z-older: name each model in one route only."
        )
    );
    assert_eq!(
        space.message("b-some", "Accepted").await,
        format!(
            "Older routes have some of the models: `m` belongs to {namespace}/z-older: name each model in one route only."
        )
    );
    serves(&router, "b-some", "a").await;
    assert_eq!(router.pods("a-all").await, None, "it has nothing to serve");
    assert_eq!(router.route("b-some").await.unwrap()["spec"]["models"], json!(["own"]));
    // The winner goes: the next in age has it.
    space.delete_route("z-older").await;
    comes_to("the next one has it", "Accepted=True Accepted".to_owned(), async || {
        accepted("a-all").await
    })
    .await;
    serves(&router, "a-all", "a").await;
    comes_to("no router has the old one", None, async || router.pods("z-older").await).await;
    assert_eq!(
        space.message("b-some", "Accepted").await,
        format!(
            "Older routes have some of the models: `m` belongs to {namespace}/a-all: name each model in one route only."
        )
    );
    let lost = ("Warning".to_owned(), "ModelConflict".to_owned());
    comes_to("an event says so", true, async || {
        let events = space.events("a-all").await;
        events.into_iter().any(|(kind, reason, _)| (kind, reason) == lost)
    })
    .await;
}
