//! Numbers and spans for people. Pure.

/// `1,234,567`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `4 d 3 h`, `2 h 5 min`, `12 s`
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// `12.3 MiB`
pub fn bytes(number: u64) -> String {
    const STEP: u64 = 1024;
    let (unit, word) = match number {
        0..1024 => return format!("{number} bytes"),
        1024..1_048_576 => (STEP, "KiB"),
        1_048_576..1_073_741_824 => (STEP * STEP, "MiB"),
        _ => (STEP * STEP * STEP, "GiB"),
    };
    format!("{}.{} {word}", number / unit, number % unit * 10 / unit)
}

/// Per cent of `part` in `whole`, rounded up: something is never nothing.
pub fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 { 0 } else { part.saturating_mul(100).div_ceil(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [5, 65, 7500, 90_000].map(span),
            ["5 s", "1 min 5 s", "2 h 5 min", "1 d 1 h"].map(str::to_owned)
        );
        assert_eq!([10, 1536, 3 << 20, 5 << 30].map(bytes), ["10 bytes", "1.5 KiB", "3.0 MiB", "5.0 GiB"]);
        assert_eq!([percent(0, 100), percent(1, 1000), percent(5, 0), percent(7, 7)], [0, 1, 0, 100]);
    }
}
