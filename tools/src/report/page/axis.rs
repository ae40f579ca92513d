//! Scales and ticks: from values to places in a drawing and to the round numbers beside them.

/// A value range laid on a range of coordinates, linearly or by decades.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    /// Equal steps of value take equal room. `low < high`.
    pub(super) fn linear(values: (f64, f64), places: (f64, f64)) -> Self {
        assert!(values.0 < values.1, "a scale needs room");
        Self { low: values.0, high: values.1, from: places.0, to: places.1, logarithmic: false }
    }

    /// Equal factors take equal room. `0 < low < high`.
    pub(super) fn logarithmic(values: (f64, f64), places: (f64, f64)) -> Self {
        assert!(0.0 < values.0 && values.0 < values.1, "a logarithmic scale needs positive room");
        Self { low: values.0, high: values.1, from: places.0, to: places.1, logarithmic: true }
    }

    /// Where a value lies; values outside lie on the edge.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }
}

/// One line of a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tick {
    /// Where.
    pub(super) value: f64,
    /// Drawn stronger: a power of ten.
    pub(super) major: bool,
    /// Has its number beside it.
    pub(super) labelled: bool,
}

/// The smallest range of 1-2-5 numbers around these values, at least a factor of five wide.
pub(super) fn log_range(smallest: f64, largest: f64) -> (f64, f64) {
    let smallest = smallest.max(1.0);
    let largest = largest.max(smallest);
    let mut low = one_two_five().take_while(|value| *value <= smallest).last().unwrap_or(1.0);
    let mut high = one_two_five().find(|value| *value >= largest).unwrap_or(largest);
    if high / low < 5.0 {
        low = (low / 2.0).max(1.0);
        high *= 2.0;
    }
    (low, high)
}

/// 1, 2, 5, 10, 20, 50 … up to 5 × 10^15: beyond any latency in nanoseconds.
fn one_two_five() -> impl Iterator<Item = f64> {
    (0..16).flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade)))
}

/// Grid lines at 1, 2 and 5 of each decade. Over more than `labelled_decades` decades only powers
/// of ten get a number.
pub(super) fn log_ticks(range: (f64, f64), labelled_decades: f64) -> Vec<Tick> {
    let dense = (range.1 / range.0).log10() <= labelled_decades;
    one_two_five()
        .filter(|value| (range.0 * 0.999..=range.1 * 1.001).contains(value))
        .map(|value| {
            let major = (value.log10() - value.log10().round()).abs() < 1e-9;
            Tick { value, major, labelled: major || dense }
        })
        .collect()
}

/// The top of a linear axis from zero and its grid lines, about `count` of them.
pub(super) fn linear_ticks(largest: f64, count: u32) -> (f64, Vec<Tick>) {
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let rough = largest / f64::from(count.max(1));
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .iter()
        .map(|factor| factor * decade)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * decade);
    let steps = (largest / step - 1e-9).ceil().max(1.0);
    let ticks = (0..=steps as u32)
        .map(|i| Tick { value: f64::from(i) * step, major: i == 0, labelled: true })
        .collect();
    (steps * step, ticks)
}

/// Times in seconds for an axis from 0 to `end`, at most about ten.
pub(super) fn time_ticks(end: f64) -> Vec<f64> {
    const STEPS: [f64; 14] =
        [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0];
    let step = STEPS.iter().copied().find(|step| end / step <= 10.5).unwrap_or(end / 10.0);
    (0..=(end / step + 1e-9) as u32).map(|i| f64::from(i) * step).collect()
}

/// `12 s`, `2:30` (minutes and seconds) or `1:02:30`.
pub(super) fn time_label(seconds: f64, end: f64) -> String {
    let whole = seconds.round() as u64;
    if end < 120.0 {
        if seconds.fract() == 0.0 { format!("{whole} s") } else { format!("{seconds:.1} s") }
    } else if end < 3_600.0 {
        format!("{}:{:02}", whole / 60, whole % 60)
    } else {
        format!("{}:{:02}:{:02}", whole / 3_600, whole / 60 % 60, whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_meet_their_ends_and_clamp() {
        let linear = Scale::linear((0.0, 10.0), (100.0, 200.0));
        assert_eq!((linear.at(0.0), linear.at(5.0), linear.at(11.0)), (100.0, 150.0, 200.0));
        let log = Scale::logarithmic((1.0, 100.0), (50.0, 0.0));
        assert!((log.at(10.0) - 25.0).abs() < 1e-9);
        assert_eq!(log.at(0.0), 50.0);
    }

    #[test]
    fn log_ranges_end_on_round_numbers() {
        assert_eq!(log_range(130.0, 9_840.0), (100.0, 10_000.0));
        assert_eq!(log_range(100.0, 100.0), (50.0, 200.0));
        assert_eq!(log_range(0.0, 0.0), (1.0, 2.0_f64.max(2.0)));
        let ticks = log_ticks((100.0, 10_000.0), 3.0);
        assert_eq!(ticks.len(), 7);
        assert!(ticks.iter().all(|tick| tick.labelled));
        assert_eq!(log_ticks((1.0, 1e6), 3.0).iter().filter(|tick| tick.labelled).count(), 7);
    }

    #[test]
    fn linear_axes_cover_the_largest_value() {
        let (top, ticks) = linear_ticks(20.5, 4);
        assert_eq!(top, 30.0);
        assert_eq!(ticks.len(), 4);
        assert_eq!(linear_ticks(0.0, 4).0, 1.0);
        assert!(linear_ticks(717.0, 4).0 >= 717.0);
    }

    #[test]
    fn time_ticks_are_few_and_round() {
        assert_eq!(time_ticks(30.0), vec![0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert!(time_ticks(100_000.0).len() <= 12);
        assert_eq!(time_label(150.0, 300.0), "2:30");
        assert_eq!(time_label(5.0, 30.0), "5 s");
    }
}
