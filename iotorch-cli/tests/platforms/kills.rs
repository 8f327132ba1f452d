//! `kill -9` of the command at each of its requests that change something, on a slice of EdgeX and Mainflux.

use std::{
    collections::BTreeSet,
    panic::resume_unwind,
    time::{Duration, Instant},
};

use iotorch_mainflux_fake::Release;
use serde_json::json;

use crate::{
    gate::{Moment, Stopped},
    home::within,
    stand::{Gateway, Listing, Server, Stand},
};

/// What a life of a slice leaves at the end of each of its three commands, compared with what was there before it.
type Stations = [Listing; 3];

/// Creates, changes and deletes a slice on servers of each release. In each of its lives, each of these commands is killed at one of its
/// requests: before the request is carried out, which then happens when the work has ended without it, or before it is answered. All lives
/// go on at once: most of the time each waits for the deadline of a call whose process was killed.
pub(crate) fn at_every_request() {
    std::thread::scope(|scope| {
        let releases = [Release::Mainflux012, Release::SuperMq019, Release::Magistrala030];
        let releases = releases.map(|release| scope.spawn(move || on(release)));
        releases.into_iter().for_each(|release| release.join().unwrap_or_else(|died| resume_unwind(died)));
    });
}

fn on(release: Release) {
    let usual = Life::new(release, None).live();
    let [whole, changed, left] = &usual.stations;
    assert_ne!(whole, changed, "nothing was changed");
    expect_only_accounts(left, release);
    let requests = 0..usual.requests;
    let kills = requests.flat_map(|request| [Moment::Before, Moment::After].map(|moment| (request, moment)));
    std::thread::scope(|scope| {
        let live = |kill| scope.spawn(move || Life::new(release, Some(kill)).live());
        let lives: Vec<_> = kills.map(|kill| (kill, live(kill))).collect();
        for (kill, life) in lives {
            let life = life.join().unwrap_or_else(|died| resume_unwind(died));
            assert!(life.kills > 0, "{}: no command was killed at {kill:?}", release.name());
            assert_eq!(life.stations, usual.stations, "{}: killed at {kill:?}", release.name());
        }
    });
}

/// Of a slice that is gone there is only what Mainflux cannot delete.
fn expect_only_accounts(left: &Listing, release: Release) {
    let kinds: &[&str] = if release.is_mainflux() { &["users"] } else { &["domains", "users"] };
    let server = kinds.iter().map(|kind| ((*kind).to_owned(), 1)).collect();
    assert_eq!(*left, Listing { server, ..Listing::default() });
}

/// How long a command that is killed may take with all that makes it good, on a machine that is busy: calls of both processes, of a minute each,
/// may be outwaited.
const LONGEST: Duration = Duration::from_secs(300);

/// The name of the slice.
const NAME: &str = "field";

/// A slice that is made, changed and deleted.
struct Life {
    stand: Stand,
    /// The request of each command at which this is killed.
    kill: Option<(usize, Moment)>,
    /// What was there before it.
    before: Listing,
    kills: usize,
    requests: usize,
}

/// What became of it.
struct Lived {
    stations: Stations,
    /// How many commands were killed.
    kills: usize,
    /// The most requests of a command that change something.
    requests: usize,
}

impl Life {
    fn new(release: Release, kill: Option<(usize, Moment)>) -> Self {
        let stand = Stand::gated(Gateway::Edgex, Server::Mainflux(release));
        let before = stand.listing();
        Self { stand, kill, before, kills: 0, requests: 0 }
    }

    fn live(mut self) -> Lived {
        let whole = self.put(&Listing::default());
        self.stand.document(NAME, |spec| {
            spec["profiles"][0]["resources"][0]["range"] = json!([-20, 60]);
            spec["devices"][0]["name"] = json!("bench-3");
        });
        let changed = self.put(&whole);
        let left = self.remove(&changed);
        Lived { stations: [whole, changed, left], kills: self.kills, requests: self.requests }
    }

    /// Applies the document.
    fn put(&mut self, before: &Listing) -> Listing {
        self.reach(&["apply", "--file", "field.json"], before);
        assert!(self.stand.told(&["plan", "--file", "field.json"]).starts_with("No changes"));
        self.here()
    }

    fn remove(&mut self, before: &Listing) -> Listing {
        self.reach(&["delete", NAME, "--yes"], before);
        assert!(!self.stand.told(&["get", "slices"]).contains(NAME), "it is still there");
        self.here()
    }

    /// Runs a command that is killed, and goes on until all is as it should be.
    fn reach(&mut self, command: &[&str], before: &Listing) {
        let begun = Instant::now();
        self.go_on(command, before);
        assert!(begun.elapsed() < LONGEST, "{command:?} took {:?}", begun.elapsed());
    }

    fn go_on(&mut self, command: &[&str], before: &Listing) {
        let Some(stopped) = self.cut_off(command) else { return };
        self.kills += 1;
        let was_open = !self.open_runs().is_empty();
        self.stand.told(&["resume"]);
        assert_eq!(self.open_runs(), BTreeSet::new());
        if was_open {
            let done = self.here();
            self.stand.let_go(stopped);
            // What it did too late is seen, and mended, by the next that looks.
            if command[0] == "apply" {
                self.stand.told(command);
            }
            assert_eq!(self.here(), done, "{command:?}: a request that arrived late left something");
        } else {
            self.stand.let_go(stopped);
            assert_eq!(self.here(), *before, "{command:?}: something was done before it was noted");
            self.stand.told(command);
        }
        assert_eq!(self.open_runs(), BTreeSet::new());
        self.expect_no_stray_secret();
    }

    /// Kills the command at its request; gives that, or nothing where the command ends before it sends so many.
    fn cut_off(&mut self, command: &[&str]) -> Option<Stopped> {
        let Some((request, moment)) = self.kill else {
            let before = self.stand.gate().changes();
            self.stand.told(command);
            self.requests = self.requests.max(self.stand.gate().changes() - before);
            return None;
        };
        let stopped = self.stand.gate().stop(request, moment);
        let mut working = self.stand.start(command);
        let mut ended = None;
        within(LONGEST, "the command is stopped, or ends", || {
            ended = working.has_ended();
            stopped.is_here() || ended.is_some()
        });
        match ended {
            None => {
                drop(working);
                Some(stopped)
            }
            Some(status) => {
                self.stand.gate().clear();
                assert!(status.success(), "{command:?}: {status}");
                None
            }
        }
    }

    /// What is there now that was not before this slice.
    fn here(&self) -> Listing {
        self.stand.listing().since(&self.before)
    }

    fn open_runs(&self) -> BTreeSet<String> {
        let runs = self.stand.data(&["runs", "--open"]);
        runs.as_array().unwrap().iter().map(|run| run["id"].to_string()).collect()
    }

    /// Every secret that is kept belongs to something that is known.
    fn expect_no_stray_secret(&self) {
        let known = self.stand.told(&["state", "export"]);
        for secret in self.stand.secrets() {
            assert!(known.contains(&secret), "the secret {secret} belongs to nothing");
        }
    }
}
