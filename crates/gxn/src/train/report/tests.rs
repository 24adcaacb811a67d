//! Pages of runs that were written by hand.

use super::*;

const LOG: &str = r#"{"step":1,"epoch":1,"loss":0.5,"grad_norm":1.0,"lr":0.001,"caption":{"loss":2.0,"reward":0.5}}
{"step":2,"epoch":1,"loss":0.25,"grad_norm":1.5,"lr":0.001,"caption":{"loss":1.0}}
{"step":2,"alarm":"the loss <stands> at 0.25"}
{"step":4,"alarm":"the loss <stands> at 0.2"}
{"step":4,"alarm":"another"}
{"step":2,"finished_epoch":1,"mean_loss":0.375,"val":{"rsum":120.0,"i2t_r1":10.0,"t2i_r1":12.5},"seconds":1.0}
{"step":4,"finished_epoch":2,"mean_loss":null,"val":{"rsum":90.0,"i2t_r1":5.0,"t2i_r1":7.0},"seconds":1.0}
{"step":5,"lo"#;

#[test]
fn a_run_becomes_a_page_that_loads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("<mine>");
    std::fs::create_dir_all(run.join("samples")).unwrap();
    std::fs::write(run.join("log.jsonl"), LOG).unwrap();
    std::fs::write(run.join("config.toml"), "seed = 1 # <b>\n").unwrap();
    std::fs::write(run.join("samples/epoch_001.png"), "a sheet").unwrap();
    std::fs::write(run.join("samples/notes.txt"), "no sheet").unwrap();
    let page = run_page(&run, Err("not measured <here>")).unwrap();
    for part in [
        "Training of &lt;mine&gt;",
        "2 steps, 2 epochs; highest val rsum 120.0, mean recall (mR) 20.0, after epoch 1; 1 line of the log cannot be read",
        "<tr class=\"best\"><td>1</td><td>2</td><td>0.3750</td><td>10.0</td><td>–</td>",
        "<li>after step 2 (2 times, last after step 4): the loss &lt;stands&gt; at 0.2</li>\n<li>after step 4: another</li>",
        "Validation: rsum",
        "reward",
        "not measured &lt;here&gt;",
        "<img src=\"data:image/png;base64,YSBzaGVldA==\" alt=\"epoch 001\">",
        "There is no checkpoint yet.",
        "# &lt;b&gt;",
    ] {
        assert!(page.contains(part), "{part} not in {page}");
    }
    // Loss, rsum, recall, learning rate, gradient, captions; no spread was measured.
    assert_eq!((page.matches("<svg").count(), page.matches("<img").count()), (6, 1));
    assert!(!page.contains("{{") && !page.contains("<script") && !page.contains("src=\"/"), "{page}");
    std::fs::write(run.join("log.jsonl"), "").unwrap();
    assert!(run_page(&run, Err("")).unwrap_err().to_string().contains("found no step"));
}

#[test]
fn a_checkpoint_belongs_to_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().canonicalize().unwrap().join("mine");
    let checkpoint = run.join("checkpoints/step_8");
    std::fs::create_dir_all(&checkpoint).unwrap();
    assert!(run_folder(&run).unwrap_err().to_string().contains("no log.jsonl"));
    std::fs::write(run.join("log.jsonl"), "").unwrap();
    assert_eq!(run_folder(&run).unwrap(), run);
    assert_eq!(run_folder(&checkpoint).unwrap(), run);
    assert!(run_folder(&run.join("none")).unwrap_err().to_string().contains("nothing"));
}
