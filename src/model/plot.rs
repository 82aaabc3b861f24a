//! Plots as SVG text.

use plotters::prelude::*;

use super::job::Results;
use super::plan::Layout;

const SIZE: (u32, u32) = (760, 420);

/// Colour of a layout in every plot.
fn colour(l: Layout) -> RGBColor {
    match l {
        Layout::Central => RGBColor(190, 40, 40),
        Layout::Node => RGBColor(40, 90, 180),
        Layout::Core => RGBColor(30, 130, 60),
    }
}

/// A line for each layout over the number of cores, both axes as given.
///
/// # Errors
/// The drawing library's message.
pub fn lines(
    r: &Results,
    title: &str,
    unit: &str,
    mode: super::bench::Mode,
    value: impl Fn(&super::point::Measured, &super::point::Point) -> f64,
) -> Result<String, String> {
    let value = |p: &super::point::Point| p.mode(mode).map_or(0.0, |m| value(m, p));
    let mut svg = String::new();
    draw(&mut svg, r, title, unit, value).map_err(|e| format!("cannot draw '{title}': {e}"))?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    r: &Results,
    title: &str,
    unit: &str,
    value: impl Fn(&super::point::Point) -> f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let values: Vec<f64> = r.points.iter().map(&value).filter(|v| *v > 0.0).collect();
    let low = values.iter().copied().fold(f64::MAX, f64::min) * 0.8;
    let high = values.iter().copied().fold(1.0, f64::max) * 1.25;
    let most = r.cores().last().copied().unwrap_or(1);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0u32..most + 1, (low..high).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("cores")
        .y_desc(unit)
        .light_line_style(WHITE)
        .draw()?;
    for l in r.layouts() {
        let c = colour(l);
        let mut line: Vec<(u32, f64)> = r
            .points
            .iter()
            .filter(|p| p.layout == l && value(p) > 0.0)
            .map(|p| (p.cores, value(p)))
            .collect();
        line.sort_unstable_by_key(|p| p.0);
        let dots = line.clone();
        chart
            .draw_series(LineSeries::new(line, c.stroke_width(2)))?
            .label(l.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], c.stroke_width(2)));
        chart.draw_series(dots.into_iter().map(|p| Circle::new(p, 3, c.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
