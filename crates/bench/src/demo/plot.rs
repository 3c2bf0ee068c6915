//! Cumulative distributions as an SVG picture: the share of users that waited at most a given time.

use std::fmt::Write as _;

use crate::demo::summary::RunSummary;
use crate::stats::Sample;

const COLOURS: [&str; 2] = ["#c2571a", "#1a6fc2"];
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 50.0;

/// Draws TTFT and ITL of both runs, each in its own panel.
#[must_use]
pub(super) fn svg(runs: [(&str, &RunSummary); 2]) -> String {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 350\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"1000\" height=\"350\" fill=\"white\"/>\n",
    );
    panel(&mut svg, 0.0, "time to first token, ms", runs.map(|(name, run)| (name, &run.ttft)));
    panel(&mut svg, 500.0, "inter-token latency, ms", runs.map(|(name, run)| (name, &run.itl)));
    svg.push_str("</svg>\n");
    svg
}

/// Draws one panel with a logarithmic time axis, with its left edge at `x`. Writing to a string cannot fail.
fn panel(svg: &mut String, x: f64, title: &str, series: [(&str, &Sample); 2]) {
    let decades = decades(&series);
    let _ = writeln!(svg, "<g transform=\"translate({},{TOP})\">", x + LEFT);
    let _ = writeln!(svg, "<text x=\"0\" y=\"-30\" font-weight=\"bold\">{title}</text>");
    for share in [0.0, 0.5, 0.9, 1.0] {
        let y = HEIGHT * (1.0 - share);
        let _ = writeln!(svg, "<path d=\"M0,{y}h{WIDTH}\" stroke=\"#ddd\"/>");
        let _ = writeln!(svg, "<text x=\"-35\" y=\"{}\">{} %</text>", y + 4.0, share * 100.0);
    }
    for decade in decades.0..=decades.1 {
        let at = position(10f64.powi(decade), decades);
        let _ = writeln!(svg, "<path d=\"M{at:.1},0v{HEIGHT}\" stroke=\"#ddd\"/>");
        let label = 10f64.powi(decade);
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{}\">{label}</text>", HEIGHT + 18.0);
    }
    for (index, ((name, sample), colour)) in series.into_iter().zip(COLOURS).enumerate() {
        let points = curve(sample, decades);
        let _ = writeln!(svg, "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{points}\"/>");
        let legend = index as f64 * 160.0;
        let _ = writeln!(svg, "<text x=\"{legend}\" y=\"-10\" fill=\"{colour}\">{name}</text>");
    }
    svg.push_str("</g>\n");
}

/// The powers of ten that enclose all values.
fn decades(series: &[(&str, &Sample); 2]) -> (i32, i32) {
    let ranges = series.iter().filter_map(|(_, sample)| sample.range());
    let (low, high) =
        ranges.fold((f64::MAX, 1.0f64), |(low, high), range| (low.min(range.0), high.max(range.1)));
    let floor = if low == f64::MAX { 1.0 } else { low.max(0.1) };
    let first = floor.log10().floor() as i32;
    (first, (high.log10().ceil() as i32).max(first + 1))
}

fn position(value: f64, (first, last): (i32, i32)) -> f64 {
    let exponent = value.max(10f64.powi(first)).log10();
    (exponent - f64::from(first)) / f64::from(last - first) * WIDTH
}

/// Two hundred points of the distribution; more cannot be distinguished at this size.
fn curve(sample: &Sample, decades: (i32, i32)) -> String {
    (0..=200)
        .filter_map(|step| {
            let share = f64::from(step) / 200.0;
            let at = position(sample.percentile(share * 100.0)?, decades);
            Some(format!("{at:.1},{:.1} ", HEIGHT * (1.0 - share)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_from_left_to_right_inside_its_panel() {
        let sample = Sample::new((1..=1000).map(f64::from).collect());
        let decades = decades(&[("a", &sample), ("b", &Sample::default())]);
        assert_eq!(decades, (0, 3));
        let points: Vec<(f64, f64)> = curve(&sample, decades)
            .split_whitespace()
            .map(|point| point.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 >= b.1));
        assert!(
            points.iter().all(|&(x, y)| (0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y))
        );
        assert_eq!(points.last(), Some(&(WIDTH, 0.0)));
    }

    #[test]
    fn nothing_measured_draws_empty_panels() {
        let nothing = RunSummary::default();
        let svg = svg([("a", &nothing), ("b", &nothing)]);
        assert_eq!((svg.matches("<polyline").count(), svg.contains("NaN")), (4, false));
    }
}
