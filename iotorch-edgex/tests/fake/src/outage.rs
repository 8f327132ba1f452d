//! What tests take away from a gateway, and requests that do not go as they should.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Asked, Service};

/// What a gateway can lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A service that is stopped: nothing listens, and the registry knows.
    Stopped(Service),
    /// A service whose process is gone: nothing listens, and the registry finds out.
    Killed(Service),
    /// The database.
    Database,
    /// The message bus: services do not hear of each other any more.
    Bus,
}

/// What happens to a request instead of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with a status, and nothing is done.
    Refused(u16),
    /// The same, with a text that is no JSON.
    Said(u16, &'static str),
    /// The connection ends, and nothing is done.
    Lost,
    /// What it asks is done, and the connection ends before the answer.
    LostAnswer,
}

/// A fault that waits for its request.
#[derive(Clone, Debug)]
pub(crate) struct Laid {
    pub(crate) service: Service,
    pub(crate) question: String,
    /// How many such requests are let through before.
    pub(crate) passes: usize,
    pub(crate) fault: Fault,
}

/// The fault that happens to a request, if one was laid for it.
pub(crate) fn meet(faults: &mut Vec<Laid>, asked: &Asked) -> Option<Fault> {
    let index = faults.iter().position(|laid| fits(asked, laid.service, &laid.question))?;
    let laid = &mut faults[index];
    if laid.passes > 0 {
        laid.passes -= 1;
        return None;
    }
    Some(faults.remove(index).fault)
}

/// A request that waits before anything is done for it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    service: Service,
    /// The method and the beginning of the path.
    question: String,
    here: Arc<watch::Sender<bool>>,
    go: watch::Receiver<bool>,
}

/// A request that is held: what it asks is done when it is let go, even if who asked is gone by then.
#[derive(Debug)]
pub struct Hold {
    here: watch::Receiver<bool>,
    go: watch::Sender<bool>,
}

/// Holds the next request of this kind.
pub(crate) fn hold(service: Service, question: &str) -> (Held, Hold) {
    let (here, arrived) = watch::channel(false);
    let (let_go, go) = watch::channel(false);
    let held = Held { service, question: question.to_owned(), here: Arc::new(here), go };
    (held, Hold { here: arrived, go: let_go })
}

/// Whether a request is such as `POST /api/v3/device`.
pub(crate) fn fits(asked: &Asked, service: Service, question: &str) -> bool {
    asked.service == service && format!("{} {}", asked.method, asked.path).starts_with(question)
}

impl Held {
    pub(crate) fn fits(&self, asked: &Asked) -> bool {
        fits(asked, self.service, &self.question)
    }

    /// Until it is let go.
    pub(crate) async fn wait(mut self) {
        self.here.send_replace(true);
        // A test that has ended lets everything go.
        let _ = self.go.wait_for(|go| *go).await;
    }
}

impl Hold {
    /// Waits until the request is there.
    pub async fn arrived(&mut self) {
        // It comes no more when the gateway is gone.
        let _ = self.here.wait_for(|here| *here).await;
    }

    /// Lets it go.
    pub fn let_go(self) {
        self.go.send_replace(true);
    }
}
