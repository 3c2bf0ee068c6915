//! Bar charts as SVG. Writing to a string cannot fail.

use std::fmt::Write as _;

use crate::lab::report::axis::Axis;
use crate::lab::report::frame::{HEIGHT, LEFT, TOP, WIDTH, frame_y, height, legend, open};
use crate::lab::report::style::{colour, escape, letter};

/// A chart of groups of bars from 0 to 100 %.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bars {
    pub(super) title: String,
    pub(super) y: Axis,
    /// The name of each group, and the value of each series in it.
    pub(super) groups: Vec<(String, Vec<Option<f64>>)>,
    pub(super) labels: Vec<String>,
}

impl Bars {
    /// The SVG element of the picture.
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

#[cfg(test)]
mod tests {
    use super::*;

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
