//! A picture of lines or bars with axes and a legend, as SVG. Writing to a string cannot fail.

use std::fmt::Write as _;

use super::axis::{self, Axis};
use super::style::{PICTURE, colour, dash, escape, letter};

/// Lines over two axes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// A level of `y` to show.
    pub(super) level: Option<f64>,
    pub(super) series: Vec<Series>,
}

/// One line; its slot gives colour and dashes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) slot: usize,
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
    /// (x, least y, most y), where there is an interval.
    pub(super) band: Vec<(f64, f64, f64)>,
    /// Whether each point is a measurement, to be marked.
    pub(super) dots: bool,
}

/// Groups of bars, 0 to 100 %.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) y: Axis,
    /// Name of each group, and the value of each series in it.
    pub(super) groups: Vec<(String, Vec<Option<f64>>)>,
    pub(super) labels: Vec<String>,
}

const LEFT: f64 = 62.0;
const TOP: f64 = 40.0;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 220.0;
const TOTAL: (f64, f64) = (700.0, 310.0);
const LEGEND: f64 = LEFT + WIDTH + 22.0;

impl Chart {
    /// The picture, as it stands in a page.
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
        // The first one is drawn last: it is what the picture is about.
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

impl Bars {
    /// The picture, as it stands in a page.
    pub(super) fn svg(&self) -> String {
        let mut svg = open(&self.title);
        frame_y(&mut svg, &self.y);
        let slot = WIDTH / (self.groups.len() as f64).max(1.0);
        for (index, (name, values)) in self.groups.iter().enumerate() {
            let left = LEFT + index as f64 * slot;
            self.group(&mut svg, left, slot, values);
            let (x, y) = (left + slot / 2.0, TOP + HEIGHT + 36.0);
            let _ =
                writeln!(svg, r#"<text class="middle" x="{x:.1}" y="{y}">{}</text>"#, escape(name));
        }
        let bottom = TOP + HEIGHT;
        let _ = writeln!(svg, r#"<path class="axis" d="M{LEFT},{bottom}h{WIDTH}"/>"#);
        for (row, label) in self.labels.iter().enumerate() {
            legend(&mut svg, row, row, label, false);
        }
        svg + "</svg>\n"
    }

    fn group(&self, svg: &mut String, left: f64, width: f64, values: &[Option<f64>]) {
        let step = width * 0.86 / (values.len() as f64).max(1.0);
        let bottom = TOP + HEIGHT;
        for (slot, value) in values.iter().enumerate() {
            let x = left + width * 0.07 + slot as f64 * step;
            let middle = x + step / 2.0;
            let (colour, letter) = (colour(slot), letter(slot));
            let _ = writeln!(
                svg,
                r#"<text class="middle faint" x="{middle:.1}" y="{}">{letter}</text>"#,
                bottom + 16.0
            );
            let Some(value) = *value else { continue };
            let top = height(&self.y, value);
            let _ = writeln!(
                svg,
                r#"<rect x="{:.1}" y="{top:.1}" width="{:.1}" height="{:.1}" style="fill:{colour}"/>"#,
                x + step * 0.08,
                step * 0.84,
                bottom - top
            );
            if step >= 16.0 {
                let _ = writeln!(
                    svg,
                    r#"<text class="middle" font-size="10" x="{middle:.1}" y="{:.1}">{value:.0}</text>"#,
                    top - 4.0
                );
            }
        }
    }
}

/// A picture as a file of its own, with its style.
pub(super) fn standalone(svg: &str) -> String {
    let style = format!("<style>{PICTURE}</style>");
    match svg.split_once('>') {
        Some((head, rest)) => format!("{head}>{style}{rest}"),
        None => svg.to_owned(),
    }
}

fn open(title: &str) -> String {
    let (width, height) = TOTAL;
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\">\
         <title>{title}</title>\n<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"12\" y=\"22\">{title}</text>\n"
    )
}

fn frame_y(svg: &mut String, axis: &Axis) {
    for tick in axis.ticks() {
        let y = height(axis, tick);
        let _ = writeln!(
            svg,
            r#"<path class="grid" d="M{LEFT},{y:.1}h{WIDTH}"/><text class="end" x="{}" y="{:.1}">{}</text>"#,
            LEFT - 7.0,
            y + 4.0,
            axis::show(tick)
        );
    }
    let (x, y) = (16.0, TOP + HEIGHT / 2.0);
    let label = escape(&axis.label);
    let _ = writeln!(
        svg,
        r#"<text class="middle faint" transform="translate({x},{y}) rotate(-90)">{label}</text>"#
    );
}

fn height(axis: &Axis, value: f64) -> f64 {
    TOP + (1.0 - axis.place(value)) * HEIGHT
}

fn legend(svg: &mut String, row: usize, slot: usize, label: &str, line: bool) {
    let y = TOP + 10.0 + row as f64 * 21.0;
    let (colour, dash, letter) = (colour(slot), dash(slot), letter(slot));
    let sign = if line {
        format!(
            r#"<path class="line" style="stroke:{colour};stroke-dasharray:{dash}" d="M{LEGEND},{y}h34"/>"#
        )
    } else {
        format!(
            r#"<rect x="{LEGEND}" y="{}" width="14" height="12" style="fill:{colour}"/><text class="faint" x="{}" y="{}">{letter}</text>"#,
            y - 6.0,
            LEGEND + 20.0,
            y + 4.0
        )
    };
    let _ = writeln!(
        svg,
        r#"{sign}<text x="{}" y="{}">{}</text>"#,
        LEGEND + 41.0,
        y + 4.0,
        escape(label)
    );
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_group_without_a_value_has_no_bar() {
        let bars = Bars {
            title: "t".into(),
            y: Axis::percent("%"),
            groups: vec![("high".into(), vec![Some(90.0), None])],
            labels: vec!["one".into(), "two".into()],
        };
        // One bar, the ground, and two signs in the legend.
        assert_eq!(bars.svg().matches("<rect").count(), 4);
    }
}
