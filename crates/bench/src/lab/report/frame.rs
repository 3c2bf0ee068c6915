//! The parts that all pictures share: size, title, vertical axis, and legend. Writing to a string cannot fail.

use std::fmt::Write as _;

use crate::lab::report::axis::{self, Axis};
use crate::lab::report::style::{PICTURE, colour, dash, escape, letter};

pub(super) const LEFT: f64 = 62.0;
pub(super) const TOP: f64 = 40.0;
pub(super) const WIDTH: f64 = 420.0;
pub(super) const HEIGHT: f64 = 220.0;
const TOTAL: (f64, f64) = (700.0, 310.0);
const LEGEND: f64 = LEFT + WIDTH + 22.0;

/// Converts a picture to a self-contained SVG file with its style.
pub(super) fn standalone(svg: &str) -> String {
    let style = format!("<style>{PICTURE}</style>");
    match svg.split_once('>') {
        Some((head, rest)) => format!("{head}>{style}{rest}"),
        None => svg.to_owned(),
    }
}

pub(super) fn open(title: &str) -> String {
    let (width, height) = TOTAL;
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\">\
         <title>{title}</title>\n<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"title\" x=\"12\" y=\"22\">{title}</text>\n"
    )
}

pub(super) fn frame_y(svg: &mut String, axis: &Axis) {
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

pub(super) fn height(axis: &Axis, value: f64) -> f64 {
    TOP + (1.0 - axis.place(value)) * HEIGHT
}

pub(super) fn legend(svg: &mut String, row: usize, slot: usize, label: &str, line: bool) {
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
