//! Draws the mean delays as bars, with a panel for each set of traces.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The bars of one set of traces, in minutes.
pub struct Panel {
    pub title: String,
    pub bars: Vec<(&'static str, f64)>,
}

const LABELS: i32 = 150;
const PANEL: i32 = 260;
const BAR: i32 = 18;
const STEP: i32 = 28;
const HEAD: i32 = 104;
const FOOT: i32 = 16;

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const FAINT: RGBColor = RGBColor(0x6e, 0x77, 0x81);
const OURS: RGBColor = RGBColor(0x1a, 0x7f, 0x5a);
const KNOWN: RGBColor = RGBColor(0x24, 0x29, 0x2f);
const OTHERS: RGBColor = RGBColor(0xb6, 0xc2, 0xcf);

/// Returns the SVG as text. The other bars of a panel are relative to its first. `terms` is one line on the common parameters.
pub fn draw(panels: &[Panel], terms: &str) -> anyhow::Result<String> {
    let rows = panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0) as i32;
    let size = ((LABELS + PANEL * panels.len() as i32 + 10) as u32, (HEAD + STEP * rows + FOOT) as u32);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        let title = "Mean minutes from a change to the poll that finds it, at the same number of calls";
        write(&area, title, (14, 24), 17, &INK, HPos::Left)?;
        write(&area, terms, (14, 46), 12, &FAINT, HPos::Left)?;
        for (row, (rule, _)) in panels.first().map_or(&[][..], |panel| &panel.bars).iter().enumerate() {
            write(&area, rule, (LABELS - 10, middle(row)), 14, &INK, HPos::Right)?;
        }
        for (at, panel) in panels.iter().enumerate() {
            draw_panel(&area, panel, LABELS + PANEL * at as i32)?;
        }
        area.present()?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_panel(area: &Area, panel: &Panel, left: i32) -> anyhow::Result<()> {
    let longest = panel.bars.iter().map(|(_, minutes)| *minutes).fold(f64::MIN_POSITIVE, f64::max);
    // Leave space for the figures next to the longest bar.
    let width = f64::from(PANEL - 110);
    let end = |minutes: f64| left + (minutes / longest * width).round() as i32;
    write(area, &panel.title, (left, HEAD - 24), 14, &INK, HPos::Left)?;
    let Some((_, optimum)) = panel.bars.first() else { return Ok(()) };
    for (row, (rule, minutes)) in panel.bars.iter().enumerate() {
        let colour = match *rule {
            "rates known" => KNOWN,
            rule if rule.starts_with("syncctl") => OURS,
            _ => OTHERS,
        };
        let top = middle(row) - BAR / 2;
        area.draw(&Rectangle::new([(left, top), (end(*minutes), top + BAR)], colour.filled()))?;
        let figures = format!("{minutes:.1} min, {:.2}x", minutes / optimum);
        // To the right of both the bar and the dashed line.
        let figures_x = end(minutes.max(*optimum)) + 6;
        write(area, &figures, (figures_x, middle(row)), 12, &FAINT, HPos::Left)?;
    }
    let (x, bottom) = (end(*optimum), middle(panel.bars.len()) - STEP / 2);
    for top in (HEAD - 8..bottom).step_by(8) {
        area.draw(&PathElement::new(vec![(x, top), (x, top + 4)], FAINT))?;
    }
    Ok(())
}

fn middle(row: usize) -> i32 {
    HEAD + STEP * row as i32 + STEP / 2
}

fn write(area: &Area, text: &str, at: (i32, i32), size: i32, colour: &RGBColor, side: HPos) -> anyhow::Result<()> {
    let style = TextStyle::from(("sans-serif", size)).color(colour).pos(Pos::new(side, VPos::Center));
    area.draw_text(text, &style, at)?;
    Ok(())
}
