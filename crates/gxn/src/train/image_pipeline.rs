//! The CNN's input that a configuration asks for: size, crop and views.

use crate::config::{LookConfig, Views};
use crate::look::ImagePipeline;
use gxn_data::{Preprocess, ResizeRule, View};

/// The input of a run's CNN: `begun`, that of the run it begins with, or else the weights' own, as far as the configuration sets
/// nothing else.
pub(super) fn input_of(look: &LookConfig, begun: Option<&Preprocess>) -> ImagePipeline {
    // Beside an encoder, which has its own, it says how the generator's photos are made: captions speak of the whole image.
    let mut preprocess = match (begun, &look.encoder) {
        (Some(begun), _) => begun.clone(),
        (None, Some(_)) => Preprocess::imagenet_224().with_resize(ResizeRule::Stretch),
        (None, None) => look.backbone.preprocess(),
    };
    if look.stretch {
        preprocess.resize = ResizeRule::Stretch;
    }
    if look.side_px > 0 {
        preprocess = preprocess.with_side(look.side_px);
    }
    ImagePipeline { preprocess, views: views_of(look.views) }
}

fn views_of(views: Views) -> Vec<View> {
    /// Share of each side that a corner crop keeps.
    const SHARE: f32 = 0.85;
    let mirrored = |view: View| View { flip: !view.flip, ..view };
    let rest = 1.0 - SHARE;
    let corners = [(0.0, 0.0), (rest, 0.0), (0.0, rest), (rest, rest)]
        .map(|(x, y)| View { crop: [x, y, x + SHARE, y + SHARE], flip: false });
    let [top_left, top_right, bottom_left, bottom_right] = corners;
    match views {
        Views::Full => vec![View::FULL],
        Views::Flip => vec![View::FULL, mirrored(View::FULL)],
        Views::SixCrop => {
            let full = [View::FULL, mirrored(View::FULL)];
            full.into_iter().chain([mirrored(top_left), top_right, bottom_left, mirrored(bottom_right)]).collect()
        }
        Views::TenCrop => std::iter::once(View::FULL).chain(corners).flat_map(|view| [view, mirrored(view)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_of_views_begins_with_the_whole_image() {
        for (views, count) in [(Views::Full, 1), (Views::Flip, 2), (Views::SixCrop, 6), (Views::TenCrop, 10)] {
            let found = views_of(views);
            assert_eq!((found.len(), found[0]), (count, View::FULL), "{views:?}");
            let mirrored = found.iter().filter(|view| view.flip).count();
            assert_eq!(mirrored, count / 2, "{views:?}: half of the views are mirrored");
        }
    }

    /// Twice the size: the shorter side before the crop is twice as long too.
    #[test]
    fn another_size_keeps_the_proportions_of_the_crop() {
        let own = input_of(&LookConfig::default(), None).preprocess;
        let larger = input_of(&LookConfig { side_px: 2 * own.side_px, ..LookConfig::default() }, None).preprocess;
        assert_eq!(larger.side_px, 2 * own.side_px);
        if let (
            ResizeRule::ShorterThenCentre { shorter_px: before },
            ResizeRule::ShorterThenCentre { shorter_px: after },
        ) = (own.resize, larger.resize)
        {
            assert_eq!(after, 2 * before);
        }
        let stretched = input_of(&LookConfig { stretch: true, ..LookConfig::default() }, None).preprocess;
        assert!(matches!(stretched.resize, ResizeRule::Stretch));
    }
}
