//! What the header of a program tells.

/// The segment of a program that names its dynamic linker (ELF-64 object file format 1.5, table 16).
const PT_INTERP: usize = 3;

/// Whether a program names no dynamic linker, so that it runs in an image without libraries; `None` if it is no
/// little-endian ELF-64 file.
#[must_use]
pub fn is_static(program: &[u8]) -> Option<bool> {
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let bytes = |at: usize, count: usize| program.get(at..at.checked_add(count)?);
    let number = |at: usize, count: usize| {
        let bytes = bytes(at, count)?.iter().rev();
        usize::try_from(bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))).ok()
    };
    // The ELF header: e_phoff, e_phentsize and e_phnum (ELF-64 object file format 1.5, figure 2).
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let types: Option<Vec<usize>> = (0..count).map(|index| number(start + index * size, 4)).collect();
    Some(!types?.contains(&PT_INTERP))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ELF file with program headers of these types and nothing else.
    pub(crate) fn elf(types: &[u8]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(64, 0);
        file[32] = 64;
        file[54] = 56;
        file[56] = u8::try_from(types.len()).unwrap();
        for kind in types {
            file.push(*kind);
            file.resize(file.len() + 55, 0);
        }
        file
    }

    #[test]
    fn a_program_that_names_a_dynamic_linker_is_not_static() {
        assert_eq!(is_static(&elf(&[6, 1, 1])), Some(true));
        assert_eq!(is_static(&elf(&[6, 3, 1])), Some(false));
    }

    #[test]
    fn what_is_no_program_is_not_taken_for_a_static_one() {
        assert_eq!(is_static(b"#!/bin/sh"), None);
        assert_eq!(is_static(&elf(&[1])[..70]), Some(true));
        assert_eq!(is_static(&elf(&[1])[..60]), None);
    }
}
