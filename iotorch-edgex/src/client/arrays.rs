//! Many things in one request: one that is invalid has the whole array refused, and a large one takes too long.

use std::ops::Range;

use futures::future::BoxFuture;

use super::Result;
use crate::error::{Failure, Why};

/// How many further requests the search for what an array was refused for may take.
const SEARCH: usize = 24;

/// What became of each item.
pub(crate) type Items = Vec<Result<()>>;

/// Sends one array to a service, and gives what became of each item.
pub(crate) type Send<S, T> = for<'a> fn(&'a S, &'a [T]) -> BoxFuture<'a, Result<Items>>;

/// Sends `items` in arrays of at most `size`, one after the other, and gives what became of each item.
///
/// An array that is refused whole is sent again in halves until what is refused for is found alone, within a bound. After an array
/// that was given up on no other is sent: the service is still at work.
pub(crate) async fn in_arrays<S: Sync, T: Sync>(to: &S, items: &[T], size: usize, send: Send<S, T>) -> Items {
    let mut results: Vec<Option<Result<()>>> = items.iter().map(|_| None).collect();
    let size = size.max(1);
    let mut waiting: Vec<Range<usize>> =
        (0..items.len()).step_by(size).map(|from| from..(from + size).min(items.len())).rev().collect();
    let mut searched = 0;
    while let Some(range) = waiting.pop() {
        let failure = match send(to, &items[range.clone()]).await {
            Ok(done) => {
                for (index, result) in range.zip(done) {
                    results[index] = Some(result);
                }
                continue;
            }
            Err(failure) => failure,
        };
        if is_refused_whole(&failure) && range.len() > 1 && searched + 2 <= SEARCH {
            searched += 2;
            let middle = range.start + range.len() / 2;
            waiting.push(middle..range.end);
            waiting.push(range.start..middle);
            continue;
        }
        let is_over = !is_refused_whole(&failure);
        for index in range {
            results[index] = Some(Err(failure.clone()));
        }
        if is_over {
            for index in waiting.drain(..).flatten() {
                results[index] = Some(Err(failure.clone()));
            }
        }
    }
    // An answer with too few results was refused as strange, so each item has one.
    results.into_iter().flatten().collect()
}

fn is_refused_whole(failure: &Failure) -> bool {
    matches!(failure.why(), Why::Said { status: 400 | 413, .. })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::FutureExt as _;

    use super::*;

    fn refusal(why: Why) -> Failure {
        Failure::new(&Arc::from("core-metadata"), why)
    }

    /// A service that refuses an array for any of the numbers that it does not like, and gives up on empty lists of these.
    #[derive(Default)]
    struct Picky {
        bad: Vec<u32>,
        gives_up: bool,
        requests: Mutex<usize>,
        taken: Mutex<Vec<u32>>,
    }

    impl Picky {
        fn take(&self, array: &[u32]) -> Result<Items> {
            *self.requests.lock().unwrap() += 1;
            if self.gives_up {
                return Err(refusal(Why::GaveUp));
            }
            if array.iter().any(|number| self.bad.contains(number)) {
                return Err(refusal(Why::Said { status: 400, message: "no".to_owned() }));
            }
            self.taken.lock().unwrap().extend_from_slice(array);
            Ok(array.iter().map(|_| Ok(())).collect())
        }

        /// Which of the numbers were taken, and how many requests it took.
        async fn get(&self, numbers: &[u32], size: usize) -> (Vec<bool>, usize) {
            let send: Send<Self, u32> = |service, some| async move { service.take(some) }.boxed();
            let results = in_arrays(self, numbers, size, send).await;
            (results.iter().map(Result::is_ok).collect(), *self.requests.lock().unwrap())
        }
    }

    #[tokio::test]
    async fn arrays_are_no_longer_than_they_may_be() {
        let (numbers, service) = ((0..250).collect::<Vec<_>>(), Picky::default());
        let (good, requests) = service.get(&numbers, 100).await;
        assert!(good.iter().all(|good| *good));
        assert_eq!((requests, &*service.taken.lock().unwrap()), (3, &numbers));
    }

    #[tokio::test]
    async fn the_one_that_an_array_is_refused_for_is_found_and_the_others_stand() {
        let service = Picky { bad: vec![37], ..Picky::default() };
        let (good, requests) = service.get(&(0..100).collect::<Vec<_>>(), 100).await;
        let failed: Vec<_> = (0..100).filter(|number| !good[*number]).collect();
        assert_eq!(failed, [37]);
        assert_eq!(service.taken.lock().unwrap().len(), 99);
        assert!(requests <= 15, "{requests}");
    }

    #[tokio::test]
    async fn the_search_has_an_end_where_everything_is_refused() {
        let numbers: Vec<u32> = (0..200).collect();
        let service = Picky { bad: numbers.clone(), ..Picky::default() };
        let (good, requests) = service.get(&numbers, 200).await;
        assert!(good.iter().all(|good| !good));
        assert!(requests <= 1 + SEARCH, "{requests}");
    }

    #[tokio::test]
    async fn nothing_more_is_sent_to_a_service_that_gave_up() {
        let service = Picky { gives_up: true, ..Picky::default() };
        assert_eq!(service.get(&[1, 2, 3], 1).await, (vec![false; 3], 1));
    }
}
