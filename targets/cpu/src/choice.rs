//! What options of the target can say of a choice that the cost model makes.

use std::str::FromStr;

/// Whether something is done.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// Where it is faster.
    Auto,
    Off,
    On,
}

impl FromStr for Use {
    type Err = ();

    fn from_str(text: &str) -> Result<Use, ()> {
        match text {
            "auto" => Ok(Use::Auto),
            "off" => Ok(Use::Off),
            "on" => Ok(Use::On),
            _ => Err(()),
        }
    }
}

/// A positive number.
pub(crate) struct Positive(pub(crate) f64);

impl FromStr for Positive {
    type Err = ();

    fn from_str(text: &str) -> Result<Positive, ()> {
        let number: f64 = text.parse().map_err(|_| ())?;
        (number > 0.0).then_some(Positive(number)).ok_or(())
    }
}
