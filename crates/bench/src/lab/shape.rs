//! Clusters: which endpoints there are, how fast, and what befalls them.

use std::time::Duration;

use qoe_core::phase::Role;
use qoe_sim::Profile;

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is for.
    pub role: Role,
    /// How fast it is.
    pub profile: Profile,
    /// When it dies, if it does, and when it is back.
    pub dies: Option<(Duration, Duration)>,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Its endpoints.
    pub nodes: Vec<Node>,
    /// What KV caches move over, of each endpoint.
    pub gigabits_per_second: f64,
    /// Routers before it; each request goes to one of them.
    pub routers: usize,
    /// How often routers look at what endpoints publish.
    pub scrape_every: Duration,
    /// One way between router and endpoint.
    pub network: Duration,
}

impl Shape {
    fn of(roles: impl IntoIterator<Item = Role>, profile: &Profile) -> Self {
        let node = |role| Node { role, profile: profile.clone(), dies: None };
        Self {
            nodes: roles.into_iter().map(node).collect(),
            gigabits_per_second: 200.0,
            routers: 1,
            scrape_every: Duration::from_secs(1),
            network: Duration::from_micros(300),
        }
    }

    /// So many endpoints that do both phases.
    #[must_use]
    pub fn mixed(count: usize, profile: &Profile) -> Self {
        Self::of(std::iter::repeat_n(Role::Mixed, count), profile)
    }

    /// So many endpoints for each phase.
    #[must_use]
    pub fn split(prefill: usize, decoding: usize, profile: &Profile) -> Self {
        let prefill = std::iter::repeat_n(Role::Prefill, prefill);
        Self::of(prefill.chain(std::iter::repeat_n(Role::Decoding, decoding)), profile)
    }

    /// The same machines, all for both phases.
    #[must_use]
    pub fn merged(&self) -> Self {
        let mut merged = self.clone();
        merged.nodes.iter_mut().for_each(|node| node.role = Role::Mixed);
        merged
    }

    /// The same with one endpoint's steps taking so many times as long.
    #[must_use]
    pub fn with_slow(mut self, node: usize, times: f64) -> Self {
        self.nodes[node].profile = slowed(&self.nodes[node].profile, times);
        self
    }

    /// The same with an endpoint that dies, and is back after a while.
    #[must_use]
    pub fn with_death(mut self, node: usize, at: Duration, back: Duration) -> Self {
        self.nodes[node].dies = Some((at, back));
        self
    }

    /// The same behind so many routers.
    #[must_use]
    pub fn behind(mut self, routers: usize) -> Self {
        self.routers = routers;
        self
    }

    /// The cluster in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let count = |role| self.nodes.iter().filter(|node| node.role == role).count();
        let roles =
            [(Role::Prefill, "prefill"), (Role::Decoding, "decoding"), (Role::Mixed, "mixed")]
                .into_iter()
                .filter(|(role, _)| count(*role) > 0)
                .map(|(role, name)| format!("{} {name}", count(role)));
        let roles = roles.collect::<Vec<_>>().join(" + ");
        let profile = self.nodes.first().map_or("", |node| node.profile.name);
        format!(
            "{roles} endpoints ({profile}), KV over {:.0} Gb/s, {} router{}, scraped each {:.1} s",
            self.gigabits_per_second,
            self.routers,
            if self.routers == 1 { "" } else { "s" },
            self.scrape_every.as_secs_f64()
        )
    }
}

fn slowed(profile: &Profile, times: f64) -> Profile {
    let mut slow = profile.clone();
    for cost in [
        &mut slow.fixed,
        &mut slow.weights,
        &mut slow.linear,
        &mut slow.attention,
        &mut slow.kv_read,
        &mut slow.stream,
    ] {
        *cost *= times;
    }
    slow
}
