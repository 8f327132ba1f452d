//! Which topics a filter is about.

/// Whether a filter with its wildcards `+` and `#` is about a topic.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    let mut topic = topic.split('/');
    for part in filter.split('/') {
        match (part, topic.next()) {
            ("#", _) | ("+", Some(_)) => {
                if part == "#" {
                    return true;
                }
            }
            (part, Some(it)) if part == it => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_about_a_topic_or_not() {
        for (filter, topic, is_about) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "b", false),
            ("#", "a/b", true),
        ] {
            assert_eq!(matches(filter, topic), is_about, "{filter} for {topic}");
        }
    }
}
