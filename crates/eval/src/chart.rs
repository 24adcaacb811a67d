//! Line charts as SVG: self-contained, without script.

use plotters::prelude::*;

use gxn_base::{Error, Result};

const SIZE: (u32, u32) = (720, 320);
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
    RGBColor(90, 90, 90),
];

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points from left to right; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A chart of lines as an SVG element, with `x` and `y` as the names of its axes. The y axis holds all points.
///
/// # Errors
/// When there is no finite point, or the chart cannot be drawn.
pub fn line_chart(title: &str, x: &str, y: &str, lines: &[Line]) -> Result<String> {
    let lines: Vec<Line> = lines.iter().map(finite).filter(|line| !line.points.is_empty()).collect();
    if lines.is_empty() {
        return Err(Error::invalid(format!("chart of {title}"), "no point", "at least one finite number"));
    }
    let mut svg = String::new();
    draw(&mut svg, [title, x, y], &lines)
        .map_err(|error| Error::invalid(format!("chart of {title}"), error.to_string(), "numbers that can be drawn"))?;
    Ok(svg)
}

fn finite(line: &Line) -> Line {
    let points = line.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    Line { name: line.name.clone(), points }
}

fn draw(svg: &mut String, [title, x, y]: [&str; 3], lines: &[Line]) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let (across, up) = (extent(points().map(|(x, _)| x), 0.0), extent(points().map(|(_, y)| y), 0.05));
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(across, up)?;
    chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(WHITE).draw()?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(line.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    if lines.len() > 1 {
        let place = SeriesLabelPosition::LowerRight;
        chart.configure_series_labels().position(place).background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    }
    drop(chart);
    root.present()?;
    Ok(())
}

/// From the least to the greatest value with a margin, a share of it; never empty. Values that differ by rounding alone are
/// one.
fn extent(values: impl Iterator<Item = f64>, margin: f64) -> std::ops::Range<f64> {
    let (least, greatest) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let span = greatest - least;
    if span > least.abs().max(greatest.abs()) * 1e-9 {
        return least - margin * span..greatest + margin * span;
    }
    let around = least.abs().max(1.0) * 0.5;
    least - around..greatest + around
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)]) -> Line {
        Line { name: name.into(), points: points.to_vec() }
    }

    #[test]
    fn a_chart_has_a_line_for_each_name_and_no_script() {
        let lines = [line("loss <a>", &[(0.0, 2.0), (1.0, 1.0)]), line("val", &[(0.0, f64::NAN), (1.0, 3.0)])];
        let svg = line_chart("Loss", "step", "loss", &lines).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        assert!(svg.contains("loss &lt;a&gt;") && svg.contains("Loss") && svg.contains("step"), "{svg}");
        assert!(!svg.contains("script") && !svg.contains("NaN") && !svg.contains("href"), "{svg}");
    }

    #[test]
    fn one_point_and_equal_values_can_be_drawn_and_nothing_cannot() {
        assert!(line_chart("a", "x", "y", &[line("b", &[(1.0, 0.0)])]).is_ok());
        assert!(line_chart("a", "x", "y", &[line("b", &[(1.0, 7.0), (2.0, 7.0)])]).is_ok());
        assert!(line_chart("a", "x", "y", &[line("b", &[(1.0, 0.5), (2.0, 0.500_000_000_000_000_1)])]).is_ok());
        assert!(line_chart("a", "x", "y", &[line("b", &[(1.0, 0.5), (2.0, 0.500_000_001)])]).is_ok());
        let error = line_chart("a", "x", "y", &[line("b", &[(1.0, f64::INFINITY)])]).unwrap_err().to_string();
        assert_eq!(error, "chart of a: found no point, expected at least one finite number");
        assert_eq!(extent([2.0, 4.0].into_iter(), 0.5), 1.0..5.0);
        assert_eq!(extent([0.0].into_iter(), 0.5), -0.5..0.5);
        assert!(extent([4.0, 4.0 + 4.0 * f64::EPSILON].into_iter(), 0.5).contains(&5.0));
    }
}
