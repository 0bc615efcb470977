//! Draws time charts as SVG in the page's colours, each with a table of the same figures. Pure.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::format::{Unit, round_times};
use super::history::Pieces;

/// Size of the drawing in its own units: about the width of a phone, so that text is readable there too.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// Values for each piece of the window.
pub struct Series {
    pub name: String,
    /// Class in the style sheet that sets the colour.
    pub colour: &'static str,
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// Creates a series of counts.
    pub fn counts(name: impl Into<String>, colour: &'static str, values: impl IntoIterator<Item = u64>) -> Self {
        Self { name: name.into(), colour, values: values.into_iter().map(|count| Some(count as f64)).collect() }
    }

    fn at(&self, piece: usize) -> Option<f64> {
        self.values.get(piece).copied().flatten()
    }
}

/// Kinds of chart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Stacked bars.
    Bars,
    /// One line per series, with gaps where values are missing.
    Lines,
}

/// Renders a chart with its caption, legend and table.
pub fn figure(caption: &str, pieces: &Pieces, series: &[Series], unit: Unit, shape: Shape) -> Markup {
    let drawn: Vec<&Series> = series.iter().filter(|one| one.values.iter().flatten().any(|value| *value > 0.0)).collect();
    html! {
        figure {
            figcaption { (caption) }
            @if drawn.is_empty() {
                p.empty { "Nothing in this window." }
            } @else {
                @if drawn.len() > 1 || shape == Shape::Lines {
                    ul.legend {
                        @for one in &drawn { li { span.swatch.(one.colour) {} (one.name) } }
                    }
                }
                (drawing(caption, pieces, &drawn, unit, shape))
                details {
                    summary { "As a table" }
                    div.scroll { (table(caption, pieces, &drawn, unit)) }
                }
            }
        }
    }
}

/// The value axis: linear, from 0.
struct Scale {
    top: f64,
    ticks: Vec<f64>,
}

impl Scale {
    fn of(highest: f64, unit: Unit) -> Self {
        let step = unit.step(highest / 4.0);
        let count = (highest / step).ceil().max(1.0);
        Self { top: step * count, ticks: (0..=count as u32).map(|tick| step * f64::from(tick)).collect() }
    }

    fn y(&self, value: f64) -> f64 {
        let height = HEIGHT - TOP - BOTTOM;
        TOP + height * (1.0 - value / self.top)
    }
}

fn drawing(caption: &str, pieces: &Pieces, series: &[&Series], unit: Unit, shape: Shape) -> Markup {
    let total = |piece: usize| series.iter().filter_map(|one| one.at(piece)).sum::<f64>();
    let highest = match shape {
        Shape::Bars => (0..pieces.count).map(total).fold(0.0, f64::max),
        Shape::Lines => series.iter().flat_map(|one| &one.values).flatten().copied().fold(0.0, f64::max),
    };
    let scale = Scale::of(highest, unit);
    let column_width = (WIDTH - LEFT - RIGHT) / pieces.count as f64;
    let x = |piece: usize| LEFT + column_width * piece as f64;
    let n = |value: f64| format!("{value:.1}");
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(caption) {
            @for tick in &scale.ticks {
                line.grid-line x1=(n(LEFT)) x2=(n(WIDTH - RIGHT)) y1=(n(scale.y(*tick))) y2=(n(scale.y(*tick))) {}
                text.y x=(n(LEFT - 6.0)) y=(n(scale.y(*tick) + 3.5)) { (unit.short(*tick)) }
            }
            @for (piece, label) in labels(pieces) {
                line.tick x1=(n(x(piece))) x2=(n(x(piece))) y1=(n(HEIGHT - BOTTOM)) y2=(n(HEIGHT - BOTTOM + 4.0)) {}
                text.x x=(n(x(piece))) y=(n(HEIGHT - 7.0)) { (label) }
            }
            @match shape {
                Shape::Bars => {
                    @for one in stacked(pieces, series) {
                        rect.(one.colour) x=(n(x(one.piece) + column_width * 0.1)) width=(n(column_width * 0.8))
                            y=(n(scale.y(one.to))) height=(n(scale.y(one.from) - scale.y(one.to))) {}
                    }
                }
                Shape::Lines => {
                    @let middle = |piece: usize| x(piece) + column_width / 2.0;
                    // In reverse, so that the first series is on top.
                    @for one in series.iter().rev() {
                        path.line.(one.colour) d=(path(one, middle, |value| scale.y(value))) {}
                        @for (piece, value) in isolated(one) {
                            circle.dot.(one.colour) cx=(n(middle(piece))) cy=(n(scale.y(value))) r="2.5" {}
                        }
                    }
                }
            }
            // Tooltips cover the whole column, even if its bar is thin.
            @for piece in 0..pieces.count {
                rect.hit x=(n(x(piece))) y=(n(TOP)) width=(n(column_width)) height=(n(HEIGHT - TOP - BOTTOM)) {
                    title { (describe(pieces, series, piece, unit)) }
                }
            }
        }
    }
}

struct Bar {
    piece: usize,
    colour: &'static str,
    from: f64,
    to: f64,
}

fn stacked(pieces: &Pieces, series: &[&Series]) -> Vec<Bar> {
    let mut bars = Vec::new();
    for piece in 0..pieces.count {
        let mut from = 0.0;
        for one in series {
            let value = one.at(piece).unwrap_or(0.0);
            if value > 0.0 {
                bars.push(Bar { piece, colour: one.colour, from, to: from + value });
            }
            from += value;
        }
    }
    bars
}

/// Returns values without neighbours, through which no line is drawn.
fn isolated(series: &Series) -> Vec<(usize, f64)> {
    let neighbours = |piece: usize| piece.checked_sub(1).and_then(|before| series.at(before)).or(series.at(piece + 1));
    (0..series.values.len())
        .filter_map(|piece| Some((piece, series.at(piece)?)))
        .filter(|(piece, _)| neighbours(*piece).is_none())
        .collect()
}

/// Returns the path of a line through the values, with gaps where values are missing.
fn path(series: &Series, x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut command = 'M';
    for (piece, value) in series.values.iter().enumerate() {
        if let Some(value) = value {
            path.push_str(&format!("{command}{:.1} {:.1}", x(piece), y(*value)));
        }
        command = if value.is_some() { 'L' } else { 'M' };
    }
    path
}

fn describe(pieces: &Pieces, series: &[&Series], piece: usize, unit: Unit) -> String {
    let values = series.iter().filter_map(|one| Some(format!("{}: {}", one.name, unit.long(one.at(piece)?))));
    let values: Vec<String> = values.collect();
    let values = if values.is_empty() { "no runs".into() } else { values.join(", ") };
    format!("{} UTC\n{values}", when(pieces, piece))
}

/// Formats the time span of a piece.
fn when(pieces: &Pieces, piece: usize) -> String {
    let (from, to) = (pieces.at(piece), pieces.at(piece + 1));
    match pieces.step.num_seconds() {
        ..86_400 => format!("{}–{}", from.format("%-d %b %H:%M"), to.format("%H:%M")),
        86_400 => from.format("%-d %b").to_string(),
        _ => format!("{}–{}", from.format("%-d %b"), (to - chrono::TimeDelta::days(1)).format("%-d %b")),
    }
}

/// Returns labels for the time axis, spaced so that they do not overlap.
fn labels(pieces: &Pieces) -> Vec<(usize, String)> {
    let window = pieces.step.num_seconds() * pieces.count as i64;
    let every = round_times(window);
    let format = |time: DateTime<Utc>| match every {
        86_400.. => time.format("%-d %b").to_string(),
        _ if time.timestamp().rem_euclid(86_400) == 0 => time.format("%-d %b").to_string(),
        _ => time.format("%H:%M").to_string(),
    };
    let label = |piece: usize| {
        let time = pieces.at(piece);
        // Leave space for half of the text at the right end.
        let inside = piece as f64 / pieces.count as f64 <= 0.95;
        (inside && time.timestamp().rem_euclid(every) == 0).then(|| (piece, format(time)))
    };
    (0..pieces.count).filter_map(label).collect()
}

fn table(caption: &str, pieces: &Pieces, series: &[&Series], unit: Unit) -> Markup {
    html! {
        table {
            caption.hidden { (caption) }
            thead { tr { th scope="col" { "Time (UTC)" } @for one in series { th.number scope="col" { (one.name) } } } }
            tbody {
                @for piece in (0..pieces.count).filter(|piece| series.iter().any(|one| one.at(*piece).is_some_and(|value| value > 0.0))) {
                    tr {
                        th scope="row" { (when(pieces, piece)) }
                        @for one in series { td.number { (one.at(piece).map_or_else(|| "–".into(), |value| unit.long(value))) } }
                    }
                }
            }
        }
    }
}
