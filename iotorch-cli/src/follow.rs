//! Shows runs while they happen.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use iotorch_core::observer::RunEvent;
use jiff::Timestamp;
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{events::Hub, render::progress::Board, screen::Screen};

/// The time between two drawings of what is under way.
const TICK: Duration = Duration::from_millis(100);

/// Shows events until it is [finished](Self::finish): a live tree on a terminal, plain lines elsewhere, nothing when quiet.
#[derive(Debug)]
pub(crate) struct Follower {
    table: watch::Sender<Vec<String>>,
    done: CancellationToken,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins to show the events that come from now on.
    pub(crate) fn start(screen: &Screen, events: &Hub) -> Self {
        let (table, lines) = watch::channel(Vec::new());
        let done = CancellationToken::new();
        let events = events.listen();
        let task = if screen.is_live {
            tokio::spawn(Live::new(screen).follow(events, lines, done.clone()))
        } else {
            tokio::spawn(plain(screen.clone(), events, done.clone()))
        };
        Self { table, done, task }
    }

    /// Shows these lines at the foot of a live screen, in place of those before.
    pub(crate) fn show_table(&self, lines: Vec<String>) {
        self.table.send_replace(lines);
    }

    /// Shows what has happened until now, and clears the foot of the screen.
    pub(crate) async fn finish(self) {
        self.done.cancel();
        // A panic of the task has been reported by the panic hook.
        let _ = self.task.await;
    }
}

async fn plain(screen: Screen, mut events: UnboundedReceiver<Arc<RunEvent>>, done: CancellationToken) {
    let mut board = Board::default();
    let mut tell = |event: &RunEvent| {
        if let Some(told) = board.take(event) {
            screen.note(Board::plain_line(&told));
        }
    };
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => tell(&event),
            () = done.cancelled() => break,
        }
    }
    while let Ok(event) = events.try_recv() {
        tell(&event);
    }
}

/// The live tree.
struct Live {
    screen: Screen,
    lines: MultiProgress,
    foot: ProgressBar,
    board: Board,
}

impl Live {
    fn new(screen: &Screen) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let foot = lines.add(ProgressBar::new_spinner());
        foot.set_style(
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        *screen.foot.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines.clone());
        Self { screen: screen.clone(), lines, foot, board: Board::default() }
    }

    async fn follow(
        mut self,
        mut events: UnboundedReceiver<Arc<RunEvent>>,
        table: watch::Receiver<Vec<String>>,
        done: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(TICK);
        let mut tick = 0;
        loop {
            tokio::select! {
                biased;
                () = done.cancelled() => break,
                Some(event) = events.recv() => self.tell(&event),
                _ = ticks.tick() => {
                    tick += 1;
                    self.draw(tick, &table.borrow());
                }
            }
        }
        while let Ok(event) = events.try_recv() {
            self.tell(&event);
        }
        self.foot.finish_and_clear();
        let _ = self.lines.clear();
        *self.screen.foot.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Draws what is under way, and the table below it.
    fn draw(&self, tick: usize, table: &[String]) {
        let mut foot = self.board.foot(Timestamp::now(), tick, self.screen.err);
        if !foot.is_empty() && !table.is_empty() {
            foot.push(String::new());
        }
        foot.extend_from_slice(table);
        if !foot.is_empty() {
            // The terminal's echo of Ctrl-C at the end of the last line makes it scroll: what is not cleared then is empty.
            foot.insert(0, String::new());
        }
        self.foot.set_message(foot.join("\n"));
    }

    fn tell(&mut self, event: &RunEvent) {
        if let Some(told) = self.board.take(event).filter(|told| !told.is_passing()) {
            // With nobody to tell there is nothing to do about it.
            let _ = self.lines.println(self.board.live_line(&told, self.screen.err));
        }
    }
}
