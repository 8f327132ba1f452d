//! One value for each name and interval, for servers that do not make them.

use std::{collections::BTreeMap, time::Duration};

use iotorch_lite::{
    api::{Aggregate, Interval},
    senml::{Record, Value},
};

/// What is known of the messages of one name in one interval.
#[derive(Debug)]
struct Gathered {
    unit: Option<String>,
    messages: u64,
    first: (f64, Record),
    last: (f64, Record),
    numbers: u64,
    sum: f64,
    least: f64,
    greatest: f64,
}

impl Gathered {
    fn new(record: &Record) -> Self {
        Self {
            unit: record.unit.clone(),
            messages: 0,
            first: (record.time, record.clone()),
            last: (record.time, record.clone()),
            numbers: 0,
            sum: 0.0,
            least: f64::INFINITY,
            greatest: f64::NEG_INFINITY,
        }
    }

    fn add(&mut self, record: &Record) {
        self.messages += 1;
        if record.time < self.first.0 {
            self.first = (record.time, record.clone());
        }
        if record.time >= self.last.0 {
            self.last = (record.time, record.clone());
        }
        if let Some(Value::Number(number)) = record.value {
            self.numbers += 1;
            self.sum += number;
            self.least = self.least.min(number);
            self.greatest = self.greatest.max(number);
        }
    }

    /// The value of the interval; none where there is no number and one is asked for.
    #[allow(clippy::cast_precision_loss, reason = "a count of messages is below 2^53")]
    fn value(&self, aggregate: Aggregate) -> Option<Value> {
        let number = |number: f64| (self.numbers > 0).then_some(Value::Number(number));
        match aggregate {
            Aggregate::Mean => number(self.sum / self.numbers as f64),
            Aggregate::Min => number(self.least),
            Aggregate::Max => number(self.greatest),
            Aggregate::Sum => number(self.sum),
            Aggregate::Count => Some(Value::Number(self.messages as f64)),
            Aggregate::First => self.first.1.value.clone(),
            Aggregate::Last => self.last.1.value.clone(),
            _ => None,
        }
    }
}

/// What messages become: names in alphabetical order, and the intervals of each from the oldest on. Intervals are aligned to the Unix
/// epoch, and a record has the time of the start of its interval.
pub(super) fn aggregated<'a>(
    messages: impl IntoIterator<Item = &'a Record>,
    interval: Interval,
    aggregate: Aggregate,
) -> Vec<Record> {
    let length = Duration::from(interval).as_secs_f64();
    let mut intervals: BTreeMap<(String, i64), Gathered> = BTreeMap::new();
    for record in messages {
        #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
        let number = (record.time / length).floor() as i64;
        let gathered = intervals.entry((record.name.clone(), number));
        gathered.or_insert_with(|| Gathered::new(record)).add(record);
    }
    let record = |((name, number), gathered): ((String, i64), Gathered)| {
        #[allow(
            clippy::cast_precision_loss,
            reason = "the number of an interval of milliseconds is below 2^53"
        )]
        let time = number as f64 * length;
        let unit = gathered.unit.clone().filter(|_| aggregate != Aggregate::Count);
        let value = gathered.value(aggregate)?;
        Some(Record { unit, ..Record::new(name, time, value) })
    };
    intervals.into_iter().filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(aggregate: Aggregate) -> Vec<(String, f64, Option<String>, String)> {
        let record = |name: &str, time: f64, value| Record {
            unit: Some("Cel".into()),
            ..Record::new(name, time, value)
        };
        let messages = [
            record("b:t", 1_700_000_000.0, Value::Number(1.0)),
            record("b:t", 1_700_000_059.0, Value::Number(4.0)),
            record("b:t", 1_700_000_041.0, Value::Number(2.5)),
            record("a:on", 1_700_000_050.0, Value::Bool(true)),
        ];
        let records = aggregated(&messages, "60s".parse().unwrap(), aggregate);
        records
            .into_iter()
            .map(|it| (it.name, it.time, it.unit, format!("{:?}", it.value.unwrap())))
            .collect()
    }

    #[test]
    fn each_name_has_a_value_for_each_interval_that_has_messages() {
        let unit = || Some("Cel".to_owned());
        let row = |name: &str, time, value: &str| (name.to_owned(), time, unit(), value.to_owned());
        let (before, after) = (1_699_999_980.0, 1_700_000_040.0);
        assert_eq!(
            told(Aggregate::Mean),
            [row("b:t", before, "Number(1.0)"), row("b:t", after, "Number(3.25)")]
        );
        assert_eq!(
            told(Aggregate::Last),
            [
                row("a:on", after, "Bool(true)"),
                row("b:t", before, "Number(1.0)"),
                row("b:t", after, "Number(4.0)")
            ]
        );
        assert_eq!(told(Aggregate::First)[2].3, "Number(2.5)");
        assert_eq!(
            [Aggregate::Min, Aggregate::Max, Aggregate::Sum].map(|it| told(it)[1].3.clone()),
            ["Number(2.5)", "Number(4.0)", "Number(6.5)"]
        );
        let counts = told(Aggregate::Count);
        assert_eq!((counts[0].2.clone(), counts[0].3.as_str(), counts.len()), (None, "Number(1.0)", 3));
    }
}
