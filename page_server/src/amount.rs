//! Amounts for people.

/// Bytes, in the largest unit of which there is one at least.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_largest_that_fits() {
        let told = [1023, 1024, 1536, (1 << 40) - 1, 5 << 50].map(bytes);
        assert_eq!(told, ["1023 bytes", "1.0 KiB", "1.5 KiB", "1024.0 GiB", "5120.0 TiB"]);
    }
}
