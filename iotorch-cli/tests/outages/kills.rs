//! `kill -9` of the command at random instants, with and without the helm that works for it.

use std::{
    env,
    ffi::OsStr,
    fmt,
    panic::resume_unwind,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::{
    bench::{Bench, System},
    common::apply,
    expect_whole, lite,
};

/// Kills in all if `IOTORCH_KILLS` does not say.
const KILLS: u32 = 20;

/// Slices that live, and die, side by side.
const LIVES: u32 = 2;

/// The name of the slice in its bench.
const NAME: &str = "one";

/// Where its parts are.
const PARTS: [(&str, &[&str]); 2] = [("edge-1", &["gw"]), ("cloud-1", &["hub"])];

/// How long a command takes, about: instants are chosen from this time. Removing a namespace takes Kubernetes 5 s.
const CREATE: Duration = Duration::from_millis(3500);
const CHANGE: Duration = Duration::from_millis(3000);
const DELETE: Duration = Duration::from_secs(11);
const RESUME: Duration = Duration::from_secs(2);

pub(crate) fn at_random_instants(system: &System) {
    let kills = variable("IOTORCH_KILLS").unwrap_or(KILLS);
    let seed = variable("IOTORCH_SEED").unwrap_or_else(rand::random::<u32>);
    eprintln!("IOTORCH_KILLS={kills} IOTORCH_SEED={seed}");
    let met: Vec<Met> = std::thread::scope(|scope| {
        let live = |number: u32| {
            move || Life::new(system.clone(), seed.wrapping_add(number)).live(kills.div_ceil(LIVES))
        };
        let lives: Vec<_> = (0..LIVES).map(|number| scope.spawn(live(number))).collect();
        lives.into_iter().map(|life| life.join().unwrap_or_else(|died| resume_unwind(died))).collect()
    });
    let total = met.into_iter().fold(Met::default(), Met::and);
    eprintln!("{total}");
    assert!(total.in_the_middle >= kills / 4, "the kills miss what they are for");
}

#[allow(clippy::disallowed_methods, reason = "a test is told by the environment how long to go on")]
fn variable(name: &str) -> Option<u32> {
    env::var(name).ok()?.parse().ok()
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    kills: u32,
    /// Kills that left an open run.
    in_the_middle: u32,
    /// Kills that a helm survived.
    survived: u32,
    /// The longest time that a resume took.
    resume: Duration,
}

impl Met {
    fn and(self, other: Self) -> Self {
        Self {
            kills: self.kills + other.kills,
            in_the_middle: self.in_the_middle + other.in_the_middle,
            survived: self.survived + other.survived,
            resume: self.resume.max(other.resume),
        }
    }
}

impl fmt::Display for Met {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, in_the_middle, survived, resume } = self;
        write!(
            out,
            "{kills} kills, {in_the_middle} in the middle of a run, {survived} survived by a helm; "
        )?;
        write!(out, "the longest resume took {:.1} s", resume.as_secs_f64())
    }
}

/// A slice that is made, changed and removed again and again, by commands that are killed.
struct Life {
    bench: Bench,
    random: StdRng,
    met: Met,
    /// What its document said before the last change; none when there was no such slice.
    before: Option<Value>,
}

impl Life {
    fn new(system: System, seed: u32) -> Self {
        let random = StdRng::seed_from_u64(seed.into());
        Self { bench: Bench::new(system), random, met: Met::default(), before: None }
    }

    fn live(mut self, kills: u32) -> Met {
        while self.met.kills < kills {
            self.before = None;
            self.put(CREATE);
            while self.met.kills + 1 < kills && self.random.random_bool(0.7) {
                self.put(CHANGE);
            }
            self.remove();
        }
        self.met
    }

    /// Applies a new document, is killed, and goes on until everything is as it says.
    fn put(&mut self, usual: Duration) {
        let spec = lite(self.random.random_range(1..6), self.random.random_range(100..1000));
        self.bench.base.document(NAME, &spec);
        let apply = apply(&[NAME]);
        let was_open = self.cut_off(&apply, usual);
        self.resume();
        if !self.bench.is_as_documented(NAME) {
            assert!(!was_open, "a run that was begun ends as it was meant to: {}", self.bench.changes(NAME));
            self.expect_as_before();
            self.bench.base.document(NAME, &spec);
            self.bench.base.told(&apply);
        }
        expect_whole(&self.bench, NAME, &PARTS);
        self.before = Some(spec);
    }

    /// Nothing was begun.
    fn expect_as_before(&self) {
        match &self.before {
            Some(before) => {
                self.bench.base.document(NAME, before);
                expect_whole(&self.bench, NAME, &PARTS);
            }
            None => self.bench.base.expect_gone(&self.bench.base.slice(NAME)),
        }
    }

    fn remove(&mut self) {
        let slice = self.bench.base.slice(NAME);
        let delete = ["delete", &slice, "--yes"];
        let was_open = self.cut_off(&delete, DELETE);
        self.resume();
        let slices = self.bench.base.told(&["get", "slices", "--output", "json"]);
        if slices.contains(&slice) {
            assert!(!was_open, "a removal that was begun is brought to its end");
            expect_whole(&self.bench, NAME, &PARTS);
            self.bench.base.told(&delete);
        }
        self.bench.base.expect_gone(&slice);
    }

    /// A command that is killed at a random instant; tells whether it left an open run.
    fn cut_off<S: AsRef<OsStr>>(&mut self, arguments: &[S], usual: Duration) -> bool {
        let mut working = self.bench.start(arguments);
        let instant =
            Duration::from_micros(self.random.random_range(0..u64::try_from(usual.as_micros()).unwrap()));
        // The instant itself is what is tested: there is no condition to wait for.
        working.listen(instant);
        let with_helms = self.random.random_bool(0.5);
        let helms = working.kill(with_helms);
        self.met.kills += 1;
        self.met.survived += u32::from(helms > 0 && !with_helms);
        let is_open = !self.bench.open_runs().is_empty();
        self.met.in_the_middle += u32::from(is_open);
        eprintln!(
            "{} killed after {:.1} s, {helms} helms at work{}: {}",
            arguments[0].as_ref().display(),
            instant.as_secs_f64(),
            if with_helms { " killed too" } else { "" },
            if is_open { "a run is open" } else { "no run is open" }
        );
        is_open
    }

    /// Ends what is open; that is killed too, now and then.
    fn resume(&mut self) {
        if self.random.random_bool(0.3) {
            self.cut_off(&["resume"], RESUME);
        }
        let begun = Instant::now();
        self.bench.base.told(&["resume"]);
        self.met.resume = self.met.resume.max(begun.elapsed());
        assert!(self.bench.open_runs().is_empty(), "{:?}", self.bench.open_runs());
    }
}
