//! Keys and names of older configurations, which runs and checkpoints keep: they are read as those that replaced them.

use toml::{Table, Value};

use super::Stage;

/// Older keys and what replaced them.
const RENAMED: [(&str, &str); 6] = [
    ("train.start_from", "train.init_from"),
    ("train.cut_every", "train.decay_every_epochs"),
    ("train.cut_factor", "train.decay_factor"),
    ("imagine.words", "imagine.caption"),
    ("imagine.pictures", "imagine.image"),
    ("look.sentence.max_words", "data.max_tokens"),
];

/// The former name of a stage that had another one; it is still read.
pub fn former_stage_name(stage: Stage) -> Option<&'static str> {
    (stage == Stage::I2tT2i).then_some("joint")
}

/// The key that replaced `key`, or that lies in a table that was renamed; `key` itself where it is not an older one.
pub(super) fn update_key(key: &str) -> String {
    for (old, new) in RENAMED {
        match key.strip_prefix(old) {
            Some(rest) if rest.is_empty() || rest.starts_with('.') => return format!("{new}{rest}"),
            _ => {}
        }
    }
    key.to_owned()
}

/// Renames the older keys of a configuration. A table that has both an older key and its new one keeps both, and is refused
/// when it is read: nobody can say which one counts.
pub(crate) fn update_table(config: &mut Table) {
    for (old, new) in RENAMED {
        let ((old_table, old), (new_table, new)) =
            (old.rsplit_once('.').expect("two parts"), new.rsplit_once('.').expect("two parts"));
        if table_at(config, new_table).is_some_and(|table| table.contains_key(new)) {
            continue;
        }
        let Some(value) = table_at(config, old_table).and_then(|table| table.remove(old)) else { continue };
        let table = config.entry(new_table).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(table) = table {
            table.insert(new.to_owned(), value);
        }
    }
}

/// The table of this dotted name.
fn table_at<'a>(config: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    name.split('.').try_fold(config, |table, part| table.get_mut(part)?.as_table_mut())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;

    const OLD: &str = "[train]\nstart_from = \"a\"\ncut_every = 3\ncut_factor = 0.5\nstage = \"joint\"\n\
                       [imagine.words]\nhidden = 7\n[imagine.pictures]\nnoise_dim = 5\n";

    #[test]
    fn older_files_and_overrides_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.toml");
        std::fs::write(&path, OLD).unwrap();
        let set = ["train.cut_every=4", "imagine.words.max_words=9"].map(String::from);
        let config = RunConfig::load(Some(&path), &set).unwrap();
        assert_eq!((config.train.init_from.as_deref(), config.train.decay_every_epochs), (Some("a"), 4));
        assert_eq!((config.train.decay_factor, config.imagine.image.noise_dim), (0.5, 5));
        assert_eq!((config.imagine.caption.hidden, config.imagine.caption.max_words), (7, 9));
        let written = config.to_toml();
        assert!(
            ["start_from", "cut_", "words]", "pictures]", "joint"].iter().all(|old| !written.contains(old)),
            "{written}"
        );
    }

    #[test]
    fn both_names_of_a_key_are_refused() {
        let mut table: Table = "[train]\ncut_every = 3\ndecay_every_epochs = 4".parse().unwrap();
        update_table(&mut table);
        assert!(RunConfig::from_table(table, "test").unwrap_err().to_string().contains("cut_every"));
    }

    /// Runs of before there was a default cut have 0 there: theirs stay whole.
    #[test]
    fn a_key_may_have_moved_to_another_table() {
        let read = |text: &str| {
            let text = super::super::ConfigText { name: "test".into(), text: text.into() };
            RunConfig::parse(Some(&text), &[]).unwrap().data
        };
        assert_eq!(read("[look.sentence]\nmax_words = 0\n").max_tokens, 0);
        let both = read("[data]\nmin_count = 2\n[look.sentence]\nmax_words = 7\n");
        assert_eq!((both.min_count, both.max_tokens, read("").max_tokens), (2, 7, 60));
        let set = RunConfig::load(None, &["look.sentence.max_words=9".into()]).unwrap();
        assert_eq!(set.data.max_tokens, 9);
    }

    #[test]
    fn former_names_of_stages_are_read() {
        let former = former_stage_name(Stage::I2tT2i).unwrap();
        assert_eq!(toml::Value::from(former).try_into::<Stage>().unwrap(), Stage::I2tT2i);
        assert_eq!(former_stage_name(Stage::Match), None);
    }

    #[test]
    fn only_whole_keys_are_renamed() {
        assert_eq!(update_key("imagine.words_x"), "imagine.words_x");
        assert_eq!(update_key("imagine.words.hidden"), "imagine.caption.hidden");
    }
}
