//! Container images without Docker and without a registry.
//!
//! An image is one layer of files and what the container is started with, written as the archive that `docker save`
//! writes (Docker Image Specification v1.2), which `ctr images import` takes. The same content gives the same bytes.

mod archive;
mod programs;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::archive::{Archive, Entry, EntryKind};
use crate::error::{Error, Result};
use crate::modules::hexadecimal;

/// The one layer's name in the archive.
const LAYER: &str = "layer.tar";

/// A container image: files, and what is started.
///
/// # Examples
///
/// ```
/// use iotorch_testbed::Image;
///
/// let image = Image::builder("example.test/greeting:1")
///     .bytes("/greeting", "hello\n", 0o644)
///     .user("1000:1000")
///     .env("LANGUAGE", "en")
///     .build()?;
/// let mut archive = Vec::new();
/// image.write_to(&mut archive)?;
/// assert!(Image::builder("no tag").build().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Image {
    reference: String,
    entries: BTreeMap<String, Entry>,
    architecture: &'static str,
    config: Value,
}

impl Image {
    /// Begins an image by the name that pods give it, with a tag: `example.test/echo:1`. The domain `test` never exists
    /// (RFC 6761), so nothing ever tries to fetch it.
    pub fn builder(reference: impl Into<String>) -> ImageBuilder {
        ImageBuilder {
            reference: reference.into(),
            entries: BTreeMap::new(),
            architecture: host_architecture(),
            entrypoint: Vec::new(),
            arguments: Vec::new(),
            user: String::new(),
            environment: Vec::new(),
            ports: BTreeMap::new(),
        }
    }

    /// The name that pods give it.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Writes the archive.
    ///
    /// # Errors
    ///
    /// A file of the image cannot be read, changes its size meanwhile, or the output takes no more.
    pub fn write_to(&self, output: impl Write) -> Result<()> {
        self.write(output).map_err(|error| {
            Error::new(format!("cannot write the image \"{}\"", self.reference)).with_source(error)
        })
    }

    /// Writes the archive to a file.
    ///
    /// # Errors
    ///
    /// As [`Image::write_to`], and the file cannot be made.
    pub fn save(&self, path: &Path) -> Result<()> {
        let file = File::create(path).map_err(|error| Error::file("make", path, error))?;
        self.write_to(io::BufWriter::new(file))
    }

    fn write(&self, output: impl Write) -> io::Result<()> {
        let mut archive = Archive::new(output);
        let layer_size = archive::size(self.entries.values())?;
        let mut digest = Sha256::new();
        archive.nested(LAYER, layer_size, &mut digest, |layer| {
            self.entries.iter().try_for_each(|(path, entry)| layer.append(path, entry))
        })?;
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": {
                "type": "layers",
                "diff_ids": [format!("sha256:{}", hexadecimal(&digest.finalize()))],
            },
        });
        let config = config.to_string().into_bytes();
        let config_name = format!("{}.json", hexadecimal(&Sha256::digest(&config)));
        let manifest = json!([{ "Config": config_name, "RepoTags": [self.reference], "Layers": [LAYER] }]);
        archive.append(&config_name, &Entry::bytes(config, 0o644))?;
        archive.append("manifest.json", &Entry::bytes(manifest.to_string(), 0o644))?;
        archive.finish()
    }
}

/// What will be an [`Image`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ImageBuilder {
    reference: String,
    entries: BTreeMap<String, Entry>,
    architecture: &'static str,
    entrypoint: Vec<String>,
    arguments: Vec<String>,
    user: String,
    environment: Vec<String>,
    ports: BTreeMap<String, Value>,
}

impl ImageBuilder {
    /// A file with the contents of one of this machine, root's own; `mode` as of `chmod`, `0o755` for a program.
    pub fn file(self, path: impl Into<String>, source: impl Into<PathBuf>, mode: u32) -> Self {
        self.entry(path, Entry::new(EntryKind::File(source.into()), mode))
    }

    /// A file with these contents.
    pub fn bytes(self, path: impl Into<String>, contents: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.entry(path, Entry::bytes(contents, mode))
    }

    /// A folder. Those above files are there without it, root's own and open to read.
    pub fn folder(self, path: impl Into<String>, mode: u32) -> Self {
        self.entry(path, Entry::new(EntryKind::Folder, mode))
    }

    /// A symbolic link.
    pub fn link(self, path: impl Into<String>, target: impl Into<String>) -> Self {
        self.entry(path, Entry::new(EntryKind::Link(target.into()), 0o777))
    }

    /// Gives what was added to the image at this path to a user (and the group of the same number).
    pub fn owner(mut self, path: &str, id: u32) -> Self {
        if let Some(entry) = self.entries.get_mut(path.trim_matches('/')) {
            entry.owner = id;
        }
        self
    }

    /// The program that is started, with arguments that are always given.
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Arguments that a pod may replace by its own.
    pub fn arguments<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.arguments = words.into_iter().map(Into::into).collect();
        self
    }

    /// Who the program runs as: `1000`, `1000:1000`, or a name that the image's `/etc/passwd` has [default: root].
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// A variable of the program's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// A port that the program listens at: `8080/tcp`.
    pub fn port(mut self, port: impl Into<String>) -> Self {
        self.ports.insert(port.into(), json!({}));
        self
    }

    /// The processor that the files are for, as Go names it: `amd64`, `arm64` [default: this machine's].
    pub fn architecture(mut self, name: &'static str) -> Self {
        self.architecture = name;
        self
    }

    /// The image.
    ///
    /// # Errors
    ///
    /// The name has no tag or white space in it; a file is not there; or a path is not absolute, leaves the image, or
    /// is too long for an archive (99 bytes, and 155 more for the folders).
    pub fn build(mut self) -> Result<Image> {
        self.add_parents();
        let refused =
            |why: String| Error::new(format!("cannot make the image \"{}\": {why}", self.reference));
        let (_, last) = self.reference.rsplit_once('/').unwrap_or(("", &self.reference));
        if !last.contains(':') || self.reference.contains(char::is_whitespace) {
            return Err(refused("its name must end with a tag, such as \":1\"".to_owned()));
        }
        for (path, entry) in &self.entries {
            if path.split('/').any(|part| ["", ".", ".."].contains(&part)) || !archive::fits(path) {
                return Err(refused(format!("it cannot hold the path \"/{path}\"")));
            }
            if let EntryKind::File(source) = &entry.kind {
                let metadata = fs::metadata(source).map_err(|error| {
                    refused(format!("cannot read \"{}\"", source.display())).with_source(error)
                })?;
                if !metadata.is_file() {
                    return Err(refused(format!("\"{}\" is not a file", source.display())));
                }
            }
        }
        let mut config = json!({ "WorkingDir": "/", "User": self.user });
        let lists = [("Entrypoint", self.entrypoint), ("Cmd", self.arguments), ("Env", self.environment)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            config[name] = json!(list);
        }
        if !self.ports.is_empty() {
            config["ExposedPorts"] = json!(self.ports);
        }
        Ok(Image {
            reference: self.reference,
            entries: self.entries,
            architecture: self.architecture,
            config,
        })
    }

    fn entry(mut self, path: impl Into<String>, entry: Entry) -> Self {
        // Archives hold paths without the slash at their beginning.
        self.entries.insert(path.into().trim_matches('/').to_owned(), entry);
        self
    }

    fn add_parents(&mut self) {
        let paths: Vec<String> = self.entries.keys().cloned().collect();
        for path in paths {
            for (end, _) in path.match_indices('/') {
                let parent = self.entries.entry(path[..end].to_owned());
                parent.or_insert_with(|| Entry::new(EntryKind::Folder, 0o755));
            }
        }
    }
}

/// This machine's processor, as Go names it.
fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> ImageBuilder {
        Image::builder("example.test/image:1").architecture("amd64")
    }

    fn bytes(builder: ImageBuilder) -> Vec<u8> {
        let mut bytes = Vec::new();
        builder.build().unwrap().write_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_same_content_gives_the_same_bytes_in_whatever_order_it_was_added() {
        let one = builder().bytes("/b", "2", 0o600).bytes("/a/x", "1", 0o644);
        let other = builder().bytes("/a/x", "1", 0o644).bytes("b", "2", 0o600);
        assert_eq!(bytes(one.clone()), bytes(other));
        assert_ne!(bytes(one.clone()), bytes(one.bytes("/b", "2", 0o644)));
    }

    #[test]
    fn tar_finds_everything_in_the_layer() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        fs::write(&source, "from a file").unwrap();
        let long = format!("{}/{}", "folder/".repeat(20).trim_end_matches('/'), "name".repeat(20));
        let image = builder()
            .file("/bin/program", &source, 0o4755)
            .owner("/bin/program", 999)
            .bytes("/etc/empty", "", 0o600)
            .link("/bin/other", "program")
            .folder("/data", 0o1777)
            .bytes(long.clone(), "deep", 0o644)
            .build()
            .unwrap();
        let path = folder.path().join("image.tar");
        image.save(&path).unwrap();

        let tar = |arguments: &[&str]| {
            let output = std::process::Command::new("tar")
                .current_dir(folder.path())
                .args(arguments)
                .output()
                .unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        tar(&["--extract", "--file", "image.tar"]);
        let listing = tar(&["--list", "--verbose", "--numeric-owner", "--file", LAYER]);
        let lines: Vec<String> = listing
            .lines()
            .filter(|line| !line.ends_with("folder/"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .map(|words| [words[0], words[1], words[2], words[5..].join(" ").as_str()].join(" "))
            .collect();
        let expected = [
            "drwxr-xr-x 0/0 0 bin/",
            "lrwxrwxrwx 0/0 0 bin/other -> program",
            "-rwsr-xr-x 999/999 11 bin/program",
            "drwxrwxrwt 0/0 0 data/",
            "drwxr-xr-x 0/0 0 etc/",
            "-rw------- 0/0 0 etc/empty",
            &format!("-rw-r--r-- 0/0 4 {long}"),
        ];
        assert_eq!(lines, expected);
        assert_eq!(tar(&["--extract", "--to-stdout", "--file", LAYER, "bin/program"]), "from a file");
    }

    #[test]
    fn the_configuration_tells_how_the_program_is_started_and_which_layer_is_meant() {
        let image = builder()
            .entrypoint(["/program"])
            .arguments(["--port", "80"])
            .user("1000:1000")
            .env("A", "b c")
            .port("80/tcp")
            .bytes("/program", "x", 0o755);
        let text = String::from_utf8_lossy(&bytes(image)).into_owned();
        for part in [
            r#""Entrypoint":["/program"]"#,
            r#""Cmd":["--port","80"]"#,
            r#""User":"1000:1000""#,
            r#""Env":["A=b c"]"#,
            r#""ExposedPorts":{"80/tcp":{}}"#,
            r#""architecture":"amd64""#,
            r#""RepoTags":["example.test/image:1"]"#,
            r#""diff_ids":["sha256:"#,
        ] {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn what_cannot_be_an_image_is_refused() {
        let message = |builder: ImageBuilder| builder.build().unwrap_err().to_string();
        assert!(message(Image::builder("registry.test:5000/image")).contains("must end with a tag"));
        assert!(message(builder().bytes("/a/../../b", "", 0o644)).contains("\"/a/.."));
        assert!(message(builder().bytes("/".to_owned() + &"x".repeat(300), "", 0o644)).contains("xxx"));
        assert!(message(builder().file("/a", "/no/such/file", 0o644)).contains("\"/no/such/file\""));
    }
}
