//! A run of a few requests, summed up.

use std::time::Duration;

use crate::lab::outcome::{Outcome, REFUSED, Run, Use};
use crate::lab::summary::figures::FIGURES;
use crate::lab::summary::summarize::{Percentiles, Summary};
use qoe_core::request::analyze::Priority;

fn outcome(ttft: f64, sla_met: bool) -> Outcome {
    Outcome {
        at: Duration::ZERO,
        priority: Priority::Medium,
        prompt_tokens: 1_000,
        output_tokens: 10,
        ttft: Some(ttft),
        itl: Some(0.02),
        longest_gap: 0.03,
        e2e: ttft + 0.2,
        qoe: if sla_met { 1.0 } else { 0.5 },
        sla_met,
        smooth: sla_met,
        served: true,
        handoff: sla_met,
        reason: "wins",
        queued: 0.0,
        moved_tokens: 1_024,
        cached_tokens: 250,
        forecast_ttft: Some(ttft * 1.1),
        forecast_itl: None,
    }
}

fn refused() -> Outcome {
    Outcome {
        priority: Priority::Low,
        ttft: None,
        itl: None,
        qoe: 0.0,
        served: false,
        handoff: false,
        reason: REFUSED,
        cached_tokens: 0,
        moved_tokens: 0,
        ..outcome(0.0, false)
    }
}

#[test]
fn a_run_is_summed_up() {
    let lost = Outcome { served: false, ..outcome(0.3, false) };
    let uses = [("prefill", 0.2), ("decoding", 0.5), ("decoding", 0.7)];
    let run = Run {
        arrivals_seconds: 4.0,
        outcomes: vec![outcome(0.1, true), outcome(0.2, true), lost, refused()],
        uses: uses.map(|(role, busy)| Use { role, busy, ..Use::default() }).to_vec(),
        gaps: vec![(0.01, 98), (0.02, 1), (0.5, 1)],
        ..Run::default()
    };
    let summary = Summary::of(&run, 1_048_576.0);
    let counts = (summary.requests, summary.served, summary.refused, summary.lost);
    assert_eq!(counts, (4, 2, 1, 1));
    assert_eq!((summary.ttft.p50, summary.ttft.p99), (Some(0.2), Some(0.3)));
    assert_eq!((summary.gap.p50, summary.gap.p99), (Some(0.01), Some(0.02)));
    assert_eq!((summary.sla_met, summary.goodput, summary.handed_off), (0.5, 0.5, 1.0));
    assert_eq!(summary.sla_by_priority, [None, Some(2.0 / 3.0), Some(0.0)]);
    assert_eq!((summary.qoe_mean, summary.qoe_p10), (0.625, 0.0));
    assert_eq!((summary.moved_gib, summary.prefix_hits), (3.0, 750.0 / 4_000.0));
    assert_eq!(summary.reasons, [("wins", 3), (REFUSED, 1)]);
    assert!((summary.ttft_error.unwrap() - 0.1).abs() < 1e-9 && summary.itl_error.is_none());
    assert!((summary.roles[1].busy - 0.6).abs() < 1e-9 && summary.roles[1].endpoints == 2);
}

#[test]
fn nothing_arrived_has_no_latencies_and_no_nan() {
    let summary = Summary::of(&Run::default(), 1.0);
    assert_eq!(summary.ttft, Percentiles::default());
    assert_eq!(summary.gap, Percentiles::default());
    assert_eq!((summary.sla_met, summary.goodput, summary.prefix_hits), (0.0, 0.0, 0.0));
    let shown = FIGURES.map(|figure| figure.show((figure.value)(&summary)));
    assert!(shown.iter().all(|text| !text.contains("NaN")), "{shown:?}");
}

#[test]
fn figures_know_which_way_is_worse() {
    let [sla, ttft] = ["SLA met %", "TTFT p50 ms"]
        .map(|name| FIGURES.into_iter().find(|figure| figure.name == name).unwrap());
    assert_eq!((sla.worse_by(90.0, 95.0), ttft.worse_by(90.0, 95.0)), (5.0, -5.0));
    let runs = [0.1, 0.2].map(|p50| Summary {
        ttft: Percentiles { p50: Some(p50), ..Percentiles::default() },
        ..Summary::default()
    });
    assert_eq!(ttft.show_interval(ttft.over(&runs)), "150 ±635");
    assert_eq!(ttft.show_interval(ttft.over(&[])), "–");
}
