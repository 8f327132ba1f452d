//! Trials, and how they are run.

use std::{any::Any, fmt, panic::AssertUnwindSafe};

use futures::{FutureExt as _, future::BoxFuture};

/// What a trial ends with.
pub type Outcome = Result<(), Failure>;

/// Why a trial failed. Every error turns into one, with its causes, so that a trial can use `?`.
pub struct Failure(String);

impl Failure {
    /// A failure with a message in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// Therefore it is no `Error` itself.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            next = cause.source();
        }
        Self(message)
    }
}

/// One thing that an implementation has to do.
///
/// # Examples
/// ```
/// use iotorch_core::testing::{self, Failure, Trial};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let passes = Trial::new("a number is read", || async {
///     "42".parse::<u8>()?;
///     Ok(())
/// });
/// let fails = Trial::new("a word is a number", || async {
///     "many".parse::<u8>()?;
///     Ok(())
/// });
/// let failures = testing::run([passes, fails]).await.unwrap_err();
/// assert_eq!(failures.to_string(), "1 of 2 trials failed\n  a word is a number: invalid digit found in string");
/// # });
/// ```
pub struct Trial {
    name: String,
    body: Box<dyn FnOnce() -> BoxFuture<'static, Outcome> + Send>,
}

impl Trial {
    /// A trial called `name`, a sentence about behaviour such as `what was committed is read back`. Nothing runs yet.
    pub fn new<F>(name: impl Into<String>, body: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Self { name: name.into(), body: Box::new(move || body().boxed()) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs it. A panic is a failure too.
    pub async fn run(self) -> Outcome {
        // What a trial made is dropped with it, so nobody sees it half done.
        let body = AssertUnwindSafe(async move { (self.body)().await });
        body.catch_unwind().await.unwrap_or_else(|panic| Err(Failure::new(words_of(&*panic))))
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trial").field(&self.name).finish()
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

/// The trials that failed, each with why.
pub struct Failures {
    ran: usize,
    failed: Vec<(String, Failure)>,
}

impl Failures {
    /// The name of each trial that failed, and why.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Failure)> {
        self.failed.iter().map(|(name, failure)| (name.as_str(), failure))
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} trials failed", self.failed.len(), self.ran)?;
        self.iter().try_for_each(|(name, failure)| write!(f, "\n  {name}: {failure}"))
    }
}

// A test that returns this is shown by it.
impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failures {}

/// Runs all trials, one after the other, also when some fail.
///
/// # Errors
/// The trials that failed.
pub async fn run(trials: impl IntoIterator<Item = Trial>) -> Result<(), Failures> {
    let mut failures = Failures { ran: 0, failed: Vec::new() };
    for trial in trials {
        failures.ran += 1;
        let name = trial.name.clone();
        if let Err(failure) = trial.run().await {
            failures.failed.push((name, failure));
        }
    }
    if failures.failed.is_empty() { Ok(()) } else { Err(failures) }
}
