//! Programs of this machine in images.

use std::path::Path;

use super::ImageBuilder;
use crate::command::Tool;
use crate::error::{Error, Result};
use crate::pieces::BUSYBOX_PROGRAM;

impl ImageBuilder {
    /// A program of this machine at the path that it has here, with the libraries that it is linked to.
    ///
    /// # Errors
    ///
    /// As [`ImageBuilder::libraries_of`].
    pub fn program(self, path: &str) -> Result<Self> {
        self.file(path, path, 0o755).libraries_of(path)
    }

    /// The libraries that a program or another library of this machine is linked to, where it is sure to find them: at the paths that they
    /// have here.
    ///
    /// # Errors
    ///
    /// A library is not there, or `ldd` does not tell.
    pub fn libraries_of(self, path: &str) -> Result<Self> {
        let told = Tool::new("ldd").arg(path).ask()?;
        let libraries = libraries(&told)
            .map_err(|missing| Error::new(format!("cannot find the library \"{missing}\" of \"{path}\"")))?;
        Ok(libraries.into_iter().fold(self, |image, library| image.file(library, library, 0o755)))
    }

    /// A shell and small programs at `/bin`, by Debian's package `busybox-static`.
    ///
    /// # Errors
    ///
    /// It is not there.
    pub fn busybox(self) -> Result<Self> {
        let own = "busybox";
        let names = Tool::new(BUSYBOX_PROGRAM).arg("--list").ask()?;
        let image = self.file("/bin/busybox", Path::new(BUSYBOX_PROGRAM), 0o755);
        let names = names.lines().filter(|name| *name != own);
        Ok(names.fold(image, |image, name| image.link(format!("/bin/{name}"), own)))
    }
}

/// The paths in what `ldd` tells, or the name of a library that it has not found.
fn libraries(told: &str) -> std::result::Result<Vec<&str>, &str> {
    let mut found = Vec::new();
    for line in told.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        if place == "not found" {
            return Err(name);
        }
        let path = place.split(' ').next().unwrap_or_default();
        // What is no path is no file: the kernel's own library, and "statically linked".
        if path.starts_with('/') {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Image;
    use super::*;

    #[test]
    fn libraries_are_found_where_ldd_has_them() {
        let told = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            libraries(told).unwrap(),
            ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
        );
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
    }

    #[test]
    fn a_library_that_is_not_there_is_named() {
        assert_eq!(
            libraries("\tlibc.so.6 => /lib/libc.so.6 (0x1)\n\tlibx.so.1 => not found\n"),
            Err("libx.so.1")
        );
    }

    #[test]
    fn a_program_comes_with_the_libraries_that_it_is_linked_to() {
        let program = std::env::current_exe().unwrap();
        let program = program.to_str().unwrap();
        let image = Image::builder("example.test/program:1").program(program).unwrap().build().unwrap();
        let mut archive = Vec::new();
        image.write_to(&mut archive).unwrap();
        let archive = String::from_utf8_lossy(&archive);
        let told = Tool::new("ldd").arg(program).ask().unwrap();
        let libraries = libraries(&told).unwrap();
        assert!(!libraries.is_empty(), "{told}");
        for library in libraries {
            let name = library.rsplit('/').next().unwrap();
            assert!(archive.contains(name), "{library}");
        }
    }
}
