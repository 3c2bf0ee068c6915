//! The endpoints of one route. Plans name them by their index here.

use std::ops::Deref;

use foldhash::HashMap;
use rand::{Rng, RngExt};

use crate::endpoint::Endpoint;
use crate::endpoint::tag::EndpointTag;
use crate::phase::Role;

/// The endpoints of a route, found by index, by role or by tag.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    endpoints: Vec<Endpoint>,
    by_role: [Vec<usize>; 3],
    by_tag: HashMap<EndpointTag, usize>,
}

impl From<Vec<Endpoint>> for Pool {
    fn from(endpoints: Vec<Endpoint>) -> Self {
        let mut by_role: [Vec<usize>; 3] = Default::default();
        for (i, endpoint) in endpoints.iter().enumerate() {
            by_role[endpoint.role as usize].push(i);
        }
        let by_tag = endpoints.iter().enumerate().map(|(i, e)| (e.state.tag, i)).collect();
        Self { endpoints, by_role, by_tag }
    }
}

impl FromIterator<Endpoint> for Pool {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        endpoints.into_iter().collect::<Vec<_>>().into()
    }
}

impl Deref for Pool {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

impl Pool {
    /// The indices of all endpoints of one role.
    #[must_use]
    pub fn of_role(&self, role: Role) -> &[usize] {
        &self.by_role[role as usize]
    }

    /// The index of the endpoint with this tag.
    #[must_use]
    pub fn of_tag(&self, tag: EndpointTag) -> Option<usize> {
        self.by_tag.get(&tag).copied()
    }

    /// Whether none of them has a request of this router in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.iter().all(|endpoint| endpoint.state.ledger.in_flight_all() == 0)
    }

    /// At most `most` different endpoints of a role, drawn at random: all have the same chance.
    pub fn sample<R: Rng>(
        &self,
        role: Role,
        most: usize,
        rng: &mut R,
    ) -> impl Iterator<Item = usize> + use<'_, R> {
        let all = self.of_role(role);
        let (start, stride) = match all.len() {
            few if few <= most => (0, 1),
            many => (rng.random_range(0..many), stride(many, rng)),
        };
        let mut next = start;
        (0..most.min(all.len())).map(move |_| {
            let at = next;
            next += stride;
            if next >= all.len() {
                next -= all.len();
            }
            all[at]
        })
    }
}

/// A random step that visits all of `many` places before it comes back: it shares no factor with `many`.
fn stride(many: usize, rng: &mut impl Rng) -> usize {
    let mut stride = rng.random_range(1..many);
    while gcd(stride, many) != 1 {
        stride = stride % (many - 1) + 1;
    }
    stride
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::endpoint::tests::endpoint;
    use crate::memory::prefix::PrefixIndex;

    #[test]
    fn endpoints_whose_names_hash_alike_share_no_prefixes() {
        // Folded to 32 bits, the FNV-1a hashes of these two names and their address are equal.
        let names = ["vllm-27372", "vllm-106082"];
        let pool: Pool = names.into_iter().map(|name| endpoint(name, Role::Mixed)).collect();
        let [one, other] = [0, 1].map(|i: usize| pool[i].state.tag);
        assert_eq!((pool.of_tag(one), pool.of_tag(other)), (Some(0), Some(1)));
        let mut index = PrefixIndex::default();
        index.insert(one, &[7 << 40, 8 << 40]);
        assert_eq!(index.held(&[7 << 40, 8 << 40], [one, other]).depths[..], [2, 0]);
    }

    #[test]
    fn some_are_different_ones_and_all_get_their_turn() {
        let mut rng = SmallRng::seed_from_u64(3);
        let pool: Pool = (0..90).map(|i| endpoint(&format!("e{i}"), Role::Decoding)).collect();
        let mut seen = HashSet::new();
        for _ in 0..60 {
            let drawn: Vec<_> = pool.sample(Role::Decoding, 24, &mut rng).collect();
            assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), 24);
            seen.extend(drawn);
        }
        assert_eq!(seen.len(), 90);
        assert_eq!(pool.sample(Role::Prefill, 24, &mut rng).count(), 0);
        let tag = pool[17].state.tag;
        assert_eq!(pool.of_tag(tag), Some(17));
    }
}
