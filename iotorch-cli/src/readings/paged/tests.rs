use std::sync::{Arc, Mutex};

use iotorch_lite::senml::Value;

use super::*;

/// A server that has these messages, and gets another one before each answer as long as there are some.
#[derive(Debug, Default)]
pub(in super::super) struct Shelf {
    pub(in super::super) stored: Mutex<Vec<Record>>,
    pub(in super::super) coming: Mutex<Vec<Record>>,
    asked: Mutex<u64>,
}

pub(in super::super) fn record(name: &str, time: f64) -> Record {
    Record::new(name, time, Value::Number(time))
}

#[async_trait]
impl Pages for Shelf {
    async fn ask(&self, wanted: &Wanted) -> Result<Newest> {
        assert!((1..=LONGEST).contains(&wanted.limit), "{wanted:?}");
        *self.asked.lock().unwrap() += 1;
        let mut stored = self.stored.lock().unwrap();
        stored.extend(self.coming.lock().unwrap().pop());
        let mut matching: Vec<Record> = stored
            .iter()
            .filter(|record| wanted.name.as_ref().is_none_or(|name| record.name == *name))
            .filter(|record| wanted.from.is_none_or(|from| record.time >= from))
            .filter(|record| wanted.to.is_none_or(|to| record.time < to))
            .cloned()
            .collect();
        matching.sort_by(|a, b| b.time.total_cmp(&a.time));
        let total = matching.len() as u64;
        let records = matching.into_iter().skip(wanted.offset as usize).take(wanted.limit as usize).collect();
        Ok(Newest { total, records })
    }
}

/// So many messages of two devices, a second apart.
fn shelf(count: usize) -> Paged<Shelf> {
    let name = |index: usize| if index.is_multiple_of(2) { "a-1:t" } else { "b-1:t" };
    let stored = (0..count).map(|index| record(name(index), index as f64)).collect();
    Paged(Arc::new(Shelf { stored: Mutex::new(stored), ..Shelf::default() }))
}

async fn times(reader: &Paged<Shelf>, query: MessageQuery) -> Vec<f64> {
    let mut query = query;
    let mut times = Vec::new();
    loop {
        let page = reader.page(&query).await.unwrap();
        times.extend(page.messages.iter().map(|record| record.time));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return times,
        }
    }
}

fn in_order(order: Order, limit: usize) -> MessageQuery {
    MessageQuery { order: Some(order), limit: Some(limit), ..MessageQuery::default() }
}

#[tokio::test]
async fn pages_follow_each_other_in_both_orders() {
    let forth: Vec<f64> = (0..25).map(f64::from).collect();
    let back: Vec<f64> = forth.iter().rev().copied().collect();
    for limit in [1, 7, 25, 30] {
        assert_eq!(times(&shelf(25), in_order(Order::Asc, limit)).await, forth, "{limit}");
        assert_eq!(times(&shelf(25), in_order(Order::Desc, limit)).await, back, "{limit}");
    }
    assert!(times(&shelf(0), in_order(Order::Asc, 5)).await.is_empty());
    assert!(times(&shelf(0), in_order(Order::Desc, 5)).await.is_empty());
}

#[tokio::test]
async fn what_arrives_between_pages_neither_repeats_nor_hides_a_message() {
    for order in [Order::Asc, Order::Desc] {
        let reader = shelf(20);
        *reader.0.coming.lock().unwrap() = (100..140).map(|time| record("a-1:t", f64::from(time))).collect();
        let all = times(&reader, in_order(order, 3)).await;
        let mut old: Vec<f64> = all.iter().copied().filter(|time| *time < 100.0).collect();
        if order == Order::Desc {
            old.reverse();
        }
        assert_eq!(old, (0..20).map(f64::from).collect::<Vec<_>>(), "{order:?}");
    }
}

#[tokio::test]
async fn names_that_start_so_are_found_among_all() {
    let reader = shelf(2_500);
    let query = |name: &str, limit| MessageQuery {
        name: Some(name.into()),
        limit: Some(limit),
        ..MessageQuery::default()
    };
    let all = times(&reader, query("b-1:*", 400)).await;
    assert_eq!((all.len(), all[0], all[1249]), (1_250, 2_499.0, 1.0));
    assert!(times(&reader, query("c-1:*", 10)).await.is_empty());
    let page = reader.page(&query("a-1:*", 3)).await.unwrap();
    assert_eq!(page.messages.iter().map(|it| it.time).collect::<Vec<_>>(), [2_498.0, 2_496.0, 2_494.0]);
    let exact = reader.page(&query("a-1:t", 2)).await.unwrap();
    assert_eq!(exact.messages.iter().map(|it| it.time).collect::<Vec<_>>(), [2_498.0, 2_496.0]);
}

#[tokio::test]
async fn intervals_are_made_of_the_messages_of_a_time() {
    let reader = shelf(1_500);
    let query = MessageQuery {
        name: Some("a-1:*".into()),
        from: Some(60.0),
        to: Some(180.0),
        interval: Some("60s".parse().unwrap()),
        aggregate: Some(Aggregate::Max),
        ..MessageQuery::default()
    };
    let page = reader.page(&query).await.unwrap();
    let told: Vec<_> = page.messages.iter().map(|it| (it.time, it.value.clone().unwrap())).collect();
    assert_eq!(told, [(120.0, Value::Number(178.0)), (60.0, Value::Number(118.0))]);
}

#[tokio::test]
async fn all_intervals_are_given_also_when_there_are_more_than_a_page_has() {
    let reader = shelf(2_500);
    let query = MessageQuery { interval: Some("1s".parse().unwrap()), ..in_order(Order::Asc, 1_000) };
    assert_eq!(times(&reader, query).await.len(), 2_500);
}

#[tokio::test]
async fn a_summary_has_the_last_of_each_name_and_names_are_counted() {
    let reader = shelf(1_501);
    let summary = reader.summary().await.unwrap();
    assert_eq!(summary.count, 1_501);
    let last: Vec<_> = summary.last.iter().map(|it| (it.name.as_str(), it.time)).collect();
    assert_eq!(last, [("a-1:t", 1_500.0), ("b-1:t", 1_499.0)]);
    let names = ["a-1:t", "c-1:t"].map(str::to_owned).into();
    assert_eq!(reader.count(&names).await.unwrap(), 751);
}

#[test]
fn a_cursor_that_is_none_is_refused() {
    assert!(Position::read("what").is_err());
    assert_eq!(Position::read("3/9").unwrap().written(), "3/9");
}
