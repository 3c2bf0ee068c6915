//! Whatever happens in whatever order, in the end routing is what a fresh list says.

use std::collections::BTreeSet;
use std::net::IpAddr;

use qoe_control_tests::api_server::ApiServer;
use qoe_control_tests::control::Running;
use qoe_control_tests::entry::{Entry, router};
use qoe_control_tests::pods::{running, selecting};
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::comes_to;
use qoe_control_tests::wire::Wire;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::routing::unreachable;

const STEPS: usize = 200;
/// So few that most steps are about one that is there.
const PODS: u8 = 10;
const APPS: [&str; 2] = ["vllm", "other"];

/// Two controllers, each with a wire of its own to the API server, and a router that listens to them by turns.
struct World {
    space: Space,
    random: StdRng,
    there: BTreeSet<u8>,
    wires: [Wire; 2],
    controllers: [Running; 2],
    discovery: Wire,
    router: Entry,
}

impl World {
    async fn new(seed: u64) -> Self {
        // Watches go to etcd itself, so that a history which was compacted is really gone.
        let api = ApiServer::start(&["--watch-cache=false"]).await;
        let space = Space::on(api, "random").await;
        let server = space.api.address();
        let wires = [Wire::to(server).await, Wire::to(server).await];
        let controllers = [
            space.controller().via(wires[0].address).start().await,
            space.controller().via(wires[1].address).start().await,
        ];
        let discovery = Wire::to(controllers[0].address()).await;
        let router = router(discovery.address);
        space.route("main", &selecting()).await;
        let (random, there) = (StdRng::seed_from_u64(seed), BTreeSet::new());
        Self { space, random, there, wires, controllers, discovery, router }
    }

    async fn step(&mut self) {
        let number = self.random.random_range(0..PODS);
        let name = format!("pod-{number}");
        if !self.there.contains(&number) {
            return self.comes(number, &name).await;
        }
        let coin = self.random.random_bool(0.5);
        let (either, app) = (usize::from(coin), APPS[usize::from(coin)]);
        let Self { space, wires, controllers, discovery, .. } = self;
        match self.random.random_range(0..12) {
            0..3 => space.report_ready(&name, coin).await,
            3 => space.label(&name, &json!({"sleeping": coin.then_some("true")})).await,
            4 => space.label(&name, &json!({"app": app})).await,
            5 if coin => space.terminate(&name).await,
            5 | 6 => {
                space.remove(&name).await;
                self.there.remove(&number);
            }
            7 => {
                let selector = json!({"matchLabels": {"app": app}});
                space.change_route("main", &json!({"endpoints": {"selector": selector}})).await;
            }
            8 if coin => {
                space.delete_route("main").await;
                space.route("main", &selecting()).await;
            }
            8 => discovery.lead_to(controllers[self.random.random_range(0..2)].address()),
            9 => wires[either].cut(),
            10 => {
                // The history that it has missed is gone before it asks for it.
                wires[either].refuse();
                space.report_ready(&name, self.random.random_bool(0.5)).await;
                space.api.compact().await;
                wires[either].pass();
            }
            _ if coin => wires[0].hold(),
            _ => wires[0].pass(),
        }
    }

    async fn comes(&mut self, number: u8, name: &str) {
        let mut pod = unreachable(name, number + 1);
        let app = APPS[self.random.random_range(0..APPS.len())];
        pod.manifest["metadata"]["labels"]["app"] = json!(app);
        let ip = IpAddr::from([127, 1, 1, number + 1]);
        pod.status = running(ip, self.random.random_bool(0.7));
        self.space.pod(&pod).await;
        self.there.insert(number);
    }

    /// What is to be in routing by a fresh list, read otherwise than the controller reads it.
    async fn listed(&self) -> String {
        let route = self.space.get_route("main").await;
        let app = &route["spec"]["endpoints"]["selector"]["matchLabels"]["app"];
        let pods = self.space.admin.get(&self.space.path("v1", "pods")).await.expect("a list");
        let serves = |pod: &&Value| {
            let meta = &pod["metadata"];
            meta["labels"]["app"] == *app
                && meta["labels"]["sleeping"] != "true"
                && meta["deletionTimestamp"].is_null()
                && pod["status"]["conditions"][0]["status"] == "True"
        };
        let pods = pods["items"].as_array().into_iter().flatten().filter(serves);
        let names: BTreeSet<_> = pods.filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(",")
    }
}

/// The pods that a controller says are behind the only route.
async fn known(controller: &Running) -> Option<String> {
    let page = controller.pages().json("/config_dump").await;
    let name = |endpoint: &Value| Some(endpoint["name"].as_str()?.rsplit_once('/')?.1.to_owned());
    let names = page["routes"][0]["endpoints"].as_array()?.iter().filter_map(name);
    Some(names.collect::<Vec<_>>().join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn any_sequence_of_changes_comes_to_what_is_listed() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut world = World::new(seed).await;
    for _ in 0..STEPS {
        world.step().await;
    }
    world.wires[0].pass();
    let wanted = Some(world.listed().await);
    for controller in &world.controllers {
        let known = async || known(controller).await;
        comes_to("the controller knows what is listed", wanted.clone(), known).await;
    }
    let served = async || world.router.pods("main").await;
    comes_to("the router serves what is listed", wanted.clone(), served).await;
}
