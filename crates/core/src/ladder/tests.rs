use super::*;
use crate::endpoint::health::KV_DISTRUST;
use crate::endpoint::tests::endpoint;
use crate::ladder::blame::KvEvidence;
use crate::ladder::setback::LegFailure::{self, ErrorEvent, NoAnswer, Status};
use crate::ladder::setback::Setback::{Answer, NoConnector, NoKvParams, Prefill};

const NOW: Duration = Duration::from_secs(100);
const LOCAL: Plan = Plan::Local { endpoint: 2 };
const HANDOFF: Plan = Plan::Handoff { prefill: 0, decoding: 2 };

/// Two prefill endpoints, 0 and 1, and two decoding endpoints, 2 and 3.
struct Scene {
    pool: Pool,
    budget: Budget,
}

impl Scene {
    fn new() -> Self {
        let roles = [Role::Prefill, Role::Prefill, Role::Decoding, Role::Decoding];
        let endpoint = |(i, role): (usize, Role)| endpoint(&format!("e{i}"), role);
        let pool = roles.into_iter().enumerate().map(endpoint).collect();
        Self { pool, budget: Budget::default() }
    }

    fn without_budget() -> Self {
        let scene = Self::new();
        while scene.budget.spend(NOW) {}
        scene
    }

    fn facts(&self) -> RouteFacts<'_> {
        RouteFacts { pool: &self.pool, budget: &self.budget, now: NOW }
    }

    /// How many attempts the budget still pays for.
    fn left(&self) -> usize {
        std::iter::from_fn(|| self.budget.spend(NOW).then_some(())).count()
    }

    fn eject(&self, endpoint: usize) {
        for _ in 0..3 {
            self.pool[endpoint].state.health.failed(NOW);
        }
        assert!(self.pool[endpoint].state.health.ejected(NOW));
    }

    fn next(&self, ladder: &mut Ladder, plan: Plan, setback: Setback) -> NextStep {
        ladder.next(plan, setback, &self.facts()).0
    }
}

/// What a planner is asked to leave out, and why it may not hand over.
fn left_out(ladder: &mut Ladder) -> (Vec<usize>, Vec<usize>, Option<Reason>) {
    let mut seen = None;
    let planned = ladder.choose(|tried, whole| {
        seen = Some((tried.endpoints.clone(), tried.prefill.clone(), whole));
        None
    });
    assert_eq!(planned, None, "what the planner says is what is chosen");
    seen.expect("the planner is asked")
}

/// Setbacks of a plan, with: the step with and without budget, whether it is spent, and what the next plan leaves out.
type Row =
    (Plan, Setback, [NextStep; 2], bool, (&'static [usize], &'static [usize], Option<Reason>));

#[test]
fn every_setback_has_one_next_step() {
    use NextStep::{GiveUp, PlanAgain};
    const RETRY: [NextStep; 2] = [PlanAgain, GiveUp];
    const FREE: [NextStep; 2] = [PlanAgain, PlanAgain];
    const FINAL: [NextStep; 2] = [GiveUp, GiveUp];
    let failed = Some(Reason::HandoffFailed);
    let rows: Vec<Row> = vec![
        (LOCAL, Answer(NoAnswer), RETRY, true, (&[2], &[], None)),
        (LOCAL, Answer(ErrorEvent), RETRY, true, (&[2], &[], None)),
        (LOCAL, Answer(Status(500)), RETRY, true, (&[2], &[], None)),
        (LOCAL, Answer(Status(503)), RETRY, true, (&[2], &[], None)),
        (LOCAL, Answer(Status(429)), RETRY, true, (&[2], &[], None)),
        (LOCAL, Answer(Status(400)), FINAL, false, (&[], &[], None)),
        (LOCAL, Answer(Status(404)), FINAL, false, (&[], &[], None)),
        (HANDOFF, Answer(NoAnswer), RETRY, true, (&[2], &[], failed)),
        (HANDOFF, Answer(ErrorEvent), RETRY, true, (&[2], &[], failed)),
        (HANDOFF, Answer(Status(502)), RETRY, true, (&[2], &[], failed)),
        (HANDOFF, Answer(Status(429)), RETRY, true, (&[2], &[], failed)),
        (HANDOFF, Answer(Status(422)), FINAL, false, (&[], &[], None)),
        (HANDOFF, Prefill(Status(413)), FINAL, false, (&[], &[], None)),
        (HANDOFF, NoConnector, FREE, false, (&[], &[], Some(Reason::NoPair))),
        (HANDOFF, NoKvParams, FREE, false, (&[], &[], Some(Reason::KvParamsMissing))),
    ];
    for (plan, setback, steps, spends, expected) in rows {
        for (scene, step) in [Scene::new(), Scene::without_budget()].into_iter().zip(steps) {
            let (before, mut ladder) = (Scene::new().left(), Ladder::default());
            let row = format!("{setback:?} of {plan:?}");
            let rich = scene.budget.spend(NOW);
            assert_eq!(scene.next(&mut ladder, plan, setback), step, "{row}");
            if rich {
                assert_eq!(scene.left() + 1 + usize::from(spends), before, "{row}: the budget");
            }
            let (endpoints, prefill, whole) = left_out(&mut ladder);
            assert_eq!((&*endpoints, &*prefill, whole), expected, "{row}");
        }
    }
}

#[test]
fn a_prefill_failure_is_tried_elsewhere_if_it_may_be_and_else_served_whole() {
    for failure in [NoAnswer, Status(500), Status(503), Status(429), Status(302)] {
        let whole = Some(Reason::PrefillFailed);
        let (scene, mut ladder) = (Scene::new(), Ladder::default());
        assert_eq!(scene.next(&mut ladder, HANDOFF, Prefill(failure)), NextStep::PlanAgain);
        assert_eq!(left_out(&mut ladder), (vec![], vec![0], None), "{failure:?}");
        let second = Plan::Handoff { prefill: 1, decoding: 2 };
        assert_eq!(scene.next(&mut ladder, second, Prefill(failure)), NextStep::PlanAgain);
        assert_eq!(left_out(&mut ladder), (vec![], vec![0, 1], whole), "both were tried");
        assert_eq!(scene.left() + 1, Scene::new().left(), "serving it whole is no extra attempt");

        let (poor, mut ladder) = (Scene::without_budget(), Ladder::default());
        assert_eq!(poor.next(&mut ladder, HANDOFF, Prefill(failure)), NextStep::PlanAgain);
        assert_eq!(left_out(&mut ladder), (vec![], vec![0], whole), "no budget");

        let (sick, mut ladder) = (Scene::new(), Ladder::default());
        sick.eject(1);
        assert_eq!(sick.next(&mut ladder, HANDOFF, Prefill(failure)), NextStep::PlanAgain);
        assert_eq!(left_out(&mut ladder), (vec![], vec![0], whole), "the other is ejected");
    }
}

#[test]
fn a_request_falls_from_a_handoff_to_whole_to_another_endpoint_to_nothing() {
    let (scene, mut ladder) = (Scene::new(), Ladder::default());
    assert_eq!(scene.next(&mut ladder, HANDOFF, NoKvParams), NextStep::PlanAgain);
    let steps = [2, 3, 0]
        .map(|endpoint| scene.next(&mut ladder, Plan::Local { endpoint }, Answer(NoAnswer)));
    assert_eq!(steps, [NextStep::PlanAgain; 3]);
    let expected = (vec![2, 3, 0], vec![], Some(Reason::KvParamsMissing));
    assert_eq!(left_out(&mut ladder), expected);
}

#[test]
fn pinned_endpoints_are_tried_in_turn_and_404_sends_on() {
    let choose = |ladder: &mut Ladder| {
        ladder.choose(|_, _| panic!("it is not planned")).map(|choice| {
            assert_eq!((choice.reason, choice.forecast), (Reason::StoredResponse, None));
            choice.plan
        })
    };
    let rows: [(LegFailure, [NextStep; 2]); 7] = [
        (Status(404), [NextStep::PlanAgain, NextStep::GiveUp]),
        (Status(429), [NextStep::PlanAgain, NextStep::GiveUp]),
        (Status(503), [NextStep::PlanAgain, NextStep::GiveUp]),
        (Status(500), [NextStep::PlanAgain, NextStep::GiveUp]),
        (NoAnswer, [NextStep::PlanAgain, NextStep::GiveUp]),
        (Status(400), [NextStep::GiveUp, NextStep::GiveUp]),
        (Status(410), [NextStep::GiveUp, NextStep::GiveUp]),
    ];
    for (failure, steps) in rows {
        for (scene, step) in [Scene::new(), Scene::without_budget()].into_iter().zip(steps) {
            let mut ladder = Ladder::pinned(vec![3, 1]);
            let first = choose(&mut ladder).expect("the first");
            assert_eq!(first, Plan::Local { endpoint: 3 });
            assert_eq!(choose(&mut ladder), Some(first), "it has not failed yet");
            assert_eq!(scene.next(&mut ladder, first, Answer(failure)), step, "{failure:?}");
            if step == NextStep::PlanAgain {
                assert_eq!(scene.left() + 1, Scene::new().left(), "it is an extra attempt");
                assert_eq!(choose(&mut ladder), Some(Plan::Local { endpoint: 1 }));
            }
        }
    }
    let (scene, mut ladder) = (Scene::new(), Ladder::pinned(vec![3]));
    let only = choose(&mut ladder).expect("the only one");
    assert_eq!(scene.next(&mut ladder, only, Answer(Status(404))), NextStep::GiveUp);
    assert_eq!(scene.left(), Scene::new().left(), "there is nothing to spend it on");
    assert_eq!(choose(&mut ladder), None);
    assert_eq!(left_out(&mut Ladder::pinned(vec![])), (vec![], vec![], None), "by plan");
}

#[test]
fn every_setback_blames_who_may_have_caused_it() {
    let failed = |endpoint| Blame { failed: Some(endpoint), kv: None };
    let kv = |evidence| Blame { failed: None, kv: Some((0, evidence)) };
    let nobody = Blame::default();
    for (plan, setback, expected) in [
        (LOCAL, Answer(NoAnswer), failed(2)),
        (LOCAL, Answer(ErrorEvent), failed(2)),
        (LOCAL, Answer(Status(500)), failed(2)),
        (LOCAL, Answer(Status(502)), failed(2)),
        (LOCAL, Answer(Status(503)), nobody),
        (LOCAL, Answer(Status(504)), failed(2)),
        (LOCAL, Answer(Status(429)), nobody),
        (LOCAL, Answer(Status(400)), nobody),
        (HANDOFF, Prefill(NoAnswer), failed(0)),
        (HANDOFF, Prefill(Status(500)), failed(0)),
        (HANDOFF, Prefill(Status(503)), nobody),
        (HANDOFF, Prefill(Status(302)), nobody),
        (HANDOFF, Prefill(Status(400)), nobody),
        (HANDOFF, NoConnector, nobody),
        (HANDOFF, NoKvParams, kv(KvEvidence::NotOffered)),
        (HANDOFF, Answer(NoAnswer), failed(2)),
        (HANDOFF, Answer(ErrorEvent), kv(KvEvidence::NotLoaded)),
        (HANDOFF, Answer(Status(500)), kv(KvEvidence::NotLoaded)),
        (HANDOFF, Answer(Status(502)), nobody),
        (HANDOFF, Answer(Status(503)), nobody),
        (HANDOFF, Answer(Status(429)), nobody),
        (HANDOFF, Answer(Status(400)), nobody),
    ] {
        assert_eq!(Blame::of(plan, setback), expected, "{setback:?} of {plan:?}");
    }
    assert_eq!(Blame::of_answered(HANDOFF), kv(KvEvidence::Loaded));
    assert_eq!(Blame::of_answered(LOCAL), nobody);
}

#[test]
fn blame_ejects_endpoints_and_ends_trust_in_their_kv_caches() {
    let scene = Scene::new();
    let health = |endpoint: usize| &scene.pool[endpoint].state.health;
    let blame = |plan, setback| {
        (0..3).map(|_| Blame::of(plan, setback).apply(&scene.pool, NOW)).collect::<Vec<_>>()
    };
    let sanctions = blame(LOCAL, Answer(NoAnswer));
    assert_eq!(sanctions[..2], [Sanctions::default(); 2]);
    assert!(sanctions[2].ejected.is_some() && health(2).ejected(NOW));

    blame(HANDOFF, Answer(Status(500)))[..2].iter().for_each(|sanctions| {
        assert_eq!(*sanctions, Sanctions::default(), "the fault may be the other's");
    });
    assert!(!health(0).trusts_kv(NOW) && !health(0).ejected(NOW));

    let other = Plan::Handoff { prefill: 1, decoding: 3 };
    for _ in 0..9 {
        Blame::of(other, Answer(ErrorEvent)).apply(&scene.pool, NOW);
        answered(other, &scene.facts());
    }
    assert!(health(1).trusts_kv(NOW), "what was loaded in between counts");
    assert!(!health(3).ejected(NOW), "an error that a KV cache may have caused is excused");
    let at_once = Blame::of(other, NoKvParams).apply(&scene.pool, NOW);
    assert_eq!(at_once.kv_distrusted, Some(KV_DISTRUST));
    assert_eq!(Blame::of(other, NoKvParams).apply(&scene.pool, NOW), Sanctions::default());
}

#[test]
fn an_endpoint_that_the_setback_ejects_is_no_alternative() {
    let (scene, mut ladder) = (Scene::new(), Ladder::default());
    for _ in 0..2 {
        scene.pool[1].state.health.failed(NOW);
    }
    // Two requests, whose failures come one after the other.
    let mut other = Ladder::default();
    let sick = Plan::Handoff { prefill: 1, decoding: 2 };
    let (_, sanctions) = other.next(sick, Prefill(NoAnswer), &scene.facts());
    assert!(sanctions.ejected.is_some());
    assert_eq!(scene.next(&mut ladder, HANDOFF, Prefill(NoAnswer)), NextStep::PlanAgain);
    assert_eq!(left_out(&mut ladder), (vec![], vec![0], Some(Reason::PrefillFailed)));
}
