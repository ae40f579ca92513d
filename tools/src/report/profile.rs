//! Where the broker's CPU time went, as a sampling profiler saw it.

use serde::{Deserialize, Serialize};

/// Functions that are kept.
pub const HOT_MAX: usize = 30;

/// Samples of the broker's threads within the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Samples a second of CPU time.
    pub hertz: u32,
    /// The profiler's own file, beside the report.
    pub file: String,
    /// The functions that took most, at most [`HOT_MAX`], in order.
    pub hot: Vec<Hot>,
}

/// One function of one module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hot {
    /// Of all samples, 0 to 1; what it called not included.
    pub share: f64,
    /// The program, the library, or the kernel.
    pub module: String,
    /// Its name.
    pub symbol: String,
}
