//! [`EmptyFolders`]: folders that had images of an index and are empty now, as where a disk is not mounted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gxn_base::words::counted;
use gxn_data::Dropped;

/// Empty folders with how many images of the index were in each.
#[derive(Debug, Default)]
pub(super) struct EmptyFolders {
    /// Every folder that was asked for: images so far, if it is empty.
    counts: BTreeMap<PathBuf, Option<usize>>,
}

impl EmptyFolders {
    /// Whether the file, which is not there, was in a folder that is empty now, and counts it there.
    pub fn had(&mut self, file: &Path) -> bool {
        let Some(folder) = file.ancestors().skip(1).find(|folder| folder.exists()) else { return false };
        if !self.counts.contains_key(folder) {
            self.counts.insert(folder.to_path_buf(), is_empty_folder(folder).then_some(0));
        }
        let count = self.counts.get_mut(folder).and_then(Option::as_mut);
        count.map(|count| *count += 1).is_some()
    }

    /// One line for each of them.
    pub fn dropped(&self) -> Vec<Dropped> {
        let line = |(folder, count): (&PathBuf, &Option<usize>)| {
            let images = counted((*count)?, "image");
            let reason = format!(
                "an empty folder, where the index has {images}, which stay: mount its disk, or remove the folder if they \
                 are gone"
            );
            Some(Dropped { what: folder.display().to_string(), reason })
        };
        self.counts.iter().filter_map(line).collect()
    }
}

/// Whether nothing at all is in the folder.
pub(super) fn is_empty_folder(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_anything_may_be_that_of_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("disk")).unwrap();
        std::fs::create_dir_all(at("used")).unwrap();
        std::fs::write(at("used/b.jpg"), "").unwrap();
        let mut empty = EmptyFolders::default();
        assert!(empty.had(&at("disk/a.jpg")) && empty.had(&at("disk/2024/b.jpg")));
        assert!(!empty.had(&at("used/a.jpg")) && !empty.had(&at("gone/a.jpg")) && !empty.had(Path::new("no-such.jpg")));
        let [line] = &empty.dropped()[..] else { panic!("{:?}", empty.dropped()) };
        assert!(line.what.ends_with("disk") && line.reason.contains("the index has 2 images, which stay"), "{line:?}");
    }
}
