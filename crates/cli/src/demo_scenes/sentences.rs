//! Sentences for a [`Scene`]: several grammars, synonyms, and different choices of the facts.

use rand::Rng;
use rand::seq::SliceRandom;

use super::scene::{Arrangement, Ground, Group, Place, Relation, Scene, Shape, Size, Texture, pick};

/// `count` different sentences. Each tells the first group's colour and shape; what else it tells varies.
pub(super) fn describe(scene: &Scene, count: usize, random: &mut impl Rng) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    let mut forms: Vec<usize> = (0..FORMS).collect();
    while sentences.len() < count {
        forms.shuffle(random);
        for &form in &forms {
            let sentence = capital(&sentence(scene, form, random));
            if sentences.len() < count && !sentences.contains(&sentence) {
                sentences.push(sentence);
            }
        }
    }
    sentences
}

const FORMS: usize = 7;

fn sentence(scene: &Scene, form: usize, random: &mut impl Rng) -> String {
    let group = &scene.group;
    let ground = ground(scene, random);
    match &scene.arrangement {
        Arrangement::Alone(place) => {
            let place = self::place(*place, random);
            match form {
                0 => format!("{} {place}.", named(group, true, random)),
                1 => format!("{} on {ground}.", named(group, true, random)),
                2 => format!("{} {} {place} on {ground}.", there(group, random), named(group, false, random)),
                3 => format!("On {ground} {} {}.", be(group), named(group, true, random)),
                4 => format!("{} {place}, drawn on {ground}.", named(group, true, random)),
                5 => format!(
                    "{} with {} {place}.",
                    pick(&["A picture", "An image", "A scene"], random),
                    named(group, true, random)
                ),
                _ => format!("{ground} and {} {place}.", named(group, false, random)),
            }
        }
        Arrangement::Beside(relation, other) => {
            let way = self::relation(*relation, random);
            let back = self::relation(inverse(*relation), random);
            let (first, second) = (named(group, false, random), named(other, false, random));
            match form {
                0 => format!("{first} {way} {second}."),
                1 => format!("{} {first} {way} {second}.", there(group, random)),
                2 => format!("{first} {way} {second} on {ground}."),
                3 if *relation == Relation::Inside => format!("{second} with {first} in it."),
                3 => format!("{second} {back} {first}."),
                4 => format!("On {ground} {} {first} and {second}.", be(group)),
                5 => format!(
                    "{} and {}, the {} {} {way} the other.",
                    named(group, true, random),
                    named(other, true, random),
                    group.colour.word(),
                    if group.count > 1 { "ones" } else { "one" }
                ),
                _ => format!("{ground} behind {first} and {second}."),
            }
        }
    }
}

/// "two small red stars"; the size is told always or in two of three cases.
fn named(group: &Group, with_size: bool, random: &mut impl Rng) -> String {
    let size = match group.size {
        Size::Small => pick(&["small", "little", "tiny"], random),
        Size::Large => pick(&["large", "big", "huge"], random),
    };
    let size = if with_size || pick(&[true, true, false], random) { format!("{size} ") } else { String::new() };
    let rest = format!("{size}{} {}", group.colour.word(), shape(group, random));
    match group.count {
        1 => format!("{} {rest}", article(&rest)),
        2 => format!("{} {rest}", pick(&["two", "a pair of"], random)),
        3 => format!("three {rest}"),
        _ => format!("four {rest}"),
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn shape(group: &Group, random: &mut impl Rng) -> String {
    let word = match group.shape {
        Shape::Circle => pick(&["circle", "disc", "circle"], random),
        Shape::Square => pick(&["square", "box", "square"], random),
        Shape::Ring => pick(&["ring", "hoop", "ring"], random),
        Shape::Cross => pick(&["cross", "plus sign", "cross"], random),
        other => other.word(),
    };
    match (group.count, word) {
        (1, word) => word.to_owned(),
        (_, "box" | "cross") => format!("{word}es"),
        (_, word) => format!("{word}s"),
    }
}

fn ground(scene: &Scene, random: &mut impl Rng) -> String {
    let texture = match scene.texture {
        Texture::Plain => pick(&["plain", "even"], random),
        Texture::Stripes => "striped",
        Texture::Dots => pick(&["dotted", "spotted"], random),
        Texture::Checker => pick(&["checkered", "chequered"], random),
        Texture::Gradient => pick(&["shaded", "fading"], random),
    };
    let colour = match scene.ground {
        Ground::Grey => pick(&["grey", "gray"], random),
        other => other.word(),
    };
    let ground = format!("{texture} {colour} {}", pick(&["background", "ground", "wallpaper"], random));
    format!("{} {ground}", article(&ground))
}

fn place(place: Place, random: &mut impl Rng) -> &'static str {
    match place {
        Place::Centre => pick(&["in the middle", "in the centre"], random),
        Place::Left => pick(&["on the left", "at the left side"], random),
        Place::Right => pick(&["on the right", "at the right side"], random),
        Place::Top => pick(&["at the top", "in the upper part"], random),
        Place::Bottom => pick(&["at the bottom", "in the lower part"], random),
    }
}

fn relation(relation: Relation, random: &mut impl Rng) -> &'static str {
    match relation {
        Relation::LeftOf => pick(&["left of", "to the left of"], random),
        Relation::RightOf => pick(&["right of", "to the right of"], random),
        Relation::Above => pick(&["above", "over"], random),
        Relation::Below => pick(&["below", "under"], random),
        Relation::Inside => pick(&["inside", "within"], random),
    }
}

fn inverse(relation: Relation) -> Relation {
    match relation {
        Relation::LeftOf => Relation::RightOf,
        Relation::RightOf => Relation::LeftOf,
        Relation::Above => Relation::Below,
        Relation::Below => Relation::Above,
        Relation::Inside => Relation::Inside,
    }
}

fn be(group: &Group) -> &'static str {
    if group.count > 1 { "are" } else { "is" }
}

fn there(group: &Group, random: &mut impl Rng) -> &'static str {
    match group.count {
        1 => pick(&["there is", "we see", "it shows"], random),
        _ => pick(&["there are", "we see", "it shows"], random),
    }
}

fn capital(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map_or(String::new(), |first| first.to_uppercase().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Every sentence of every kind of scene tells the first group's colour and shape, and only true relations.
    #[test]
    fn sentences_are_true_and_well_formed() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..400 {
            let scene = Scene::random(&mut random);
            let sentences = describe(&scene, 5, &mut random);
            assert_eq!(sentences.len(), 5);
            for text in &sentences {
                assert!(text.contains(scene.group.colour.word()), "{text}");
                assert!(text.ends_with('.') && text.starts_with(char::is_uppercase), "{text}");
                assert!(!text.contains("  ") && !text.contains(" a o") && !text.contains(" a e"), "{text}");
                let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
                if let Arrangement::Beside(relation, other) = &scene.arrangement {
                    // "A left of B" and "B right of A" are both true; above and inside are not.
                    match relation {
                        Relation::LeftOf | Relation::RightOf => {
                            assert!(!says(&[" above ", " below ", " over ", " inside "]), "{text}");
                            let first = text.to_lowercase().find(scene.group.colour.word());
                            let second =
                                text.find(other.colour.word()).or(text.to_lowercase().find(other.colour.word()));
                            let in_order = first < second || text.contains("the other");
                            let left = says(&["left of"]);
                            if left || says(&["right of"]) {
                                assert_eq!(left, in_order == (*relation == Relation::LeftOf), "{text}: {scene:?}");
                            }
                        }
                        _ => assert!(!says(&["left of", "right of"]), "{text}"),
                    }
                }
            }
        }
    }
}
