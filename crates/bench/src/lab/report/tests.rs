//! A small made-up experiment, reported.

use std::time::Duration;

use super::losses::losses;
use super::*;
use crate::lab::draw::Draw;
use crate::lab::outcome::{Moment, Outcome, Run, Use};
use crate::lab::results::{Point, Sweep};
use crate::lab::summary::summarize::{PRIORITIES, Summary};

/// Runs whose latencies rise with the rate, the more steeply the larger `slow` is.
fn run(rate: f64, slow: f64, seed: u64) -> Run {
    let mut draw = Draw::new(seed, 9);
    let load = (rate * slow / 8.0).powi(3);
    let outcomes = (0..600).map(|index| outcome(index, load, slow, &mut draw)).collect();
    let moments = (0..300).map(|at| Moment {
        at: f64::from(at),
        queued: (load * 10.0 * draw.share()) as u32,
        in_flight: (rate * 4.0 * (1.0 + load) * draw.within(0.8, 1.2)) as u32,
        desired: (1, 1),
    });
    let uses = ["prefill", "decoding"].map(|role| Use {
        role,
        busy: (rate / 12.0).min(1.0),
        kv_use: 0.3,
        ..Use::default()
    });
    Run {
        seconds: 320.0,
        arrivals_seconds: 300.0,
        outcomes,
        uses: uses.to_vec(),
        gaps: vec![(0.02, 9_000), (0.05, 900), (0.2, (100.0 * load) as u64)],
        moments: moments.collect(),
    }
}

fn outcome(index: u64, load: f64, slow: f64, draw: &mut Draw) -> Outcome {
    let ttft = 0.12 * (1.0 + load) * (0.6 * draw.normal()).exp();
    let itl = 0.02 * slow.powi(-2) * (1.0 + load * 0.4) * (0.2 * draw.normal()).exp();
    let sla_met = ttft < 0.5 && itl < 0.05;
    Outcome {
        at: Duration::from_millis(index * 500),
        priority: PRIORITIES[(index % 3) as usize],
        prompt_tokens: 1_000,
        output_tokens: 100,
        ttft: Some(ttft),
        itl: Some(itl),
        longest_gap: itl * 3.0,
        e2e: ttft + itl * 100.0,
        qoe: if sla_met { 1.0 } else { 0.7 },
        sla_met,
        smooth: sla_met && itl < 0.03,
        served: true,
        handoff: index.is_multiple_of(2),
        reason: if index.is_multiple_of(2) { "handoff_wins" } else { "short_prompt" },
        queued: 0.0,
        moved_tokens: 500,
        cached_tokens: 100,
        forecast_ttft: Some(ttft * 1.2),
        forecast_itl: None,
    }
}

fn sweep(label: &str, ours: bool, slow: f64) -> Sweep {
    let point = |rate: f64| Point {
        rate,
        runs: (1..=3).map(|seed| Summary::of(&run(rate, slow, seed), 131_072.0)).collect(),
        sample: run(rate, slow, 1),
    };
    let points = [2.0, 4.0, 6.0, 8.0, 10.0].map(point).to_vec();
    Sweep { label: label.to_owned(), ours, points }
}

fn experiment() -> Experiment {
    Experiment {
        name: "chat".into(),
        title: "Chats on four endpoints".into(),
        conditions: vec!["2 prefill, 2 decoding".into(), "prompts < 14,050 tokens & more".into()],
        sweeps: vec![
            sweep("Predictive", true, 0.9),
            sweep("Weighted", false, 1.1),
            sweep("LeastRequest", false, 1.2),
            sweep("RoundRobin", false, 1.4),
        ],
    }
}

fn about() -> About {
    About {
        title: "The lab".into(),
        lines: vec!["All time is virtual.".into()],
        reproduce: vec!["qoe-bench lab".into()],
    }
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let page = html(&about(), &[experiment()]);
    assert_eq!(page.matches("<svg").count(), 8);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("NaN"));
    assert!(
        page.contains("prefers-color-scheme:dark") && page.contains("&lt; 14,050 tokens &amp;")
    );
    // Writes the page to a file, to view it in a browser.
    if let Ok(path) = std::env::var("QOE_LAB_PAGE") {
        write_html(&about(), &[experiment()], Path::new(&path)).unwrap();
    }
}

#[test]
fn the_document_links_its_pictures() {
    let document = markdown(&about(), &[experiment()], "lab");
    assert_eq!(document.pictures.len(), 8);
    for (file, svg) in &document.pictures {
        assert!(document.text.contains(&format!("](lab/{file})")), "{file}");
        assert!(svg.contains("<style>"), "{file}");
    }
    assert!(document.text.contains("| Predictive | "), "{}", document.text);
}

#[test]
fn losses_are_found_by_rule() {
    let losses = losses(&experiment());
    let lost = |figure: &str| losses.iter().find(|loss| loss.figure == figure);
    let itl = lost("ITL p50 ms").unwrap();
    assert_eq!((itl.worst, itl.rates.len(), itl.whose.as_str()), (Some(2.0), 5, "RoundRobin"));
    assert_eq!((lost("TTFT p50 ms"), lost("rate with SLA met ≥ 90 %")), (None, None));
    let swapped = Experiment {
        sweeps: vec![sweep("Predictive", true, 1.4), sweep("RoundRobin", false, 0.9)],
        ..experiment()
    };
    let losses = super::losses::losses(&swapped);
    assert_eq!(losses[0].figure, "rate with SLA met ≥ 90 %");
    assert_eq!(losses[0].whose, "RoundRobin");
    let alone = Experiment { sweeps: vec![sweep("Predictive", true, 1.4)], ..experiment() };
    assert!(super::losses::losses(&alone).is_empty());
}

#[test]
fn the_terminal_shows_conditions_and_both_tables() {
    let text = terminal(&experiment());
    for part in ["2 prefill, 2 decoding", "SLA met %", "requests/s\n", "TTFT p99 ms", "RoundRobin"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn an_experiment_without_results_still_reports() {
    let empty = Experiment { sweeps: Vec::new(), ..experiment() };
    assert!(html(&about(), std::slice::from_ref(&empty)).contains("Nowhere"));
    assert!(terminal(&empty).contains("Chats on four endpoints"));
}
