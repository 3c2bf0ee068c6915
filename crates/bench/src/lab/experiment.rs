//! The standard experiments, each with one question and everything needed to judge the answer.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use qoe_core::target::Target;
use qoe_sim::Profile;

use crate::lab::arrival::Arrival;
use crate::lab::shape::Shape;
use crate::lab::trace::replay::Replay;
use crate::lab::trace::rows::Trace;
use crate::lab::workload::Workload;
use crate::lab::workload::course::RateCurve;
use crate::lab::workload::promises::Promises;

/// The source of the arrivals.
#[derive(Clone, Debug)]
pub enum Source {
    /// A synthetic workload.
    Made(Workload),
    /// A window of a trace.
    Trace(Trace, Replay),
}

/// One experiment to run.
#[derive(Clone, Debug)]
pub struct Question {
    /// The name.
    pub name: &'static str,
    /// The question.
    pub title: &'static str,
    /// The cluster.
    pub shape: Shape,
    /// The source of the arrivals.
    pub source: Source,
    /// The duration of the arrivals, in seconds.
    pub seconds: f64,
    /// The rates, in requests per second.
    pub rates: Vec<f64>,
}

/// The paths of the published traces, if given.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    /// Azure's LLM inference trace, conversations.
    pub azure: Option<PathBuf>,
    /// Mooncake's conversation trace.
    pub mooncake: Option<PathBuf>,
}

const CHAT: Target = target(500, 30);
/// The targets for prompts of up to 126,000 tokens, whose prefill alone takes seconds on one GPU.
const LONG: Target = target(5_000, 50);

const fn target(ttft: u64, itl: u64) -> Target {
    Target { ttft: Duration::from_millis(ttft), itl: Duration::from_millis(itl) }
}

impl Question {
    /// The arrivals at `rate` for `seed`.
    #[must_use]
    pub fn arrivals(&self, rate: f64, seed: u64) -> Vec<Arrival> {
        match &self.source {
            Source::Made(workload) => workload.generate(self.seconds, rate, seed),
            Source::Trace(trace, replay) => {
                let whole = Replay { seed, ..*replay };
                let speed = whole.speed_for(trace, rate);
                let span = Duration::from_secs_f64(self.seconds * speed);
                // Each seed plays another part of the trace, so that seeds are independent samples.
                let last = trace.rows().last().map_or(Duration::ZERO, |row| row.at);
                let room = last.saturating_sub(span);
                let from = room.mul_f64((seed as f64 * 0.381_966).fract());
                Replay { speed, from, span, ..whole }.arrivals(trace)
            }
        }
    }

    /// The conditions of the experiment, for reports.
    #[must_use]
    pub fn conditions(&self, seeds: u64) -> Vec<String> {
        let workload = match &self.source {
            Source::Made(workload) => workload.describe(),
            Source::Trace(trace, replay) => format!(
                "{} requests of the trace, time compressed to the rate; TTFT {} ms, ITL {} ms",
                trace.rows().len(),
                replay.promises.targets[1].ttft.as_millis(),
                replay.promises.targets[1].itl.as_millis()
            ),
        };
        vec![
            self.shape.describe(),
            workload,
            format!("{:.0} s of arrivals, {seeds} seeds", self.seconds),
        ]
    }
}

fn made(
    name: &'static str,
    title: &'static str,
    shape: Shape,
    workload: Workload,
    rates: &[f64],
) -> Question {
    let source = Source::Made(workload);
    Question { name, title, shape, source, seconds: 60.0, rates: rates.to_vec() }
}

fn traced(
    name: &'static str,
    title: &'static str,
    path: &std::path::Path,
    promise: Target,
    rates: &[f64],
) -> anyhow::Result<Question> {
    let trace = Trace::open(path).with_context(|| format!("the trace of {name}"))?;
    let replay = Replay { promises: Promises::same(promise), ..Replay::default() };
    Ok(Question {
        name,
        title,
        shape: Shape::split(2, 2, &Profile::llama_8b_h100()),
        source: Source::Trace(trace, replay),
        seconds: 60.0,
        rates: rates.to_vec(),
    })
}

/// The standard set of experiments.
///
/// # Errors
/// A trace that is given cannot be read.
pub fn standing(traces: &Traces) -> anyhow::Result<Vec<Question>> {
    let h100 = Profile::llama_8b_h100();
    let four = || Shape::split(2, 2, &h100);
    let eight = || Shape::split(4, 4, &h100);
    let same = |workload: Workload, target| workload.with_promises(Promises::same(target));
    let mut all = Vec::new();
    if let Some(path) = &traces.azure {
        let title = "Azure's conversations: chat of real users, decoding-heavy";
        all.push(traced("azure", title, path, CHAT, &[40.0, 50.0, 60.0, 65.0, 70.0, 75.0])?);
    }
    if let Some(path) = &traces.mooncake {
        let title = "Mooncake's conversations: long prompts that share beginnings";
        all.push(traced("mooncake", title, path, LONG, &[3.0, 4.0, 5.0, 6.0, 7.0])?);
    }
    all.extend([
        made(
            "chat",
            "Made-up chat, shaped as Azure's conversations",
            four(),
            same(Workload::chat(), CHAT),
            &[60.0, 80.0, 90.0, 100.0],
        ),
        made(
            "documents",
            "Made-up long prompts, shaped as Mooncake's conversations",
            four(),
            same(Workload::documents(), LONG),
            &[5.0, 6.0, 7.0, 8.0],
        ),
        made(
            "code",
            "Prompts in bursts, short answers: prefill-heavy, as Azure's code",
            four(),
            same(Workload::code(), CHAT),
            &[10.0, 20.0, 30.0, 40.0],
        ),
        made(
            "conversations",
            "Turns of conversations, each beginning as the one before",
            four(),
            same(Workload::conversations(), CHAT),
            &[40.0, 50.0, 55.0, 60.0],
        ),
        made(
            "agents",
            "A long shared beginning, many short answers",
            four(),
            same(Workload::agents(), CHAT),
            &[100.0, 130.0, 145.0],
        ),
        Question {
            seconds: 12.0,
            ..made(
                "fleet",
                "The same before 48 endpoints, all of which come to hold the shared beginnings",
                Shape::split(24, 24, &h100),
                same(Workload::agents(), CHAT),
                &[1200.0, 1650.0],
            )
        },
        made(
            "tiny",
            "Tiny prompts: nothing to hand over, prefill endpoints have nothing to do",
            four(),
            same(Workload::tiny(), CHAT),
            &[300.0, 700.0],
        ),
        made(
            "slow-decoder",
            "One of four decoding endpoints takes twice as long",
            eight().with_slow(7, 2.0),
            same(Workload::chat(), CHAT),
            &[120.0, 160.0, 170.0],
        ),
        made(
            "dying",
            "A decoding endpoint dies after 20 s and is back after 40 s",
            four().with_death(3, Duration::from_secs(20), Duration::from_secs(40)),
            same(Workload::chat(), CHAT),
            &[50.0, 70.0, 80.0],
        ),
        made(
            "priorities",
            "Three priorities in bursts beyond what the cluster can do",
            four(),
            Workload::chat().with_course(RateCurve::Bursts { period: 30.0, on: 10.0, peak: 2.5 }),
            &[40.0, 45.0, 50.0, 60.0],
        ),
        made(
            "routers",
            "The same chat behind three routers that know nothing of each other",
            four().behind(3),
            same(Workload::chat(), CHAT),
            &[60.0, 80.0, 90.0],
        ),
    ]);
    Ok(all)
}
