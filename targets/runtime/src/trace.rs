//! When requests arrive.

/// Arrival times in seconds, in order, from a seed: the same everywhere.
#[derive(Clone, PartialEq, Debug)]
pub enum Arrivals {
    /// Independent arrivals at a rate per second.
    Poisson { rate: f64 },
    /// Poisson arrivals that are on and off in turns: at `rate` for `on` seconds, none for `off`.
    Bursts { rate: f64, on: f64, off: f64 },
    /// As they were recorded.
    Recorded(Vec<f64>),
}

impl Arrivals {
    /// Reads `poisson:500` or `bursts:2000,0.1,0.3`.
    pub fn parse(text: &str) -> Result<Arrivals, String> {
        let wrong =
            || format!("`{text}` is neither `poisson:RATE` nor `bursts:RATE,ON,OFF`, in seconds");
        let (kind, numbers) = text.split_once(':').ok_or_else(wrong)?;
        let numbers: Option<Vec<f64>> = numbers.split(',').map(|n| n.trim().parse().ok()).collect();
        let numbers = numbers.filter(|all| all.iter().all(|n: &f64| n.is_finite() && *n > 0.0));
        match (kind, numbers.as_deref()) {
            ("poisson", Some(&[rate])) => Ok(Arrivals::Poisson { rate }),
            ("bursts", Some(&[rate, on, off])) => Ok(Arrivals::Bursts { rate, on, off }),
            _ => Err(wrong()),
        }
    }

    /// Reads a file of times in seconds: one per line, or the first column of comma-separated ones;
    /// a first line that is no number is a heading.
    pub fn recorded(text: &str) -> Result<Arrivals, String> {
        let mut times = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let field = line.split(',').next().unwrap_or_default().trim();
            match field.parse::<f64>() {
                Ok(time) if time.is_finite() && time >= 0.0 => times.push(time),
                _ if number == 0 || field.is_empty() => {}
                _ => {
                    return Err(format!(
                        "line {}: `{field}` is no time in seconds",
                        number + 1
                    ));
                }
            }
        }
        if !times.is_sorted() {
            return Err("the times are not in order".to_string());
        }
        match times.is_empty() {
            true => Err("there are no times".to_string()),
            false => Ok(Arrivals::Recorded(times)),
        }
    }

    /// The first `count` arrivals; fewer if fewer were recorded.
    pub fn times(&self, count: usize, seed: u64) -> Vec<f64> {
        let mut random = Uniform(seed);
        let mut exponential = |rate: f64| -random.next().ln() / rate;
        let mut now = 0.0;
        let mut times = Vec::with_capacity(count);
        match self {
            Arrivals::Poisson { rate } => {
                times.extend((0..count).map(|_| {
                    now += exponential(*rate);
                    now
                }));
            }
            Arrivals::Bursts { rate, on, off } => {
                // Time goes on only while arrivals are on.
                times.extend((0..count).map(|_| {
                    now += exponential(*rate);
                    now + (now / on).floor() * off
                }));
            }
            Arrivals::Recorded(recorded) => times.extend(recorded.iter().take(count)),
        }
        times
    }
}

/// Numbers above 0 up to 1: SplitMix64 (Steele, Lea and Flood, 2014).
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_met() {
        let times = Arrivals::Poisson { rate: 100.0 }.times(20_000, 1);
        assert!(times.is_sorted());
        assert!((times[19_999] / 200.0 - 1.0).abs() < 0.03);
        let bursts = Arrivals::Bursts {
            rate: 400.0,
            on: 0.1,
            off: 0.3,
        };
        let times = bursts.times(20_000, 2);
        assert!(times.is_sorted() && (times[19_999] / 200.0 - 1.0).abs() < 0.03);
        // Nobody arrives while arrivals are off.
        assert!(times.iter().all(|t| t.rem_euclid(0.4) < 0.1 + 1e-9));
        assert_eq!(times, bursts.times(20_000, 2));
    }

    #[test]
    fn texts_are_read() {
        assert_eq!(
            Arrivals::parse("poisson:5"),
            Ok(Arrivals::Poisson { rate: 5.0 })
        );
        for wrong in [
            "poisson",
            "poisson:-1",
            "poisson:1,2",
            "bursts:1",
            "weibull:1",
            "poisson:nan",
        ] {
            assert!(Arrivals::parse(wrong).is_err(), "{wrong}");
        }
        let recorded = Arrivals::recorded("seconds,id\n0.5,a\n1.5,b\n").unwrap();
        assert_eq!(recorded.times(5, 0), [0.5, 1.5]);
        assert!(Arrivals::recorded("2\n1\n").is_err());
        assert!(Arrivals::recorded("1\nx\n").is_err());
        assert!(Arrivals::recorded("").is_err());
    }
}
