//! [`Network`]: the network that a run trains.

use std::ops::Deref;

use crate::model::Gxn;

/// A network that updates take by value and give back: nobody else holds it meanwhile, so that its buffers are updated in
/// place. Between updates it reads as a [`Gxn`].
#[derive(Debug)]
pub(super) struct Network(Option<Gxn>);

impl Network {
    pub fn new(model: Gxn) -> Self {
        Self(Some(model))
    }

    /// Replaces the network by what `update` makes of it.
    pub fn update(&mut self, update: impl FnOnce(Gxn) -> Gxn) {
        self.0 = self.0.take().map(update);
    }
}

impl Deref for Network {
    type Target = Gxn;

    fn deref(&self) -> &Gxn {
        self.0.as_ref().expect("no update panicked")
    }
}
