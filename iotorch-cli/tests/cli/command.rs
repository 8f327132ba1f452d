//! Without anything hosted.

use std::process::{Command, Stdio};

use crate::home::{GREENHOUSE, Home, stderr, stdout};

#[test]
fn help_and_version_end_well_and_go_to_standard_output() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["plan", "--help"], &["-h"], &["--version"]] {
        let output = home.iotorch(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(stdout(&output).contains("iotorch"), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_wrong_command_line_is_invalid_input() {
    let home = Home::new();
    for arguments in [
        &[][..],
        &["aply"],
        &["apply"],
        &["plan"],
        &["validate"],
        &["resume", "--continue"],
        &["resume", "r1", "--continue", "--rollback"],
        &["messages", "greenhouse", "--since", "5"],
        &["describe", "No Name"],
    ] {
        let output = home.iotorch(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn right_documents_are_told_to_be_right_and_leave_nothing_behind() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let output = home.iotorch(&["validate", "-f", "greenhouse.yaml"]);
    assert_eq!(stdout(&output), "right: infrastructure desk; slice greenhouse\n", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
    assert!(!home.path().join(".local").exists());
}

#[test]
fn documents_may_come_from_standard_input() {
    let home = Home::new();
    home.write("greenhouse.yaml", GREENHOUSE);
    let file = std::fs::File::open(home.path().join("greenhouse.yaml")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_iotorch"))
        .args(["validate", "-f", "-", "--output", "json"])
        .env_clear()
        .stdin(file)
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, serde_json::json!({ "infrastructures": ["desk"], "slices": ["greenhouse"] }));
}

#[test]
fn all_faults_of_all_files_are_shown_in_order_and_change_nothing() {
    let home = Home::new();
    home.write("a.yaml", &GREENHOUSE.replace("tier: edge", "tier: egde"));
    home.write(
        "b.yaml",
        &GREENHOUSE
            .replace("greenhouse", "orchard")
            .replace("desk", "bench")
            .replace("type: float", "typ: float"),
    );
    for verb in ["validate", "plan", "apply", "run"] {
        let output = home.iotorch(&[verb, "-f", "."]);
        assert_eq!(output.status.code(), Some(3), "{verb}");
        assert_eq!(stdout(&output), "", "{verb}");
        insta::assert_snapshot!("all_faults_of_all_files", stderr(&output));
    }
    assert!(!home.path().join(".local").exists());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let home = Home::new();
    let output = home.iotorch(&["validate", "-f", "nothing.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        stderr(&output),
        "error: cannot read \"nothing.yaml\": No such file or directory (os error 2)\n"
    );
}

#[test]
fn schemas_are_printed_and_written() {
    let home = Home::new();
    let slice: serde_json::Value =
        serde_json::from_slice(&home.iotorch(&["schema", "slice"]).stdout).unwrap();
    assert!(slice.is_object());
    let both: serde_json::Value = serde_json::from_slice(&home.iotorch(&["schema"]).stdout).unwrap();
    assert_eq!(both["slice"], slice);
    let output = home.iotorch(&["schema", "--output-dir", "docs/schema"]);
    assert_eq!(output.status.code(), Some(0));
    for kind in ["slice", "infrastructure"] {
        let text = std::fs::read(home.path().join(format!("docs/schema/{kind}.json"))).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap(), both[kind]);
    }
}

#[test]
fn every_shell_gets_its_completions() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = home.iotorch(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("IOTORCH_COMPLETE"), "{shell}");
    }
}

#[test]
fn a_fresh_installation_has_nothing_and_says_so() {
    let home = Home::new();
    for (arguments, said) in [
        (&["status"][..], "no slices\n"),
        (&["get", "slices"], "no slices\n"),
        (&["get", "infrastructures"], "no infrastructures\n"),
        (&["runs"], "no runs\n"),
        (&["status", "--output", "json"], "[]\n"),
    ] {
        let output = home.iotorch(arguments);
        assert_eq!(stdout(&output), said, "{arguments:?}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
    let state = home.path().join(".local/state/iotorch");
    assert!(state.join("state.redb").exists());
    assert!(!state.join("iotorch.sock").exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&state).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_name_that_is_not_known_is_invalid_input_with_the_way_out() {
    let home = Home::new();
    for arguments in [
        &["describe", "greenhouse"][..],
        &["delete", "greenhouse"],
        &["messages", "greenhouse"],
        &["get", "slices", "greenhouse"],
        &["rotate", "greenhouse/desk/space/gw/app/device/d1"],
    ] {
        let output = home.iotorch(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(stderr(&output).contains("there is none of that name"), "{}", stderr(&output));
        assert!(stderr(&output).contains("help:"), "{}", stderr(&output));
    }
}

#[test]
fn the_state_moves_by_export_and_import_and_is_never_overwritten() {
    let home = Home::new();
    let exported = home.iotorch(&["--state", "a", "state", "export"]);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
    home.write("backup.json", stdout(&exported));
    let imported = home.iotorch(&["--state", "b", "state", "import", "backup.json"]);
    assert_eq!(imported.status.code(), Some(0), "{}", stderr(&imported));
    let installation =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["installation"].clone();
    let again = home.iotorch(&["--state", "b", "state", "export"]);
    assert_eq!(installation(stdout(&again)), installation(stdout(&exported)));
    let refused = home.iotorch(&["--state", "b", "state", "import", "backup.json"]);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
}

#[test]
fn commands_at_the_same_time_share_the_state_directory() {
    let home = Home::new();
    let running: Vec<_> = (0..12)
        .map(|_| {
            Command::new(env!("CARGO_BIN_EXE_iotorch"))
                .args(["--state", "shared", "status", "--output", "json"])
                .current_dir(home.path())
                .env_clear()
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stdout(&output), "[]\n");
    }
}
