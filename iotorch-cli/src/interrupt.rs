//! Ctrl-C: the first time stop cleanly, the second time at once.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    exit::Exit,
    failure::{Result, cannot},
    screen::Screen,
};

/// Watches for signals until it is dropped.
#[derive(Debug)]
pub(crate) struct Interrupt {
    token: CancellationToken,
    task: JoinHandle<()>,
}

impl Interrupt {
    /// Begins to watch. The first Ctrl-C or SIGTERM cancels [`token`](Self::token) and says `message`; the second ends the process,
    /// which equals a crash: what was under way is in the journal.
    pub(crate) fn watch(screen: &Screen, message: &'static str) -> Result<Self> {
        let (mut interrupt, mut terminate) =
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let token = CancellationToken::new();
        let (cancel, screen) = (token.clone(), screen.clone());
        let task = tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            screen.note(message);
            cancel.cancel();
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(i32::from(Exit::Interrupted.code()));
        });
        Ok(Self { token, task })
    }

    /// Cancelled when a person asked to stop.
    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to listen for Ctrl-C and SIGTERM; what it gives ends with the first of them.
pub(crate) fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move { either(&mut interrupt, &mut terminate).await })
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|error| cannot("listen for signals", error).into())
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
