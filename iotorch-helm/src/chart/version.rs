//! Versions of charts, and what one is asked for: `1.2.3`, `^1.2`, `~1`, `>=1.2 <2`, `1.x || 3.x`, or nothing.
//!
//! Ranges mean what they mean to Helm, which reads them with Masterminds/semver 3: a version with a pre-release
//! (`2.0.0-rc.1`) is meant only where a bound between two `||` has one itself; a bound whose end is missing or an `x`
//! stands for every version below it, so `1.2` is `~1.2`; spaces and commas between bounds mean "and".

use std::{fmt, str::FromStr};

use semver::{Prerelease, Version};

use crate::error::{Error, ErrorKind};

/// The longest text of a range in bytes, which is Helm's bound too.
const LONGEST: usize = 512;

/// Reads a version of a chart, which need not be complete: `v1.2` is 1.2.0.
pub(super) fn lenient(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    if let Ok(version) = Version::parse(text) {
        return Some(version);
    }
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let missing = 2_usize.checked_sub(numbers.matches('.').count())?;
    Version::parse(&format!("{numbers}{}{rest}", ".0".repeat(missing))).ok()
}

/// Whether a text is a version of a chart with all its parts.
pub(crate) fn is_version(text: &str) -> bool {
    Version::parse(text.strip_prefix('v').unwrap_or(text)).is_ok()
}

/// Which versions of a chart are meant.
///
/// # Examples
/// ```
/// use iotorch_helm::chart::VersionRange;
///
/// let range: VersionRange = ">=1.2 <2 || 3.x".parse()?;
/// assert!(range.contains("1.9.0") && range.contains("3.1.4"));
/// assert!(!range.contains("2.0.0") && !range.contains("3.2.0-rc.1"));
/// assert!("newest".parse::<VersionRange>().is_err());
/// # Ok::<(), iotorch_helm::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    text: String,
    any_of: Vec<Group>,
}

/// Bounds that all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    all_of: Vec<Bound>,
    with_prereleases: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    /// What is missing is 0.
    version: Version,
    /// How many of major, minor and patch were written: 0 to 3.
    given: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// Longer ones before those that they begin with.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("=", Operator::Equal),
];

impl VersionRange {
    /// Every version that is no pre-release, which is what nothing means.
    #[must_use]
    pub fn any() -> Self {
        let version = Version::new(0, 0, 0);
        let every = Bound { operator: Operator::GreaterOrEqual, version, given: 0 };
        Self { text: String::new(), any_of: vec![Group { all_of: vec![every], with_prereleases: false }] }
    }

    /// Whether a version, written as charts have them, is meant.
    #[must_use]
    pub fn contains(&self, version: &str) -> bool {
        self.is_exactly(version) || lenient(version).is_some_and(|version| self.admits(&version))
    }

    /// Whether it is written as this very version, which then is meant even where others are equal to it.
    pub(super) fn is_exactly(&self, version: &str) -> bool {
        self.text == version
    }

    /// The one complete version that it can only be, such as `1.2.3`.
    pub(super) fn exact(&self) -> Option<&str> {
        let text = self.text.strip_prefix('v').unwrap_or(&self.text);
        Version::parse(text).is_ok().then_some(&self.text)
    }

    pub(super) fn admits(&self, version: &Version) -> bool {
        self.any_of.iter().any(|group| {
            (version.pre.is_empty() || group.with_prereleases)
                && group.all_of.iter().all(|bound| bound.admits(version))
        })
    }
}

impl Bound {
    fn admits(&self, version: &Version) -> bool {
        let order = version.cmp_precedence(&self.version);
        let (major, minor) = (version.major == self.version.major, version.minor == self.version.minor);
        match self.operator {
            // What is missing on the right is anything.
            Operator::Equal if self.given < 3 => self.is_near(version),
            Operator::Equal => order.is_eq(),
            Operator::NotEqual if self.given < 3 => !self.shares_what_was_given(version),
            Operator::NotEqual => order.is_ne(),
            // Past everything that the bound stands for.
            Operator::Greater if self.given < 3 => order.is_gt() && !self.shares_what_was_given(version),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual if self.given < 3 => order.is_le() || self.shares_what_was_given(version),
            Operator::LessOrEqual => order.is_le(),
            Operator::Tilde => self.is_near(version),
            Operator::Caret => {
                order.is_ge()
                    && match (self.given, self.version.major, self.version.minor) {
                        (0, ..) => true,
                        (1, ..) | (_, 1.., _) => major,
                        (2, 0, _) | (_, 0, 1..) => major && minor,
                        _ => major && minor && version.patch == self.version.patch,
                    }
            }
        }
    }

    /// As a tilde has it: not below, the same major version, and the same minor one if there is one.
    fn is_near(&self, version: &Version) -> bool {
        version.cmp_precedence(&self.version).is_ge()
            && (self.given == 0 || version.major == self.version.major)
            && (self.given < 2 || version.minor == self.version.minor)
    }

    fn shares_what_was_given(&self, version: &Version) -> bool {
        (self.given < 1 || version.major == self.version.major)
            && (self.given < 2 || version.minor == self.version.minor)
    }
}

impl FromStr for VersionRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::any());
        }
        let wrong = |why: String| {
            Error::new(ErrorKind::InvalidValues, format!("cannot use {text:?} as the version of a chart"))
                .with_source(why)
                .with_help(
                    "write a version (1.2.3) or a range of versions (^1.2, ~1.2, 1.x, >=1.2 <2, 1.0 - 1.4)",
                )
        };
        if text.len() > LONGEST {
            return Err(wrong(format!("it is longer than {LONGEST} characters")));
        }
        let any_of = text.split("||").map(group).collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Self { text: text.to_owned(), any_of })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Reads what stands between two `||`.
fn group(text: &str) -> Result<Group, String> {
    // `1.2 - 1.4` has spaces around its dash, an operator may have some before its version.
    let mut words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty()).peekable();
    let mut all_of = Vec::new();
    while let Some(word) = words.next() {
        let (operator, rest) = operator(word);
        let rest = match rest {
            "" => words.next().ok_or_else(|| format!("a version is missing after {word:?}"))?,
            rest => rest,
        };
        if operator.is_none() && words.next_if_eq(&"-").is_some() {
            let last = words.next().ok_or("the end of a range from one version to another is missing")?;
            all_of.push(bound(Operator::GreaterOrEqual, rest)?);
            all_of.push(bound(Operator::LessOrEqual, last)?);
        } else {
            all_of.push(bound(operator.unwrap_or(Operator::Equal), rest)?);
        }
    }
    if all_of.is_empty() {
        return Err("there is nothing on one side of \"||\"".into());
    }
    let with_prereleases = all_of.iter().any(|bound| !bound.version.pre.is_empty());
    Ok(Group { all_of, with_prereleases })
}

fn operator(word: &str) -> (Option<Operator>, &str) {
    let found = OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, word.strip_prefix(sign)?)));
    found.map_or((None, word), |(operator, rest)| (Some(operator), rest))
}

/// Reads a version whose end may be missing.
fn bound(operator: Operator, text: &str) -> Result<Bound, String> {
    let wrong = || format!("{text:?} is no version");
    let core = text.strip_prefix('v').unwrap_or(text);
    let core = core.split_once('+').map_or(core, |(core, _build)| core);
    let (numbers, pre) = match core.split_once('-') {
        Some((_, "")) => return Err(wrong()),
        Some((numbers, pre)) => (numbers, pre),
        None => (core, ""),
    };
    let mut parts = [0; 3];
    let mut given = 0;
    for (position, part) in numbers.split('.').enumerate() {
        let place = parts.get_mut(position).ok_or_else(wrong)?;
        if matches!(part, "x" | "X" | "*") {
            continue;
        }
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| part.parse::<u64>().ok()).flatten().ok_or_else(wrong)?;
        // After an `x` numbers mean nothing.
        if given == position {
            *place = number;
            given = position + 1;
        }
    }
    let pre = Prerelease::new(pre).map_err(|_| wrong())?;
    let version = Version { pre, ..Version::new(parts[0], parts[1], parts[2]) };
    Ok(Bound { operator, version, given })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSIONS: [&str; 17] = [
        "0.0.3",
        "0.0.4",
        "0.1.0",
        "0.2.3",
        "0.2.9",
        "0.3.0",
        "1.0.0",
        "1.1.9",
        "1.2.0",
        "1.2.3",
        "1.2.4",
        "1.10.0",
        "2.0.0-rc.1",
        "2.0.0",
        "2.1.0-0",
        "11.0.0",
        "11.1.1",
    ];

    fn admitted(range: &str) -> String {
        let range: VersionRange = range.parse().unwrap();
        VERSIONS.iter().copied().filter(|version| range.contains(version)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ranges_mean_what_they_mean_to_helm() {
        for (range, expected) in [
            ("1.2.3", "1.2.3"),
            ("v1.2.3", "1.2.3"),
            ("=1.2.3", "1.2.3"),
            ("1.2", "1.2.0 1.2.3 1.2.4"),
            ("1.2.x", "1.2.0 1.2.3 1.2.4"),
            ("1", "1.0.0 1.1.9 1.2.0 1.2.3 1.2.4 1.10.0"),
            ("1.x", "1.0.0 1.1.9 1.2.0 1.2.3 1.2.4 1.10.0"),
            ("~1.2.3", "1.2.3 1.2.4"),
            ("~1.2", "1.2.0 1.2.3 1.2.4"),
            ("~> 1", "1.0.0 1.1.9 1.2.0 1.2.3 1.2.4 1.10.0"),
            ("^1.2", "1.2.0 1.2.3 1.2.4 1.10.0"),
            ("^0.2.3", "0.2.3 0.2.9"),
            ("^0.0.3", "0.0.3"),
            ("^0.0", "0.0.3 0.0.4"),
            ("^0", "0.0.3 0.0.4 0.1.0 0.2.3 0.2.9 0.3.0"),
            (">=1.2 <2", "1.2.0 1.2.3 1.2.4 1.10.0"),
            (">= 1.2, < 2", "1.2.0 1.2.3 1.2.4 1.10.0"),
            (">=1.2.4 <2.0.0-rc.2", "1.2.4 1.10.0 2.0.0-rc.1"),
            (">1.2", "1.10.0 2.0.0 11.0.0 11.1.1"),
            (">11", ""),
            ("<=1.2", "0.0.3 0.0.4 0.1.0 0.2.3 0.2.9 0.3.0 1.0.0 1.1.9 1.2.0 1.2.3 1.2.4"),
            ("1.1 - 1.2.3", "1.1.9 1.2.0 1.2.3"),
            ("1.2.3 || 11.x", "1.2.3 11.0.0 11.1.1"),
            ("!=1.2 >1.1 <2", "1.10.0"),
            ("^2.0.0-0", "2.0.0-rc.1 2.0.0 2.1.0-0"),
            ("2.0.0-rc.1", "2.0.0-rc.1"),
            (">11.0.0", "11.1.1"),
        ] {
            assert_eq!(admitted(range), expected, "{range}");
        }
        let stable: Vec<_> = VERSIONS.iter().copied().filter(|version| !version.contains('-')).collect();
        for range in ["", "*", "x", ">=0", "^*"] {
            assert_eq!(admitted(range), stable.join(" "), "{range:?}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for wrong in ["latest", "1.2.3.4", ">=", "1 ||", "|| 1", "1..2", "-1", "1 -", "^^1", "1.2.3-", "١"] {
            let error = wrong.parse::<VersionRange>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidValues, "{wrong}");
        }
        assert!("1".repeat(LONGEST + 1).parse::<VersionRange>().is_err());
        assert!("99999999999999999999.0.0".parse::<VersionRange>().is_err());
    }

    #[test]
    fn versions_need_not_be_complete() {
        for (text, expected) in [("v1.2", "1.2.0"), ("1", "1.0.0"), ("1.2-rc.1+b", "1.2.0-rc.1+b")] {
            assert_eq!(lenient(text).unwrap().to_string(), expected);
        }
        assert!(lenient("one").is_none() && lenient("1.2.3.4").is_none());
    }

    #[test]
    fn only_a_complete_version_is_exact() {
        let exact = |text: &str| text.parse::<VersionRange>().unwrap().exact().map(str::to_owned);
        assert_eq!(exact("1.2.3-rc.1+7").as_deref(), Some("1.2.3-rc.1+7"));
        assert_eq!(exact("v1.2.3").as_deref(), Some("v1.2.3"));
        assert_eq!((exact("1.2"), exact("=1.2.3"), exact("")), (None, None, None));
    }
}
