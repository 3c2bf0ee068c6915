//! Clusters: their endpoints, with speeds and failures.

use std::time::Duration;

use qoe_core::phase::Role;
use qoe_sim::Profile;

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The role.
    pub role: Role,
    /// The speed and size.
    pub profile: Profile,
    /// When it dies and when it is back, if it does.
    pub dies: Option<(Duration, Duration)>,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The endpoints.
    pub nodes: Vec<Node>,
    /// The bandwidth of each endpoint's link for KV transfers.
    pub gigabits_per_second: f64,
    /// The number of routers. Each request goes to one of them.
    pub routers: usize,
    /// The interval at which routers scrape endpoints.
    pub scrape_every: Duration,
    /// The one-way network delay between router and endpoint.
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

    /// A cluster of this many endpoints that serve both phases.
    #[must_use]
    pub fn mixed(count: usize, profile: &Profile) -> Self {
        Self::of(std::iter::repeat_n(Role::Mixed, count), profile)
    }

    /// A cluster of this many endpoints for each phase.
    #[must_use]
    pub fn split(prefill: usize, decoding: usize, profile: &Profile) -> Self {
        let prefill = std::iter::repeat_n(Role::Prefill, prefill);
        Self::of(prefill.chain(std::iter::repeat_n(Role::Decoding, decoding)), profile)
    }

    /// Returns the same machines, all serving both phases.
    #[must_use]
    pub fn merged(&self) -> Self {
        let mut merged = self.clone();
        merged.nodes.iter_mut().for_each(|node| node.role = Role::Mixed);
        merged
    }

    /// Returns the cluster with the steps of one endpoint slowed down by a factor.
    #[must_use]
    pub fn with_slow(mut self, node: usize, times: f64) -> Self {
        self.nodes[node].profile = slowed(&self.nodes[node].profile, times);
        self
    }

    /// Returns the cluster with an endpoint that dies and comes back.
    #[must_use]
    pub fn with_death(mut self, node: usize, at: Duration, back: Duration) -> Self {
        self.nodes[node].dies = Some((at, back));
        self
    }

    /// Returns the cluster behind this many routers.
    #[must_use]
    pub fn behind(mut self, routers: usize) -> Self {
        self.routers = routers;
        self
    }

    /// A description of the cluster for reports.
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
