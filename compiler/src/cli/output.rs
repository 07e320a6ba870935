//! Tables, numbers and tensors as people read them.

use lepid_ir::core::{Num, Tensor};

/// A table with aligned columns.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns to be aligned at their right.
    right: Vec<usize>,
}

impl Table {
    pub(super) fn new(head: &[&str], right: &[usize]) -> Table {
        let head = head.iter().map(|h| h.to_string()).collect();
        Table {
            rows: vec![head],
            right: right.to_vec(),
        }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, each line ending in a line break.
    pub(super) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(column));
            cells.map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let blank = " ".repeat(widths[column] - cell.chars().count());
                match self.right.contains(&column) {
                    true => line += &format!("{blank}{cell}  "),
                    false => line += &format!("{cell}{blank}  "),
                }
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }
}

/// Least, mean and greatest element; `None` without elements.
pub(super) struct Range {
    pub min: f64,
    pub mean: f64,
    pub max: f64,
    /// Elements that are no number; the others make the range.
    pub nans: usize,
}

pub(super) fn range(tensor: &Tensor) -> Option<Range> {
    let values = tensor.to_f64s();
    let numbers: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    if values.is_empty() {
        return None;
    }
    let fold = |pick: fn(f64, f64) -> f64| numbers.iter().copied().reduce(pick);
    Some(Range {
        min: fold(f64::min).unwrap_or(f64::NAN),
        mean: numbers.iter().sum::<f64>() / numbers.len() as f64,
        max: fold(f64::max).unwrap_or(f64::NAN),
        nans: values.len() - numbers.len(),
    })
}

/// `[1.5, 2, …]` with at most `count` elements.
pub(super) fn first_values(tensor: &Tensor, count: usize) -> String {
    let shown = tensor.len().min(count);
    let mut items: Vec<String> = (0..shown).map(|i| number(tensor.num(i))).collect();
    if tensor.len() > shown {
        items.push("…".to_string());
    }
    format!("[{}]", items.join(", "))
}

fn number(num: Num) -> String {
    match num {
        Num::Int(x) => x.to_string(),
        Num::Float(x) => short(x),
    }
}

/// A float with about six digits.
pub(super) fn short(x: f64) -> String {
    match x.abs() {
        a if a == 0.0 || (1e-4..1e6).contains(&a) => {
            let digits = (5 - a.max(1.0).log10().floor() as i32).max(0) as usize;
            let text = format!("{x:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
                false => text,
            }
        }
        _ if x.is_finite() => format!("{x:.5e}"),
        _ => x.to_string(),
    }
}

/// A number for JSON; what is not finite has no form there and becomes `null`.
pub(super) fn json_number(x: f64) -> serde_json::Value {
    serde_json::Number::from_f64(x).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (123456.0, "123456"),
            (1e-9, "1.00000e-9"),
        ];
        for (x, text) in cases {
            assert_eq!(short(x), text);
        }
    }

    #[test]
    fn what_is_no_number_has_no_range() {
        let nan = Tensor::splat(lepid_ir::core::Elem::F32, &[3], Num::Float(f64::NAN));
        let range = range(&nan).unwrap();
        assert!(range.min.is_nan() && range.max.is_nan());
        assert_eq!(range.nans, 3);
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["name", "n"], &[1]);
        table.row(vec!["a".into(), "10".into()]);
        assert_eq!(table.text(), "name   n\na     10\n");
    }
}
