//! The profiles against measured step times.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use qoe_sim::Profile;
use qoe_sim::profile::StepLoad;

/// The largest chunk of a prompt that one step of the measurements carries.
const CHUNK: u64 = 8192;

struct Row {
    profile: String,
    step: String,
    batch: u64,
    prompt: u64,
    context: u64,
    milliseconds: f64,
}

fn rows() -> Vec<Row> {
    include_str!("data/llama-steps.csv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let number = |at: usize| fields[at].parse().unwrap();
            Row {
                profile: fields[0].to_owned(),
                step: fields[1].to_owned(),
                batch: number(2),
                prompt: number(3),
                context: number(4),
                milliseconds: fields[5].parse().unwrap(),
            }
        })
        .collect()
}

fn predicted(profile: &Profile, row: &Row) -> f64 {
    let mut total = 0.0;
    let mut done = 0;
    loop {
        let mut load = StepLoad::default();
        let chunk = CHUNK.min(row.prompt - done);
        if row.step != "prefill" {
            (0..row.batch).for_each(|_| load.add_stream(row.context));
        }
        load.add_prefill(chunk, done);
        total += profile.step_time(&load).as_secs_f64() * 1e3;
        done += chunk;
        if done == row.prompt {
            return total;
        }
    }
}

fn check(profile: &Profile) {
    let name = profile.name;
    for step in ["prefill", "decode", "mixed"] {
        let mut errors: Vec<f64> = rows()
            .iter()
            .filter(|row| row.profile == name && row.step == step)
            .map(|row| (predicted(profile, row) / row.milliseconds - 1.0).abs())
            .collect();
        errors.sort_by(f64::total_cmp);
        assert!(errors.len() >= 10, "{name} {step}: {} rows", errors.len());
        let (median, largest) = (errors[errors.len() / 2], errors[errors.len() - 1]);
        assert!(median <= 0.10, "{name} {step}: median error {median}");
        assert!(largest <= 0.30, "{name} {step}: largest error {largest}");
    }
}

#[test]
fn one_h100_is_as_fast_as_measured() {
    check(&Profile::llama_8b_h100());
}

#[test]
fn one_a100_is_as_fast_as_measured() {
    check(&Profile::llama_8b_a100());
}

#[test]
fn four_h100_are_as_fast_as_measured() {
    check(&Profile::llama_70b_4xh100());
}
