//! Line charts as SVG. Writing to a string cannot fail.

use std::fmt::Write as _;

use crate::lab::report::axis::{self, Axis};
use crate::lab::report::frame::{HEIGHT, LEFT, TOP, WIDTH, frame_y, height, legend, open};
use crate::lab::report::style::{colour, dash, escape};

/// A chart of lines over two axes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// A level of `y` to mark.
    pub(super) level: Option<f64>,
    pub(super) series: Vec<Series>,
}

/// One line. Its slot determines colour and dashes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) slot: usize,
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
    /// The intervals as (x, lowest y, highest y), where there are any.
    pub(super) band: Vec<(f64, f64, f64)>,
    /// Whether to mark each point, because it is a measurement.
    pub(super) dots: bool,
}

impl Chart {
    /// The SVG element of the picture.
    pub(super) fn svg(&self) -> String {
        let mut svg = open(&self.title);
        frame_y(&mut svg, &self.y);
        self.frame_x(&mut svg);
        if let Some(level) = self.level {
            let y = self.y(level);
            let (right, text) = (LEFT + WIDTH - 4.0, axis::show(level));
            let _ = writeln!(
                svg,
                r#"<path class="mark" d="M{LEFT},{y:.1}h{WIDTH}"/><text class="end faint" x="{right}" y="{:.1}">{text}</text>"#,
                y - 4.0
            );
        }
        self.series.iter().for_each(|series| self.band(&mut svg, series));
        // The first series is the subject of the picture, so it is drawn last, above the others.
        self.series.iter().rev().for_each(|series| self.line(&mut svg, series));
        for (row, series) in self.series.iter().enumerate() {
            legend(&mut svg, row, series.slot, &series.label, true);
        }
        svg + "</svg>\n"
    }

    fn frame_x(&self, svg: &mut String) {
        let bottom = TOP + HEIGHT;
        for tick in self.x.ticks() {
            let (x, text) = (self.x(tick), axis::show(tick));
            let _ = writeln!(
                svg,
                r#"<path class="grid" d="M{x:.1},{TOP}v{HEIGHT}"/><text class="middle" x="{x:.1}" y="{}">{text}</text>"#,
                bottom + 17.0
            );
        }
        let _ = writeln!(
            svg,
            r#"<path class="axis" d="M{LEFT},{bottom}h{WIDTH}"/><text class="middle faint" x="{}" y="{}">{}</text>"#,
            LEFT + WIDTH / 2.0,
            bottom + 36.0,
            escape(&self.x.label)
        );
    }

    fn line(&self, svg: &mut String, series: &Series) {
        let (colour, dash) = (colour(series.slot), dash(series.slot));
        let place = |&(x, y): &(f64, f64)| format!("{:.1},{:.1} ", self.x(x), self.y(y));
        let points: String = series.points.iter().map(place).collect();
        let _ = writeln!(
            svg,
            r#"<polyline class="line" style="stroke:{colour};stroke-dasharray:{dash}" points="{}"/>"#,
            points.trim_end()
        );
        for &(x, y) in series.points.iter().filter(|_| series.dots) {
            let (x, y) = (self.x(x), self.y(y));
            let _ =
                writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.6" style="fill:{colour}"/>"#);
        }
    }

    fn band(&self, svg: &mut String, series: &Series) {
        if series.band.is_empty() {
            return;
        }
        let place = |x: f64, y: f64| format!("{:.1},{:.1} ", self.x(x), self.y(y));
        let upper = series.band.iter().map(|&(x, _, most)| place(x, most));
        let lower = series.band.iter().rev().map(|&(x, least, _)| place(x, least));
        let points: String = upper.chain(lower).collect();
        let colour = colour(series.slot);
        let _ = writeln!(
            svg,
            r#"<polygon class="band" style="fill:{colour}" points="{}"/>"#,
            points.trim_end()
        );
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        height(&self.y, value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::standalone;
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let series = Series {
            slot: 1,
            label: "a < b".into(),
            band: vec![(1.0, 0.0, 2.0)],
            points,
            dots: true,
        };
        let axis = || Axis::from_zero("x", [10.0].into_iter());
        Chart { title: "t".into(), x: axis(), y: axis(), level: Some(5.0), series: vec![series] }
    }

    #[test]
    fn lines_stay_inside_their_frame() {
        let svg = chart(vec![(0.0, 0.0), (5.0, 3.0), (1e9, -4.0)]).svg();
        let points = svg.split("<polyline").nth(1).unwrap().split("points=\"").nth(1).unwrap();
        for point in points.split('"').next().unwrap().split(' ') {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((LEFT..=LEFT + WIDTH).contains(&x) && (TOP..=TOP + HEIGHT).contains(&y));
        }
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polygon").count()), (3, 1));
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"));
    }

    #[test]
    fn a_picture_alone_brings_its_style() {
        let svg = standalone(&chart(Vec::new()).svg());
        assert!(svg.starts_with("<svg xmlns") && svg.contains("<style>.plot{"));
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
