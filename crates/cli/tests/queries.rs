//! What the arguments of `gxn search` mean, and what is reported where they may mean something else.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::fixture::{Ran, cosine, gxn, gxn_in, text, tiny_dataset, works};
use crate::indexing::indexed_photos;
use crate::snapshots::{refused, seen};

/// The tiny dataset with its index beside it, in a folder of its own.
fn dataset() -> &'static Path {
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    DATA.get_or_init(|| {
        let source = tiny_dataset(&cosine().folder.with_extension("queries"));
        works(["index", text(&source), "--model", text(&cosine().folder)]);
        source
    })
}

fn folder() -> &'static Path {
    dataset().parent().unwrap()
}

fn search(args: &[&str]) -> Ran {
    gxn([&["search", "-C", text(folder())], args].concat())
}

#[test]
fn a_folder_that_is_named_makes_words_of_every_argument() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("patch")).unwrap();
    let index = folder().join(".gxn");
    let words = gxn_in(outside.path(), ["search", "red", "patch", "-C", text(folder()), "-f"]);
    assert_eq!((words.code, words.stderr.as_str()), (0, ""));
    assert_eq!(words.stdout, search(&["red patch", "-f"]).stdout);
    assert_eq!(gxn_in(outside.path(), ["search", "red", "patch", "--index", text(&index), "-f"]).stdout, words.stdout);
    // Without one, the folder of that name is searched, and that is reported.
    let taken = gxn_in(outside.path(), ["search", "red", "patch"]);
    assert_eq!(taken.code, 1);
    seen!(taken.stderr);
}

/// The searches of a page, its comments and pipes cut off.
fn searches(page: &str) -> Vec<String> {
    let lines = page.lines().map(|line| line.split("  #").next().unwrap().split(" | ").next().unwrap().trim());
    lines.filter(|line| line.starts_with("gxn search ")).map(str::to_owned).collect()
}

/// `command` for small photos and a model that is not calibrated.
fn made_small(command: &str) -> String {
    let command = command.replace(" --min-relevance 0.5", "").replace("MY_DATA", "set/MY_DATA.json");
    let Some((before, rest)) = command.split_once("--where '") else { return command };
    let (_, after) = rest.split_once('\'').unwrap();
    format!("{before}--where 'width>=10'{after}")
}

/// As they stand there; MY_DATA is a file.
#[test]
fn the_searches_of_the_readme_and_the_guide_work() {
    let commands = [searches(include_str!("../../../README.md")), searches(include_str!("../../../docs/guide.md"))];
    assert!(commands.iter().all(|commands| commands.len() >= 4), "{commands:?}");
    let work = tempfile::tempdir().unwrap();
    let photos = indexed_photos(work.path());
    std::fs::rename(&photos, work.path().join("MY_PHOTOS")).unwrap();
    let source = tiny_dataset(&work.path().join("set"));
    std::fs::rename(source, work.path().join("set/MY_DATA.json")).unwrap();
    works(["index", text(&work.path().join("set/MY_DATA.json")), "--model", text(&cosine().folder)]);
    for name in ["like-this.jpg", "pool.jpg"] {
        crate::fixture::patch([9, 9, 200], 1).save(work.path().join(name)).unwrap();
    }
    for command in commands.concat() {
        let script = made_small(&command).replacen("gxn ", "\"$0\" ", 1);
        let output = std::process::Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_gxn")])
            .current_dir(work.path())
            .output()
            .unwrap();
        let ran = Ran::of(output);
        // The tiny model knows few of their words.
        let is_unknown = ran.code == 3 && ran.stderr.contains("the model has never seen");
        assert!(ran.code == 0 && !ran.lines().is_empty() || is_unknown, "{command}: {ran:?}");
    }
}

#[test]
fn the_file_of_a_dataset_is_where_to_search() {
    let source = dataset();
    let hits = works(["search", "a red patch", text(source), "--target", "text", "-t", "3"]);
    assert_eq!((hits.lines().len(), hits.stderr.as_str()), (3, ""));
    assert_eq!(works(["search", "a red patch", "-C", text(source), "--target", "text", "-t", "3"]).stdout, hits.stdout);
    let beside = gxn_in(folder(), ["search", "red", "tiny.json"]);
    assert_eq!(beside.code, 0);
    seen!(beside.stderr);
    let elsewhere = tempfile::tempdir().unwrap();
    let lone = elsewhere.path().join("lone.csv");
    std::fs::copy(source, &lone).unwrap();
    refused!(["search", "a red patch", text(&lone)]);
}

#[test]
fn a_weight_is_a_number_before_words_and_is_reported() {
    let time = search(&["10:30 at the station", "-f"]);
    assert!(!time.stderr.contains("weight"), "{}", time.stderr);
    assert!(time.stderr.contains("never seen: 10"), "the time is among the words: {}", time.stderr);
    let weighted = search(&["2:red", "-", "0.5:the top left is blue", "-f"]);
    assert_eq!(weighted.code, 0);
    seen!(weighted.stderr);
    assert_eq!(search(&["\"2:red\"", "-f"]).stderr, "note: the model has never seen: 2\n");
    refused!(["search", "-C", text(folder()), "--add=-2:blue", "red"]);
}

#[test]
fn a_query_that_asks_for_nothing_finds_nothing() {
    let mut said = String::new();
    for query in
        [&["?!…"][..], &["🙂", "-", "…"], &["red", "-", "red"], &["red", "+", "2:blue", "-", "red", "-", "2:Blue!"]]
    {
        let ran = search(query);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{query:?}");
        said += ran.stderr.lines().last().unwrap();
        said += "\n";
    }
    seen!(said);
    // What is left is asked for.
    let red = search(&["red", "--format", "jsonl"]).stdout;
    let with_rest = search(&["red", "+", "blue", "-", "blue", "-", "🙂", "--format", "jsonl"]);
    assert_eq!(with_rest.stdout, red);
    assert_eq!(with_rest.stderr, "note: left out, as there is no word in it: 🙂\n");
    let image = folder().join("images/red_0.png");
    assert_eq!(search(&[text(&image), "-", text(&image)]).code, 3);
}

#[test]
fn a_word_is_reported_once_however_often_it_comes() {
    let words = "xyzzy zeppelin ".repeat(1000);
    let ran = search(&[&format!("red {words}"), "-f"]);
    assert_eq!(ran.stderr, "note: the model has never seen: xyzzy, zeppelin\n");
    let many: String = (0..2000).map(|number| format!("w{number} ")).collect();
    let ran = search(&[&format!("red {many}"), "-f"]);
    assert_eq!(ran.stderr, "note: the model has never seen: w0, w1, w2, w3, w4 and 1995 more\n");
}

#[test]
fn a_split_is_a_column() {
    let of_split = |split: &str| search(&["red", "-f", "-t", "99", "--where", &format!("split={split}")]).lines().len();
    assert_eq!([of_split("train"), of_split("val"), of_split("test")], [16, 4, 4]);
    let captions = search(&["red", "--target", "text", "-t", "99", "--where", "split=val"]);
    assert_eq!(captions.lines().len(), 8);
}

#[test]
fn a_number_is_compared_with_numbers() {
    let index = folder().join(".gxn");
    for filter in ["width>1o0", "not mtime>2023-02-30", "mtime<yesterday", "imgid>=1o0", "not imgid=*"] {
        refused!(["search", "red", "--index", text(&index), "--where", filter]);
    }
    assert_eq!(search(&["red", "-f", "--where", "imgid>=20"]).lines().len(), 4);
}

/// Five people gave one image the same caption.
#[test]
fn equal_captions_of_one_image_are_one_hit() {
    let work = tempfile::tempdir().unwrap();
    let table = work.path().join("t.csv");
    let mut rows = String::from("image,caption\n");
    for (image, caption, times) in [("a.png", "a red patch", 5), ("b.png", "a red patch", 1), ("b.png", "blue", 2)] {
        crate::fixture::patch([200, 9, image.as_bytes()[0]], 1).save(work.path().join(image)).unwrap();
        rows += &format!("{image},{caption}\n").repeat(times);
    }
    std::fs::write(&table, rows).unwrap();
    let ran = works(["index", text(&table), "--model", text(&cosine().folder)]);
    assert!(ran.stderr.contains("and 8 captions"), "{}", ran.stderr);
    let hits = works(["search", "red", text(&table), "--target", "text", "--format", "jsonl"]).json_lines();
    let counts: Vec<_> = hits.iter().map(|hit| (hit["image_id"].as_str().unwrap(), hit["copies"].as_u64())).collect();
    assert_eq!(counts.len(), 3);
    assert!(counts.contains(&("a.png", Some(5))) && counts.contains(&("b.png", Some(2))), "{counts:?}");
    let lines = works(["search", "red", text(&table), "--target", "text"]);
    assert_eq!(lines.lines().iter().filter(|line| line.ends_with("  (5 times)")).count(), 1, "{}", lines.stdout);
    // Pages count hits.
    let page = works(["search", "red", text(&table), "--target", "text", "-t", "2", "--offset", "1"]);
    assert_eq!(page.stdout, lines.lines()[1..].iter().map(|line| format!("{line}\n")).collect::<String>());
    assert!(works(["search", "red", text(&table), "--format", "jsonl"]).json_lines()[0].get("copies").is_none());
}

#[test]
fn one_flag_names_the_index_everywhere() {
    let index = folder().join(".gxn");
    for command in ["info", "verify", "compact"] {
        let flag = works(["index", command, "--index", text(&index)]).stdout;
        assert_eq!(works(["index", command, text(&index)]).stdout, flag);
    }
    assert_eq!(gxn(["index", "info"]).code, 2);
    assert_eq!(gxn(["index", "info", text(&index), "--index", text(&index)]).code, 2);
}
