//! Which rare ways of the engine a world goes (`engine::base::Site`), and how often it did.
//!
//! Each site is on in a quarter of the worlds, and where it is on the engine goes the rare way in a quarter of
//! the times that it comes there. Every site has a stream of chance of its own: what one draws shifts no other.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use engine::base::{HAS_SITES, Site};

use crate::random::Random;

/// A site is on in this part of the worlds, in a million.
const ON_PPM: u32 = 250_000;

/// One that is on fires this often, in a million.
#[cfg_attr(not(feature = "buggify"), expect(dead_code, reason = "nothing fires in a build without sites"))]
const FIRES_PPM: u32 = 250_000;

const SITES: usize = Site::ALL.len();

/// How often each site fired, in one world or in many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fired([u64; SITES]);

impl Default for Fired {
    fn default() -> Fired {
        Fired([0; SITES])
    }
}

impl Fired {
    /// Adds what fired in another world.
    pub fn add(&mut self, other: &Fired) {
        self.0.iter_mut().zip(other.0).for_each(|(n, more)| *n += more);
    }

    /// Every site and how often it fired.
    pub fn counts(&self) -> impl Iterator<Item = (Site, u64)> {
        Site::ALL.iter().copied().zip(self.0)
    }

    /// Those that never did; none in a build without sites.
    #[must_use]
    pub fn never(&self) -> Vec<Site> {
        self.counts().filter(|(_, n)| *n == 0 && HAS_SITES).map(|(site, _)| site).collect()
    }
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.counts().map(|(site, n)| format!("{n} {site:?}")).collect();
        f.write_str(&words.join(" · "))
    }
}

/// The sites of a world: none, unless they are drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites {
    /// The chance of each that is on, by its number.
    #[cfg_attr(not(feature = "buggify"), expect(dead_code, reason = "nobody asks in a build without sites"))]
    on: Vec<Option<Random>>,
}

impl Sites {
    /// Those that a seed turns on.
    pub(crate) fn draw(seed: u64) -> Sites {
        // Its own stream: worlds without sites draw the same as ever.
        let mut random = Random::new(!seed);
        let draw = |random: &mut Random| {
            let chance = random.split();
            random.chance(ON_PPM).then_some(chance)
        };
        Sites { on: Site::ALL.iter().map(|_| draw(&mut random)).collect() }
    }

    /// Lets the sites decide for this thread's engine while `world` runs.
    pub(crate) fn run<T>(self, world: impl FnOnce() -> T) -> (T, Fired) {
        let fired = Rc::new(RefCell::new(Fired::default()));
        let _deciding = Deciding::begin(self, fired.clone());
        let result = world();
        let fired = *fired.borrow();
        (result, fired)
    }
}

/// Nobody decides any more when it goes, also where an assertion ended the world.
struct Deciding;

#[cfg(feature = "buggify")]
impl Deciding {
    fn begin(mut sites: Sites, fired: Rc<RefCell<Fired>>) -> Deciding {
        engine::base::decide(Some(Box::new(move |site| {
            let number = site as usize;
            let fires = sites
                .on
                .get_mut(number)
                .and_then(Option::as_mut)
                .is_some_and(|chance| chance.chance(FIRES_PPM));
            fired.borrow_mut().0[number] += u64::from(fires);
            fires
        })));
        Deciding
    }
}

#[cfg(feature = "buggify")]
impl Drop for Deciding {
    fn drop(&mut self) {
        engine::base::decide(None);
    }
}

#[cfg(not(feature = "buggify"))]
impl Deciding {
    fn begin(_: Sites, _: Rc<RefCell<Fired>>) -> Deciding {
        Deciding
    }
}
