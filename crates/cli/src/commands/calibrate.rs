//! `gxn calibrate`

use anyhow::Result;
use gxn::encoder::Encoder;
use gxn::retrieve::{Calibration, CalibrationFigures, Relevance};
use gxn_base::Remedy;

use crate::args::{CalibrateArgs, ReportFormat};
use crate::commands::{encode, open_for, report_dropped, split_of};
use crate::exit::ExitCode;
use crate::interrupt::stop_flag;
use crate::output::{machine_line, print};
use crate::progress::ProgressLine;
use gxn_base::words::counted;

/// Fits and saves a calibration, or measures the saved one.
pub fn calibrate(args: &CalibrateArgs) -> Result<ExitCode> {
    machine_line(args.device.device)?;
    stop_flag()?;
    let encoder = Encoder::load_on(&args.model, &args.device.open()?)?.with_feature_cache()?;
    let dataset = open_for(&encoder, &args.source, &args.reading)?;
    let encoded = |split: &str| encode::with_progress(&encoder, &dataset, Some(split_of(split)), None);
    let Some(measured) = &args.measure else {
        let encoded = encoded(&args.split)?;
        report_dropped(&encoded.dropped);
        let line = ProgressLine::of("calibrating");
        let file =
            Calibration::fit(&encoder, &encoded, &dataset, relevance(&args.relevance), &line)?.save(&args.model)?;
        let [images, captions] = [counted(encoded.images.count, "image"), counted(encoded.captions.count, "caption")];
        eprintln!("fitted on {images} and {captions}");
        print(&format!("{}\n", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    };
    let Some(calibration) = Calibration::load(&args.model, &encoder)? else {
        let error = gxn_base::Error::not_found("the calibration of the model", "none", "one to measure");
        return Err(error.with_remedy(Remedy::Calibrate).into());
    };
    let report = calibration.measure(&encoded(measured)?, &dataset);
    match args.format {
        ReportFormat::Json => print(&format!("{:#}\n", serde_json::to_value(report)?))?,
        ReportFormat::Text => {
            for (name, figures) in [("text → image", report.text_to_image), ("image → text", report.image_to_text)]
            {
                print(&text(name, &figures))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `own`, `verbatim` or `near`, as the command line has checked.
fn relevance(name: &str) -> Relevance {
    match name {
        "own" => Relevance::Own,
        "near" => Relevance::Near,
        _ => Relevance::Verbatim,
    }
}

fn text(name: &str, figures: &CalibrationFigures) -> String {
    let CalibrationFigures { queries, gallery, .. } = figures;
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    format!(
        "{name}: {queries} queries among {gallery} items\n  best hits: relevant {}, estimated {}, calibration error {:.3} \
         ({:.3} over the ten best)\n  \"nothing matches\": {} of queries without a match, {} of queries with one\n",
        percent(figures.precision_at_1),
        percent(figures.mean_relevance_at_1),
        figures.ece_at_1,
        figures.ece_at_10,
        percent(figures.none_without_answer),
        percent(figures.none_with_answer),
    )
}
