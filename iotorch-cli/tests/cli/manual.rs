//! The manual pages.

use std::{collections::BTreeSet, fs};

use crate::home::Home;

#[test]
fn every_verb_and_what_is_below_it_has_a_page() {
    let home = Home::new();
    home.told(&["man", "pages"]);
    let pages: BTreeSet<String> = fs::read_dir(home.path().join("pages"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["iotorch", "iotorch-apply", "iotorch-get-slices", "iotorch-iotserver-set", "iotorch-man"] {
        assert!(pages.contains(&format!("{name}.1")), "{name} is not in {pages:?}");
    }
    for name in &pages {
        let text = fs::read_to_string(home.path().join("pages").join(name)).unwrap();
        let closing = if name == "iotorch.1" { ".SH \"EXIT CODES\"" } else { ".SH EXAMPLES" };
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS", closing] {
            assert!(text.contains(part), "{part} is not in {name}");
        }
    }
    assert!(!home.path().join(".local").exists(), "a manual is no reason to make a state directory");
}

#[test]
fn one_page_is_printed() {
    let home = Home::new();
    let page = home.told(&["man", "--page", "iotdevice-create"]);
    insta::with_settings!({ filters => [(r"iotorch \d+\.\d+\.\d+", "iotorch VERSION")] }, {
        insta::assert_snapshot!("manual_page", page);
    });
    assert!(home.told(&["man"]).starts_with(".ie"));
}
