//! `gxn score-captions`

use anyhow::Result;
use gxn_eval::{CaptionEvaluation, CaptionResults, ReferenceCaptions, ResultNames};

use crate::args::{ReportFormat, ScoreCaptionsArgs};
use crate::exit::ExitCode;
use crate::hints::flags;
use crate::output::print;

/// Scores a results file against references.
pub fn score_captions(args: &ScoreCaptionsArgs) -> Result<ExitCode> {
    let results = CaptionResults::read(&args.results)?;
    let references = ReferenceCaptions::read(&args.references)?;
    let corpus = args.df.as_deref().map(ReferenceCaptions::read).transpose()?;
    for note in corpus.iter().flat_map(|corpus| &corpus.notes) {
        eprintln!("note: --df: {note}");
    }
    let evaluation = CaptionEvaluation::of(&results, &references, corpus.as_ref())?;
    for note in &evaluation.notes {
        eprintln!("note: {note}");
    }
    if let Some((note, remedy)) = evaluation.too_few_for_cider() {
        eprintln!("note: {note}; {}", flags(&remedy));
    }
    eprintln!("tokens in {:.3} s, scores in {:.3} s", evaluation.tokenise_s, evaluation.score_s);
    if let Some(folder) = &args.output {
        for path in evaluation.write(folder, &ResultNames::of(&args.results))? {
            eprintln!("wrote {}", path.display());
        }
    }
    match args.format {
        ReportFormat::Text => print(&evaluation.text())?,
        ReportFormat::Json => print(&format!("{}\n", serde_json::to_string_pretty(&evaluation.to_json())?))?,
    }
    Ok(ExitCode::SUCCESS)
}
