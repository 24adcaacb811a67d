//! `gxn imagine`, images in evaluation, and `gxn ablate`.

use crate::fixture::{CONFIG, data, paper, speaking, text, works};
use crate::snapshots::{refused, seen};

/// A plan with every stage of the paper on the tiny dataset.
fn plan(folder: &std::path::Path) -> std::path::PathBuf {
    let stage = |name: &str, start: &str, train: &str| {
        format!("[[stage]]\nname = \"{name}\"\nstart_from = \"{start}\"\ntrain = {{ {train} }}\n")
    };
    let text = [
        format!("[data]\nsource = '{}'\n", text(data())),
        CONFIG.replace("epochs = 2", "epochs = 1\nselect_by = \"last\""),
        "[imagine.caption]\nhidden = 8\nmin_count = 1\n".into(),
        "[imagine.image]\ngenerator_width = 4\ndiscriminator_width = 2\ncondition_dim = 3\nnoise_dim = 3\nlearning_rate = 1e-2\n".into(),
        "[[stage]]\nname = \"look\"\n".into(),
        stage("xe", "look", "stage = \"i2t_xe\""),
        stage("mix", "xe", "stage = \"i2t_mix\""),
        stage("alone", "look", "stage = \"t2i_pretrain\""),
        stage("t2i", "alone", "stage = \"t2i\""),
        stage("joint", "mix", "stage = \"joint\", match_epochs = 1, epochs = 2")
            .replace("start_from = \"mix\"", "start_from = \"mix\"\nmerge_from = \"t2i\""),
    ]
    .concat();
    let path = folder.join("plan.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn an_ablation_runs_every_stage_once_and_its_models_imagine() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, logs) = (plan(folder.path()), folder.path().join("runs"));
    let arguments = ["ablate", text(&plan), "--seeds", "1", "--logs", text(&logs), "--split", "test"];
    let printed = works([&arguments[..], &["--print-plan"]].concat()).stdout;
    seen!(printed);
    let first = works(arguments);
    seen!(first.stdout);
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(logs.join("ablation_test.json")).unwrap()).unwrap();
    let steps = |name: &str| {
        let rows = json["rows"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == name).unwrap()["match_steps"].as_u64().unwrap()
    };
    for name in ["xe", "mix", "t2i", "joint"] {
        assert!(steps(name) > 0);
        assert_eq!(steps(name), steps(&format!("{name}-control")), "{name}");
    }
    assert_eq!((steps("look"), steps("alone")), (0, 0));
    // Nothing is run twice, and the numbers are the same.
    let again = works(arguments);
    assert_eq!(again.stdout, first.stdout);
    assert!(!again.stderr.contains("with seed"), "{}", again.stderr);
    // Runs of another plan are not taken for this one's.
    let changed = [&arguments[..], &["--set", "train.learning_rate=0.5"]].concat();
    refused!(changed);

    let model = logs.join("seed1/joint");
    let out = folder.path().join("pictures");
    let ran = works([
        "imagine",
        text(&model),
        "a red patch",
        "the top left is blue",
        "-n",
        "2",
        "--seed",
        "7",
        "-o",
        text(&out),
    ]);
    assert_eq!(ran.lines().len(), 5, "{ran:?}");
    let read = |name: &str| image::open(out.join(name)).unwrap().to_rgb8();
    assert_eq!(read("imagined_a-red-patch_7.png").dimensions(), (64, 64));
    assert!(read("imagined_a-red-patch_7.png") != read("imagined_a-red-patch_8.png"), "two noises, one image");
    assert_eq!(read("imagined_sheet.png").dimensions(), (2 * 66 + 2, 2 * 66 + 2));
    let about = std::fs::read_to_string(out.join("imagined.json")).unwrap();
    seen!(about);

    let measured = folder.path().join("measured");
    let ran = works(["evaluate", text(&model), text(data()), "--split", "test", "--imagine", text(&measured)]);
    seen!(ran.stdout);
    let found: serde_json::Value =
        serde_json::from_slice(&std::fs::read(measured.join("imagined_pictures.json")).unwrap()).unwrap();
    assert!(found["p"].as_f64().unwrap() > 0.0 && found["images"] == 4, "{found}");
    assert!(found["small_photo"].as_f64().unwrap() <= 1.0, "{found}");
    for figure in ["real_right", "fake_right", "wrong_right", "prefers_own"] {
        let share = found["discriminator"][figure].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share) && (share * 4.0).fract() == 0.0, "{figure} {share}");
    }
    seen!(ran.stdout);
    assert!(measured.join("imagined_sheet.png").is_file());
}

#[test]
fn a_model_without_generator_is_refused_with_what_to_do() {
    refused!(["imagine", text(&paper().folder), "a dog"]);
    refused!(["imagine", text(&speaking().folder), "a dog"]);
}
