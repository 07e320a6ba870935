//! Numbers with metric prefixes.

/// `1.23 G`, `45.6 k`: three digits and a metric prefix.
pub fn metric(x: f64) -> String {
    let steps = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match steps.iter().find(|(size, _)| x.abs() >= *size) {
        Some((size, prefix)) => format!("{} {prefix}", three_digits(x / size)),
        None => format!("{} ", three_digits(x)),
    }
}

/// `1.23 MB`.
pub fn bytes(x: f64) -> String {
    format!("{}B", metric(x))
}

fn three_digits(x: f64) -> String {
    match x.abs() {
        a if a == a.trunc() && a < 1000.0 => format!("{x:.0}"),
        a if a < 10.0 => format!("{x:.2}"),
        a if a < 100.0 => format!("{x:.1}"),
        _ => format!("{x:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_keep_three_digits() {
        assert_eq!(metric(8.2e9), "8.20 G");
        assert_eq!(bytes(512.0), "512 B");
    }
}
