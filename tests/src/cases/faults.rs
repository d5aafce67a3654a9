//! Processes that crash, lack capabilities or are forbidden something; drivers and stacks that die.

use super::Case;

pub(crate) const CASES: &[Case] = &[];
