//! A benchmark's line of JSON, and a table of them.

use serde_json::Value;

/// One figure: `{"bench","metric","value","unit","goal","met"}`, where `goal` and `met` are null for a figure that is
/// only watched.
#[derive(Debug, PartialEq)]
pub(crate) struct Measurement {
    bench: String,
    metric: String,
    value: f64,
    unit: String,
    /// As it is shown: a bound may be words, such as `8 times one`.
    goal: Option<String>,
    met: Option<bool>,
}

impl Measurement {
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let text = |name: &str| {
            line[name].as_str().map(str::to_owned).ok_or_else(|| format!("\"{name}\" must be a string"))
        };
        Ok(Self {
            bench: text("bench")?,
            metric: text("metric")?,
            value: line["value"].as_f64().ok_or("\"value\" must be a number")?,
            unit: text("unit")?,
            goal: match &line["goal"] {
                Value::Null => None,
                Value::String(goal) => Some(goal.clone()),
                Value::Number(goal) => Some(goal.as_f64().map_or_else(|| goal.to_string(), figure)),
                _ => return Err("\"goal\" must be a number, a string or null".to_owned()),
            },
            met: match &line["met"] {
                Value::Null => None,
                Value::Bool(met) => Some(*met),
                _ => return Err("\"met\" must be true, false or null".to_owned()),
            },
        })
    }

    pub(crate) fn misses_its_goal(&self) -> bool {
        self.met == Some(false)
    }

    fn cells(&self) -> [String; 6] {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        [
            self.bench.clone(),
            self.metric.clone(),
            figure(self.value),
            self.unit.clone(),
            self.goal.clone().unwrap_or_else(|| "-".to_owned()),
            met.to_owned(),
        ]
    }
}

/// A number with at least three significant digits and no idle zeros: measurements carry no more than that.
fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// The columns that hold numbers line up at their right.
const HEAD: [(&str, bool); 6] =
    [("bench", false), ("metric", false), ("value", true), ("unit", false), ("goal", true), ("met", false)];

/// The measurements in columns, each line ended.
pub(crate) fn table(measurements: &[Measurement]) -> String {
    let head = HEAD.map(|(title, _)| title.to_owned());
    let rows: Vec<[String; 6]> =
        std::iter::once(head).chain(measurements.iter().map(Measurement::cells)).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn line(row: &[String; 6], widths: &[usize; 6]) -> String {
    let cells = row.iter().zip(widths).zip(HEAD).map(|((cell, width), (_, is_right))| {
        if is_right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    });
    let mut line = cells.collect::<Vec<_>>().join("  ");
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_shown_in_columns_beside_their_goals() {
        let lines = [
            r#"{"bench":"plan","metric":"10000 slices, unchanged","value":0.71283,"unit":"s","goal":1,"met":true}"#,
            r#"{"bench":"saga","metric":"step, memory","value":23.456,"unit":"µs","goal":20.0,"met":false}"#,
            r#"{"bench":"saga","metric":"disk flush","value":1200,"unit":"µs","goal":null,"met":null}"#,
            r#"{"bench":"saga","metric":"64 slices","value":8.5,"unit":"x","goal":"8 times one","met":true}"#,
        ];
        let measurements = lines.map(|line| Measurement::parse(line).unwrap());
        let expected = "\
bench  metric                    value  unit         goal  met
plan   10000 slices, unchanged  0.7128  s               1  yes
saga   step, memory               23.5  µs             20  NO
saga   disk flush                 1200  µs              -  -
saga   64 slices                   8.5  x     8 times one  yes
";
        assert_eq!(table(&measurements), expected);
        assert_eq!(
            measurements.map(|measurement| measurement.misses_its_goal()),
            [false, true, false, false]
        );
    }

    #[test]
    fn figures_have_three_digits_and_no_idle_zeros() {
        let shown = [0.0, 0.05, 0.123_44, 1.0, 1.234, 12.04, 100.0, 1_234.5].map(figure);
        assert_eq!(shown, ["0", "0.05", "0.1234", "1", "1.23", "12", "100", "1234"]);
    }

    #[test]
    fn a_line_without_its_fields_is_refused_by_the_name_of_the_field() {
        let refusal = |line: &str| Measurement::parse(line).unwrap_err();
        assert_eq!(refusal(r#"{"bench":"plan"}"#), "\"metric\" must be a string");
        assert_eq!(
            refusal(r#"{"bench":"plan","metric":"m","value":"fast","unit":"s"}"#),
            "\"value\" must be a number"
        );
        assert_eq!(
            refusal(r#"{"bench":"plan","metric":"m","value":1,"unit":"s","met":"yes"}"#),
            "\"met\" must be true, false or null"
        );
        assert!(refusal("warming up").contains("expected value"));
    }
}
