//! Readings from a CSV file, to be sent again as they were recorded.

use std::{collections::BTreeSet, path::Path, time::Duration};

use csv::StringRecord;
use iotorch_core::{Error, ErrorKind, Result};
use iotorch_lite::device::Reading;
use jiff::Timestamp;

use crate::device::{Device, typed};

/// What a column holds, by its heading.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    /// The moment: RFC 3339, or seconds since the Unix epoch.
    Time,
    /// Seconds since the start.
    Offset,
    /// The device.
    Device,
    /// Values of a resource.
    Resource(String),
}

/// The rows of a file.
#[derive(Debug)]
pub(crate) struct Recording {
    file: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    line: u64,
    /// When, counted from the first row; none where the file does not say.
    at: Option<Duration>,
    device: Option<String>,
    /// The values by column; those that are empty are left out.
    values: Vec<(usize, String)>,
}

impl Recording {
    /// Reads a file: a heading, then one row for each message.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let opened = std::fs::File::open(path)
            .map_err(|error| crate::failure::cannot(format!("read \"{file}\""), error))?;
        Self::from_reader(&file, opened)
    }

    fn from_reader(file: &str, reader: impl std::io::Read) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
        let heading = reader.headers().map_err(|error| unreadable(file, &error))?.clone();
        let columns = columns(file, &heading)?;
        let mut recording = Self { file: file.to_owned(), columns, rows: Vec::new() };
        let mut first = None;
        for record in reader.records() {
            let record = record.map_err(|error| unreadable(file, &error))?;
            let row = recording.row(&record, &mut first)?;
            recording.rows.push(row);
        }
        if recording.rows.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, format!("cannot send \"{file}\": it has no rows")));
        }
        recording.rows.sort_by_key(|row| row.at);
        Ok(recording)
    }

    fn row(&self, record: &StringRecord, first: &mut Option<f64>) -> Result<Row> {
        let line = record.position().map_or(0, csv::Position::line);
        let mut row = Row { line, at: None, device: None, values: Vec::new() };
        for (index, (column, field)) in self.columns.iter().zip(record).enumerate() {
            let wrong = |what: &str| self.wrong(line, index, field, what);
            match column {
                Column::Time => {
                    let seconds = moment(field).ok_or_else(|| {
                        wrong("is no time: use RFC 3339, such as 2024-06-01T12:00:00Z, or seconds since 1970")
                    })?;
                    let since = seconds - *first.get_or_insert(seconds);
                    row.at = Some(duration(since).ok_or_else(|| wrong("is before the first row"))?);
                }
                Column::Offset => {
                    let offset = field.parse().ok().and_then(duration);
                    row.at = Some(offset.ok_or_else(|| wrong("is no number of seconds from the start"))?);
                }
                Column::Device => row.device = Some(field.to_owned()),
                Column::Resource(_) if field.is_empty() => {}
                Column::Resource(_) => row.values.push((index, field.to_owned())),
            }
        }
        Ok(row)
    }

    /// Whether there are only rows for devices that are there, and only of resources that one of them has.
    pub(crate) fn check(&self, devices: &[Device]) -> Result<()> {
        for (index, column) in self.columns.iter().enumerate() {
            if let Column::Resource(name) = column {
                let known = |device: &Device| device.resources.iter().any(|it| it.name.as_str() == name);
                if !devices.iter().any(known) {
                    let known: BTreeSet<_> = devices
                        .iter()
                        .flat_map(|device| &device.resources)
                        .map(|it| it.name.as_str())
                        .collect();
                    let known = known.into_iter().collect::<Vec<_>>().join(", ");
                    return Err(self.wrong(1, index, name, "is no resource of these devices").with_help(
                        format!("their resources are: {known}; a device's own column is called device"),
                    ));
                }
            }
        }
        for row in &self.rows {
            if let Some(name) = &row.device
                && !devices.iter().any(|device| device.name.as_str() == name)
            {
                let index =
                    self.columns.iter().position(|column| *column == Column::Device).unwrap_or_default();
                return Err(self.wrong(row.line, index, name, "is none of the devices that send"));
            }
        }
        Ok(())
    }

    /// The messages of one device: when each is due, if the file says so, and its readings.
    pub(crate) fn of(&self, device: &Device) -> Result<Vec<(Option<Duration>, Vec<Reading>)>> {
        let own = self
            .rows
            .iter()
            .filter(|row| row.device.as_ref().is_none_or(|name| device.name.as_str() == name));
        own.map(|row| Ok((row.at, self.readings(row, device)?))).collect()
    }

    fn readings(&self, row: &Row, device: &Device) -> Result<Vec<Reading>> {
        let mut readings = Vec::new();
        for (index, text) in &row.values {
            let Column::Resource(name) = &self.columns[*index] else { continue };
            // Devices with other profiles have columns of their own.
            let Some(known) = device.resources.iter().find(|known| known.name.as_str() == name) else {
                continue;
            };
            let reading = typed::value(name, text, &device.resources);
            if !typed::fits(&reading, known) {
                let kind = format!("{:?}", known.value_type).to_lowercase();
                return Err(self.wrong(row.line, *index, text, &format!("is no {kind}")));
            }
            readings.push(reading);
        }
        Ok(readings)
    }

    fn wrong(&self, line: u64, column: usize, found: &str, what: &str) -> Error {
        let heading = match &self.columns[column] {
            Column::Time => "time",
            Column::Offset => "offset",
            Column::Device => "device",
            Column::Resource(name) => name,
        };
        let at = format!("line {line}, column {} ({heading})", column + 1);
        Error::new(ErrorKind::Invalid, format!("cannot send \"{}\"", self.file))
            .with_source(format!("{at}: {found:?} {what}"))
    }
}

fn columns(file: &str, heading: &StringRecord) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for (index, name) in heading.iter().enumerate() {
        let wrong = |what: &str| {
            Error::new(ErrorKind::Invalid, format!("cannot send \"{file}\""))
                .with_source(format!("line 1, column {}: {what}", index + 1))
                .with_help("the first line names the columns: time or offset, device if there are several, then resources")
        };
        let column = match name {
            "" => return Err(wrong("it has no heading")),
            "time" => Column::Time,
            "offset" => Column::Offset,
            "device" => Column::Device,
            name => Column::Resource(name.to_owned()),
        };
        if columns.contains(&column) {
            return Err(wrong(&format!("{name:?} comes a second time")));
        }
        columns.push(column);
    }
    if columns.contains(&Column::Time) && columns.contains(&Column::Offset) {
        return Err(Error::new(ErrorKind::Invalid, format!("cannot send \"{file}\""))
            .with_source("it has both columns, time and offset"));
    }
    Ok(columns)
}

/// Seconds since the Unix epoch.
#[allow(clippy::cast_precision_loss, reason = "microseconds of a date are below 2^53")]
fn moment(text: &str) -> Option<f64> {
    match text.parse::<Timestamp>() {
        Ok(at) => Some(at.as_microsecond() as f64 / 1e6),
        Err(_) => text.parse().ok().filter(|seconds: &f64| seconds.is_finite()),
    }
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

fn unreadable(file: &str, error: &csv::Error) -> Error {
    let why = match error.kind() {
        csv::ErrorKind::UnequalLengths { pos: Some(at), expected_len, len } => {
            format!("line {}: it has {len} columns, the heading has {expected_len}", at.line())
        }
        csv::ErrorKind::Utf8 { pos: Some(at), err } => {
            format!("line {}, column {}: it is no UTF-8", at.line(), err.field() + 1)
        }
        _ => error.to_string(),
    };
    Error::new(ErrorKind::Invalid, format!("cannot read \"{file}\"")).with_source(why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::device::tests::bench;

    fn read(text: &str) -> Result<Recording> {
        Recording::from_reader("values.csv", text.as_bytes())
    }

    fn reading(value: serde_json::Value) -> Vec<Reading> {
        vec![Reading::new("temperature", value)]
    }

    #[test]
    fn rows_are_sent_as_far_apart_as_they_were_recorded() {
        let recording = read(
            "time,device,temperature\n\
             2024-06-01T12:00:00Z,bench-1,20.5\n\
             2024-06-01T12:00:01.5Z,bench-1,21\n\
             2024-06-01T12:00:01Z,bench-2,7\n",
        )
        .unwrap();
        let rows = recording.of(&bench()).unwrap();
        assert_eq!(
            rows,
            [
                (Some(Duration::ZERO), reading(json!(20.5))),
                (Some(Duration::from_millis(1_500)), reading(json!(21))),
            ]
        );
        let unix = read("time,temperature\n1717245296.25,1\n1717245297,2\n").unwrap();
        assert_eq!(unix.of(&bench()).unwrap()[1].0, Some(Duration::from_millis(750)));
    }

    #[test]
    fn a_file_without_times_or_devices_is_for_everyone_and_empty_values_are_left_out() {
        let recording = read("temperature, vent\n20, \n , true\n").unwrap();
        recording.check(&[bench()]).unwrap();
        let rows = recording.of(&bench()).unwrap();
        assert_eq!(rows[0], (None, reading(json!(20))));
        assert_eq!(rows[1].1[0].value, json!(true));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_column() {
        let cases = [
            "offset,temperature\n0,warm\n",
            "offset,temperature\n0,1\nlater,2\n",
            "time,temperature\n2024-06-01T12:00:00Z,1\n2024-05-01T12:00:00Z,1\n",
            "temperature\n1,2\n",
            "temperature,temperature\n1,2\n",
            "temperature,\n1,2\n",
            "time,offset\n1,2\n",
            "humidity\n1\n",
            "device,temperature\nbench-1,1\nbench-9,1\n",
            "temperature\n",
        ];
        let told = cases.map(|text| {
            let tried = read(text).and_then(|recording| {
                recording.check(&[bench()])?;
                recording.of(&bench()).map(drop)
            });
            let error = tried.expect_err(text).to_cause();
            let help = error.help.iter().map(|help| format!("\n  help: {help}")).collect::<String>();
            format!("{error}{help}")
        });
        insta::assert_snapshot!(told.join("\n"));
    }
}
