//! Patterns of file names as Go's `filepath.Match` has them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before what is meant as it
//! stands. None of them but a `/` itself stands for a `/`.

/// A pattern of a path.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Clone, Debug)]
enum Token {
    Star,
    One,
    Literal(char),
    Class { is_negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    /// Whether it stands for this one character; a star does for any.
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == c,
            Self::Star | Self::One => c != '/',
            Self::Class { is_negated, ranges } => {
                c != '/' && *is_negated != ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
            }
        }
    }
}

impl Pattern {
    /// Reads a pattern; `None` for one that is wrong.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::One,
                '\\' => Token::Literal(rest.next()?),
                '[' => {
                    let is_negated = rest.as_str().starts_with('^');
                    if is_negated {
                        rest.next();
                    }
                    let mut ranges = Vec::new();
                    while ranges.is_empty() || !rest.as_str().starts_with(']') {
                        let low = bound(&mut rest)?;
                        let high = if rest.as_str().starts_with('-') {
                            rest.next();
                            bound(&mut rest)?
                        } else {
                            low
                        };
                        ranges.push((low, high));
                    }
                    rest.next();
                    Token::Class { is_negated, ranges }
                }
                literal => Token::Literal(literal),
            });
        }
        Some(Self(tokens))
    }

    /// Whether the whole of `text` is meant.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut token, mut at) = (0, 0);
        // The last star, and where what it stands for ends at present. To lengthen earlier ones cannot help.
        let mut star: Option<(usize, usize)> = None;
        loop {
            match self.0.get(token) {
                Some(Token::Star) => {
                    star = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(other) if text.get(at).is_some_and(|c| other.fits(*c)) => {
                    (token, at) = (token + 1, at + 1);
                    continue;
                }
                None if at == text.len() => return true,
                _ => {}
            }
            match star {
                Some((position, end)) if text.get(end).is_some_and(|c| Token::Star.fits(*c)) => {
                    star = Some((position, end + 1));
                    (token, at) = (position + 1, end + 1);
                }
                _ => return false,
            }
        }
    }
}

/// One end of a range of characters.
fn bound(rest: &mut std::str::Chars<'_>) -> Option<char> {
    match rest.next()? {
        '-' | ']' => None,
        '\\' => rest.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_go() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*", "a/b", false),
            ("*c", "abc", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a?b", "a/b", false),
            ("[a-ζ]*", "α", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("a[^x]b", "a/b", false),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "a", false),
            ("**", "ab", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for wrong in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "[a-b-c]", "a[", "\\"] {
            assert!(Pattern::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let pattern = Pattern::parse(&"*a".repeat(2000)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(4000))));
    }
}
