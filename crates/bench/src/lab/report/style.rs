//! Colours and dashes of all pictures, for light and dark backgrounds.
//!
//! The colours are those of Okabe and Ito, which are distinguishable with any kind of colour vision. They are darker on
//! light backgrounds and lighter on dark ones. Dashes distinguish series without colour.

/// The number of colours. Further series reuse them with other dashes.
const COLOURS: usize = 8;

/// One dash pattern per series. The first series is the product's default, with an unbroken line.
const DASHES: [&str; 8] =
    ["none", "7 3", "2 3", "9 3 2 3", "14 4", "5 2 1 2 1 2", "4 4", "12 3 4 3"];

/// The style of pictures. The page adds [`PAGE`].
pub(super) const PICTURE: &str = "\
.plot{--ground:#fff;--ink:#222;--faint:#666;--grid:#e2e2e2;--c0:#0060a8;--c1:#c24e00;--c2:#007a59;--c3:#a8447f;--c4:#8a6a00;--c5:#555;--c6:#2aa0d8;--c7:#111;\
font-family:system-ui,sans-serif;font-size:12px}
@media (prefers-color-scheme:dark){.plot{--ground:#16181c;--ink:#e6e6e6;--faint:#a0a0a0;--grid:#33373d;\
--c0:#5cb3f5;--c1:#ff8a45;--c2:#3fcf9f;--c3:#ea9ccb;--c4:#e8c14a;--c5:#b8b8b8;--c6:#2f7fd0;--c7:#fff}}
.plot text{fill:var(--ink)}.plot .faint{fill:var(--faint)}.plot .ground{fill:var(--ground)}
.plot .grid{stroke:var(--grid);fill:none}.plot .axis{stroke:var(--faint);fill:none}
.plot .mark{stroke:var(--faint);stroke-dasharray:3 3;fill:none}
.plot .line{fill:none;stroke-width:1.8;stroke-linejoin:round}.plot .band{opacity:.16}
.plot .title{font-weight:600;font-size:13px}.plot .end{text-anchor:end}.plot .middle{text-anchor:middle}
";

/// The style of the page.
pub(super) const PAGE: &str = "\
:root{color-scheme:light dark}
body{margin:0 auto;max-width:76rem;padding:1rem 1.25rem 4rem;font:15px/1.5 system-ui,sans-serif;background:#fff;color:#222}
h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.5rem;border-top:1px solid #ddd;padding-top:1.25rem}h3{font-size:1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e2e2e2;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,34rem),1fr));gap:1rem;margin-top:1rem}
.plots svg{width:100%;height:auto;border:1px solid #e2e2e2;border-radius:6px}
.note{color:#666}code{font-size:13px}
@media (prefers-color-scheme:dark){body{background:#16181c;color:#e6e6e6}h2,th,td,.plots svg{border-color:#33373d}.note{color:#a0a0a0}a{color:#5cb3f5}}
";

/// The colour of a series.
pub(super) fn colour(slot: usize) -> String {
    format!("var(--c{})", slot % COLOURS)
}

/// The dash pattern of a series.
pub(super) fn dash(slot: usize) -> &'static str {
    DASHES[slot % DASHES.len()]
}

/// The letter of a series, so that bars are not identified by colour alone.
pub(super) fn letter(slot: usize) -> char {
    char::from_u32('A' as u32 + slot as u32).filter(char::is_ascii_uppercase).unwrap_or('*')
}

/// Escapes text for HTML and SVG.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
