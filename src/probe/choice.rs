//! Which variant of each point is tried next.

use super::loader::Conditions;
use super::{Point, Variant};

/// Which variant of each point comes next; past the end when all were tried.
pub(super) struct Choice<'a> {
    points: &'static [Point],
    conditions: &'a Conditions<'a>,
    next: Vec<usize>,
}

impl<'a> Choice<'a> {
    pub(super) fn new(points: &'static [Point], conditions: &'a Conditions<'a>) -> Self {
        let mut choice = Self { points, conditions, next: vec![0; points.len()] };
        for index in 0..points.len() {
            choice.settle(index);
        }
        choice
    }

    /// On to the next variant of this point.
    pub(super) fn advance(&mut self, index: usize) {
        self.next[index] += 1;
        self.settle(index);
    }

    /// Past what a forced tier forbids and what was proven silent.
    fn settle(&mut self, index: usize) {
        let conditions = self.conditions;
        while self.points[index]
            .variants
            .get(self.next[index])
            .is_some_and(|variant| conditions.forbids(variant) || conditions.excludes(variant).is_some())
        {
            self.next[index] += 1;
        }
    }

    pub(super) fn chosen(&self) -> Vec<Chosen> {
        let both = self.points.iter().zip(&self.next).enumerate();
        both.filter_map(|(index, (point, next))| {
            Some(Chosen { index, point, variant: point.variants.get(*next)? })
        })
        .collect()
    }

    /// Whether there is nothing to be had by trying once more without this one: it need
    /// not be, and there is no other variant of it.
    pub(super) fn expendable(&self, one: &Chosen) -> bool {
        !one.point.required && self.next[one.index] + 1 >= one.point.variants.len()
    }

    /// A point that must be and has nothing left to try.
    pub(super) fn missing(&self) -> Option<&'static Point> {
        let mut both = self.points.iter().zip(&self.next);
        both.find(|(point, next)| point.required && **next >= point.variants.len()).map(|(point, _)| point)
    }
}

/// A variant that is tried at its point.
#[derive(Clone, Copy)]
pub(super) struct Chosen {
    pub(super) index: usize,
    pub(super) point: &'static Point,
    pub(super) variant: &'static Variant,
}
