//! `.helmignore`: what of a directory is no part of the chart.
//!
//! The rules are Helm's, which are not git's: the first rule that speaks decides; a rule with `!` ignores whatever it
//! does not match; a rule without a slash looks at the last part of a path alone; there is no `**`.

use super::pattern::Pattern;

/// The name of the file with the rules.
pub(super) const FILE: &str = ".helmignore";

/// What Helm ignores without being told.
const DEFAULT: &str = "templates/.?*";

/// The rules of a chart.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    is_negated: bool,
    directories_only: bool,
    /// Otherwise only the last part of the path is looked at.
    whole_path: bool,
}

impl Rules {
    /// Reads the text of a `.helmignore`.
    ///
    /// # Errors
    /// The line that is wrong, and why.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().chain([DEFAULT]).map(str::trim);
        let rules = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(Rule::parse);
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a file or a directory, by its path in the chart, is no part of it. What is in an ignored directory is not asked.
    pub(super) fn ignore(&self, path: &str, is_directory: bool) -> bool {
        let last = path.rsplit('/').next().unwrap_or(path);
        for rule in &self.0 {
            if rule.directories_only && !is_directory {
                if rule.is_negated {
                    return true;
                }
                continue;
            }
            if rule.pattern.matches(if rule.whole_path { path } else { last }) != rule.is_negated {
                return true;
            }
        }
        false
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Self, String> {
        if line.contains("**") {
            return Err(format!("{FILE} has {line:?}, and there is no \"**\" in it"));
        }
        let (is_negated, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (directories_only, rest) = rest.strip_suffix('/').map_or((false, rest), |rest| (true, rest));
        let (is_rooted, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
        let pattern =
            Pattern::parse(rest).ok_or_else(|| format!("{FILE} has {line:?}, which is no pattern"))?;
        Ok(Self { pattern, is_negated, directories_only, whole_path: is_rooted || rest.contains('/') })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &str, path: &str) -> bool {
        let is_directory = path.ends_with('/');
        Rules::parse(rules).unwrap().ignore(path.trim_end_matches('/'), is_directory)
    }

    #[test]
    fn rules_mean_what_they_mean_to_helm() {
        for (rules, path, expected) in [
            ("helm.txt", "helm.txt", true),
            ("helm.*", "a/helm.txt", true),
            ("# helm.txt", "helm.txt", false),
            ("/cargo/*.txt", "cargo/a.txt", true),
            ("/cargo/*.txt", "mast/cargo/a.txt", false),
            ("/a.txt", "a.txt", true),
            ("/a.txt", "b/a.txt", false),
            ("cargo/*.*", "cargo/a.txt", true),
            ("cargo/*.*", "a/cargo/a.txt", false),
            ("mast/", "mast/", true),
            ("mast/", "mast", false),
            ("mast/", "a/mast/", true),
            ("!helm.txt", "tiller.txt", true),
            ("!helm.txt", "helm.txt", false),
            ("!tiller.txt\n*.txt", "tiller.txt", true),
            ("!*.*", "cargo", true),
            ("!cargo/", "mast/", true),
            ("!cargo/", "cargo/", false),
            ("!cargo/", "a.txt", true),
            ("", "templates/.dotfile", true),
            ("", "templates/a/.dotfile", false),
            ("", ".helmignore", false),
            ("\u{feff}a.txt", "a.txt", true),
            ("  a.txt  ", "a.txt", true),
        ] {
            assert_eq!(ignored(rules, path), expected, "{rules:?} {path}");
        }
    }

    #[test]
    fn wrong_rules_are_named() {
        let why = Rules::parse("a\n**/b").unwrap_err();
        assert_eq!(why, ".helmignore has \"**/b\", and there is no \"**\" in it");
        assert_eq!(Rules::parse("[").unwrap_err(), ".helmignore has \"[\", which is no pattern");
    }
}
