//! [`Scene`]: the facts that an image shows and its sentences tell.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde_json::{Value, json};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($variant),+ }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

named!(
    /// What is drawn.
    Shape { Circle = "circle", Square = "square", Triangle = "triangle", Star = "star", Ring = "ring", Cross = "cross", Heart = "heart", Diamond = "diamond" }
);
named!(
    /// In which colour.
    Colour { Red = "red", Green = "green", Blue = "blue", Yellow = "yellow", Purple = "purple", Orange = "orange", Black = "black", White = "white" }
);
named!(
    /// The ground's pattern.
    Texture { Plain = "plain", Stripes = "striped", Dots = "dotted", Checker = "checkered", Gradient = "shaded" }
);
named!(
    /// The ground's colour: pale, so that every shape stands out.
    Ground { Grey = "grey", Pink = "pink", Sky = "light blue", Mint = "light green", Sand = "beige" }
);
named!(
    /// How large.
    Size { Small = "small", Large = "large" }
);
named!(
    /// Where a group is.
    Place { Centre = "centre", Left = "left", Right = "right", Top = "top", Bottom = "bottom" }
);
named!(
    /// How the first group lies to the second.
    Relation { LeftOf = "left of", RightOf = "right of", Above = "above", Below = "below", Inside = "inside" }
);

/// Several equal shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub shape: Shape,
    pub colour: Colour,
    pub size: Size,
    /// 1 to 4.
    pub count: usize,
}

/// One group in a place, or two groups in a relation, on a ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scene {
    pub group: Group,
    pub arrangement: Arrangement,
    pub texture: Texture,
    pub ground: Ground,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrangement {
    Alone(Place),
    Beside(Relation, Group),
}

pub(super) fn pick<T: Copy>(from: &[T], random: &mut impl Rng) -> T {
    *from.choose(random).expect("a list of words or facts is not empty")
}

impl Group {
    fn random(most: usize, random: &mut impl Rng) -> Self {
        Self {
            shape: pick(Shape::ALL, random),
            colour: pick(Colour::ALL, random),
            size: pick(Size::ALL, random),
            count: random.random_range(1..=most),
        }
    }
}

impl Scene {
    /// Two of five scenes show one group of up to four shapes; the others two groups in a relation.
    pub fn random(random: &mut impl Rng) -> Self {
        let (texture, ground) = (pick(Texture::ALL, random), pick(Ground::ALL, random));
        if random.random_bool(0.4) {
            let arrangement = Arrangement::Alone(pick(Place::ALL, random));
            return Self { group: Group::random(4, random), arrangement, texture, ground };
        }
        let relation = pick(Relation::ALL, random);
        let inside = relation == Relation::Inside;
        let mut group = Group::random(if inside { 1 } else { 2 }, random);
        let mut other = Group::random(1, random);
        while other.colour == group.colour || (other.shape == group.shape && !inside) {
            other = Group::random(1, random);
        }
        if inside {
            group.size = Size::Small;
            other.size = Size::Large;
            // Shapes with room in their middle.
            other.shape = pick(&[Shape::Circle, Shape::Square, Shape::Ring, Shape::Diamond], random);
        }
        Self { group, arrangement: Arrangement::Beside(relation, other), texture, ground }
    }

    /// The facts as JSON, for the images' `meta`.
    pub fn facts(&self) -> Value {
        let group = |group: &Group| json!({"shape": group.shape.word(), "colour": group.colour.word(), "size": group.size.word(), "count": group.count});
        let mut facts =
            json!({"texture": self.texture.word(), "ground": self.ground.word(), "first": group(&self.group)});
        match &self.arrangement {
            Arrangement::Alone(place) => facts["place"] = place.word().into(),
            Arrangement::Beside(relation, other) => {
                facts["relation"] = relation.word().into();
                facts["second"] = group(other);
            }
        }
        facts
    }
}
