//! Which pods are endpoints, of which phase, at which address.

use qoe_control_tests::entry::router;
use qoe_control_tests::pods::{pod, running, selecting};
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::comes_to;
use qoe_tests::bodies::with;
use serde_json::{Value, json};

use crate::routing::{serves, unreachable};

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_serve_leaves_and_who_serves_again_returns() {
    let space = Space::new("leaving").await;
    let control = space.controller().start().await;
    let router = router(control.address());
    space.route("main", &selecting()).await;
    for (name, number) in ["a", "b", "c", "d", "e", "f"].into_iter().zip(1..) {
        space.pod(&unreachable(name, number)).await;
    }
    serves(&router, "main", "a,b,c,d,e,f").await;
    space.report_ready("a", false).await;
    serves(&router, "main", "b,c,d,e,f").await;
    space.terminate("b").await;
    serves(&router, "main", "c,d,e,f").await;
    space.label("c", &json!({"sleeping": "true"})).await;
    serves(&router, "main", "d,e,f").await;
    space.remove("d").await;
    serves(&router, "main", "e,f").await;
    space.label("e", &json!({"app": "other"})).await;
    serves(&router, "main", "f").await;
    space.report("f", &json!({"phase": "Failed"})).await;
    serves(&router, "main", "").await;
    space.report_ready("a", true).await;
    space.label("c", &json!({"sleeping": null})).await;
    space.label("e", &json!({"app": "vllm"})).await;
    serves(&router, "main", "a,c,e").await;
    // One of the same name is another one.
    space.pod(&unreachable("d", 7)).await;
    serves(&router, "main", "a,c,d,e").await;
    let endpoints = router.endpoints("main").await.unwrap();
    assert_eq!(endpoints["d"]["authority"], "127.1.1.7:8000");
    // A pod that starts is none yet.
    let mut late = unreachable("late", 8);
    late.status = json!({"phase": "Pending"});
    space.pod(&late).await;
    space.remove("a").await;
    serves(&router, "main", "c,d,e").await;
    space.report("late", &running([127, 1, 1, 8].into(), true)).await;
    serves(&router, "main", "c,d,e,late").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phases_are_read_from_labels_and_groups_from_sets() {
    let space = Space::new("phases").await;
    let control = space.controller().start().await;
    let router = router(control.address());
    let spec = json!({"phase": {"labels": ["example.com/does"], "decodingTags": ["decode", "d"]}});
    let mut route = selecting();
    route["endpoints"]["phase"] = spec["phase"].clone();
    space.route("main", &route).await;
    let lws = |index: &str| {
        json!({
            "leaderworkerset.sigs.k8s.io/worker-index": index,
            "disaggregatedset.x-k8s.io/role": "prefill",
            "disaggregatedset.x-k8s.io/name": "llama",
            "disaggregatedset.x-k8s.io/slice": "1",
            "disaggregatedset.x-k8s.io/revision": "r2",
        })
    };
    let cases = [
        ("llm-d", json!({"llm-d.ai/role": "prefill"}), "prefill label"),
        ("both", json!({"llm-d.ai/role": "prefill-decode"}), "mixed label"),
        ("aibrix", json!({"role-name": "decode"}), "decoding label"),
        // The user's own label comes first.
        ("mine", json!({"example.com/does": "d", "llm-d.ai/role": "prefill"}), "decoding label"),
        ("x-prefill-1", json!({}), "prefill name"),
        ("nothing", json!({}), "mixed unknown"),
        ("leader", lws("0"), "prefill label"),
        ("worker", lws("1"), ""),
    ];
    for ((name, more, _), number) in cases.iter().zip(1..) {
        let mut labels = with(more.clone(), "app", "vllm");
        // A plain one has no role of ours.
        labels.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        space.pod(&pod(name, &labels, ([127, 1, 2, number], 8000).into())).await;
    }
    serves(&router, "main", "aibrix,both,leader,llm-d,mine,nothing,x-prefill-1").await;
    let endpoints = router.endpoints("main").await.unwrap();
    for (name, _, wanted) in cases.iter().filter(|(_, _, wanted)| !wanted.is_empty()) {
        let text = |field: &str| endpoints[*name][field].as_str().unwrap_or("").to_owned();
        assert_eq!(format!("{} {}", text("role"), text("roleSource")), *wanted, "{name}");
    }
    assert_ne!(endpoints["leader"]["group"], Value::Null, "it is paired within its set");
    assert_eq!(endpoints["llm-d"]["group"], Value::Null);
    // Nothing said the phase of one: the route's owner is told, once.
    comes_to("an event", 1, async || {
        let events = space.events("main").await;
        events.iter().filter(|(_, reason, _)| reason == "PhaseUnknown").count()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_found_by_name_or_number() {
    let space = Space::new("ports").await;
    let control = space.controller().start().await;
    let router = router(control.address());
    let at = |name: &str, ports: Value, number: u8| {
        let mut pod = unreachable(name, number);
        pod.manifest["spec"]["containers"][0]["ports"] = ports;
        pod
    };
    let port = |name: &str, number: u16| json!({"name": name, "containerPort": number});
    space.pod(&at("a", json!([port("metrics", 9000), port("http", 8001)]), 1)).await;
    space.pod(&at("b", json!([port("http", 8002)]), 2)).await;
    let udp = json!({"name": "http", "containerPort": 8003, "protocol": "UDP"});
    space.pod(&at("udp", json!([udp]), 3)).await;
    space.pod(&at("none", json!([port("web", 8004)]), 4)).await;
    // A native sidecar may have the port.
    let mut sidecar = at("sidecar", json!([]), 5);
    sidecar.manifest["spec"]["initContainers"] = json!([{
        "name": "proxy", "image": "proxy", "restartPolicy": "Always", "ports": [port("http", 8005)],
    }]);
    space.pod(&sidecar).await;
    space.route("named", &selecting()).await;
    let mut by_number = with(selecting(), "models", json!(["numbered"]));
    by_number["endpoints"]["port"] = json!(7000);
    space.route("numbered", &by_number).await;
    serves(&router, "named", "a,b,sidecar").await;
    let endpoints = router.endpoints("named").await.unwrap();
    let ports = ["a", "b", "sidecar"].map(|name| endpoints[name]["authority"].clone());
    assert_eq!(ports, ["127.1.1.1:8001", "127.1.1.2:8002", "127.1.1.5:8005"]);
    serves(&router, "numbered", "a,b,none,sidecar,udp").await;
    let endpoints = router.endpoints("numbered").await.unwrap();
    assert_eq!(endpoints["none"]["authority"], "127.1.1.4:7000");
    comes_to("the route is told of the others", "PortNotFound".to_owned(), async || {
        let conditions = space.conditions("named").await;
        conditions.get(1).and_then(|told| told.split(' ').nth(1)).unwrap_or("").to_owned()
    })
    .await;
    let message = "Pods without a TCP port named as in endpoints.port: none, udp: name the container's port, or \
                   use its number.";
    assert_eq!(space.message("named", "ResolvedRefs").await, message);
}

/// Whatever a pod says of itself, it changes nothing but whether it is there.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_pods_reach_nothing() {
    let space = Space::new("hostile").await;
    let control = space.controller().start().await;
    let router = router(control.address());
    space.pod(&unreachable("good", 1)).await;
    space.route("main", &selecting()).await;
    serves(&router, "main", "good").await;
    let before = router.endpoints("main").await.unwrap()["good"].clone();

    // Says that it is elsewhere, in every way that somebody reads, and splits lines.
    let mut liar = unreachable("liar", 2);
    liar.manifest["metadata"]["annotations"] = json!({
        "qoe-router.io/kv-connector": "NixlPull\r\nx-prefiller-host-port: 10.9.9.9:80",
        "qoe-router.io/address": "10.9.9.9:80",
        "qoe-router.io/port": "0",
        "x-gateway-destination-endpoint": "10.9.9.9:80",
        "prometheus.io/port": "70000",
        "note": "HTTP/1.1 200 OK\r\nhost: evil.example\r\n\r\n".repeat(5000),
    });
    liar.manifest["metadata"]["labels"]["model.aibrix.ai/port"] = json!("0");
    liar.manifest["metadata"]["labels"]["model.aibrix.ai/name"] = json!("evil.example");
    liar.manifest["metadata"]["labels"]["llm-d.ai/role"] = json!("evil.example");
    liar.manifest["spec"]["hostname"] = json!("evil");
    liar.manifest["spec"]["containers"][0]["args"] = json!([
        r#"--kv-transfer-config={"kv_connector":"Evil\r\nConnector","kv_ip":"10.9.9.9"}"#,
        "x".repeat(200_000)
    ]);
    space.pod(&liar).await;
    // Addresses of no single host.
    for (name, ip) in [("any", "0.0.0.0"), ("group", "224.0.0.1"), ("all", "255.255.255.255")] {
        let mut pod = unreachable(name, 3);
        pod.status = running(ip.parse().unwrap(), true);
        space.pod(&pod).await;
    }
    // An address that is another's already: the second by name is left out.
    space.pod(&unreachable("usurper", 1)).await;
    // More labels than are kept.
    let mut huge = unreachable("huge", 5);
    for i in 0..300 {
        huge.manifest["metadata"]["labels"][format!("label-{i}")] = json!("x".repeat(63));
    }
    space.pod(&huge).await;
    // What no API server lets in: by etcd.
    let smuggled = async |name: &str, port: i64, ip: &str| {
        let mut pod = unreachable(name, 7).manifest;
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["namespace"] = json!(space.namespace);
        pod["metadata"]["annotations"] = json!({"note": "evil\r\n".repeat(100_000)});
        pod["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(port);
        pod["status"] = running([127, 1, 1, 7].into(), true);
        pod["status"]["podIPs"] = json!([{"ip": ip}]);
        pod["status"]["podIP"] = json!(ip);
        space.api.smuggle("pods", &pod).await;
    };
    smuggled("smuggled-0", 0, "127.1.1.7").await;
    smuggled("smuggled-1", 70_000, "127.1.1.8").await;
    smuggled("smuggled-2", -1, "127.1.1.9").await;
    smuggled("smuggled-3", 8000, "evil.example\r\nhost: x").await;
    // What comes last shows that all that came before was seen.
    space.pod(&unreachable("last", 6)).await;
    serves(&router, "main", "good,last,liar").await;
    let endpoints = router.endpoints("main").await.unwrap();
    assert_eq!(endpoints["good"], before);
    let liar = &endpoints["liar"];
    assert_eq!(
        (&liar["authority"], &liar["role"], &liar["connector"]),
        (&json!("127.1.1.2:8000"), &json!("mixed"), &json!("none"))
    );
    let page = router.pages().text("/config_dump").await.1;
    assert!(!page.contains("evil") && !page.contains("10.9.9.9"), "{page}");
    let (_, page) = control.pages().text("/config_dump").await;
    assert!(!page.contains("evil") && !page.contains("10.9.9.9"), "{page}");
    let wanted = "Pods without a TCP port named as in endpoints.port: smuggled-0, smuggled-1, smuggled-2: name \
                  the container's port, or use its number.";
    let message = async || space.message("main", "ResolvedRefs").await;
    comes_to("those without a port are named", wanted.to_owned(), message).await;
    for name in ["smuggled-0", "smuggled-1", "smuggled-2"] {
        space.remove(name).await;
    }
    let wanted = "Pods without an IP address of their own: all, any, group and 2 more.";
    comes_to("and then those without an address", wanted.to_owned(), message).await;
}
