//! The nearest right word.

/// Words longer than this are not compared: nobody mistypes them, and comparing costs the product of the lengths.
const LONGEST: usize = 64;

/// More candidates than this are not looked at, so that a file full of mistakes is still answered at once.
const MOST: usize = 1000;

/// How alike two words must be (Jaro-Winkler, 0 to 1) for one to be taken as the misspelt other.
const ALIKE: f64 = 0.8;

/// The candidate that `word` most likely stands for, if one is near: for errors about names that are not there.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .take(MOST)
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (likeness(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, candidate)| candidate)
}

fn likeness(word: &str, candidate: &str) -> f64 {
    let likeness = strsim::jaro_winkler(word, candidate);
    // Two letters swapped in a short word are far apart by that measure.
    let one_slip = word.len() > 2 && strsim::osa_distance(word, candidate) == 1;
    if one_slip { likeness.max(0.85) } else { likeness }
}

/// The names as a person lists them; a long list ends in `…`.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 16;
    let mut names = names.into_iter();
    let mut shown = names.by_ref().take(SHOWN).collect::<Vec<_>>();
    if names.next().is_some() {
        shown.push("…");
    }
    shown.join(", ")
}

/// The noun with its article: `a device`, `an S-NSSAI`.
pub(crate) fn a(noun: &str) -> String {
    let vowel =
        noun.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) || noun.starts_with("S-");
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// Text from a document in quotes, escaped, and cut so that a message stays a line.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}", format!("{}…", &text[..end])),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_far_ones_are_not_offered() {
        let fields = ["name", "gateway", "protocol", "profile", "resources", "labels"];
        assert_eq!(nearest("prot", fields), Some("protocol"));
        assert_eq!(nearest("gatway", fields), Some("gateway"));
        assert_eq!(nearest("Labels", fields), Some("labels"));
        assert_eq!(nearest("tsl", ["plain", "tls"]), Some("tls"));
        assert_eq!(nearest("zone", fields), None);
        assert_eq!(nearest("", fields), None);
    }

    #[test]
    fn long_texts_are_cut_and_control_characters_shown() {
        assert_eq!(quoted("a\u{1b}[31m"), "\"a\\u{1b}[31m\"");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 63);
    }
}
