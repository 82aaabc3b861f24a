//! Small images made here, and blocks cut out of them.

use super::*;

/// A minimal ELF64 file with one executable segment.
fn elf(kind: u16, vaddr: u64, code: &[u8]) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    for half in [kind, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    for word in [vaddr, 64, 0] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for word in [1u32, 5] {
        file.extend(word.to_le_bytes());
    }
    let size = code.len() as u64;
    for word in [120, vaddr, vaddr, size, size, PAGE] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

fn code(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(31) ^ (i >> 8) as u8 ^ seed)
        .collect()
}

fn name(images: &Images, page: PageId) -> String {
    images.name(&images.owners(), page)
}

const FIXED: u16 = 2;
const DYN: u16 = 3;

#[test]
fn equal_addresses_differ_by_bytes() {
    let mut images = Images::default();
    let (a, b) = (code(1, 8192), code(2, 8192));
    images.add("a", &elf(FIXED, 0x40_0000, &a)).unwrap();
    images.add("b", &elf(FIXED, 0x40_0000, &b)).unwrap();
    let at = |frame| Place {
        vaddr: 0x40_1010,
        frame,
    };
    let page_a = images.locate(at(1), &a[0x1010..0x1050]);
    let page_b = images.locate(at(2), &b[0x1010..0x1050]);
    assert_eq!(name(&images, page_a), "a");
    assert_eq!(name(&images, page_b), "b");
    let none = images.locate(at(3), &[0; 16]);
    assert_eq!(
        (none, name(&images, none).as_str()),
        (PageId::OTHER, "other")
    );
    // The right bytes at an address where the image is not linked are not this image.
    let moved = Place {
        vaddr: 0x50_1010,
        frame: 4,
    };
    assert_eq!(images.locate(moved, &a[0x1010..0x1050]), PageId::OTHER);
}

#[test]
fn a_page_narrows_and_keeps_its_number() {
    let mut images = Images::default();
    let a = code(1, 4096);
    let mut b = a.clone();
    b[0x800..].fill(0xcc);
    images.add("a", &elf(DYN, 0, &a)).unwrap();
    images.add("b", &elf(DYN, 0, &b)).unwrap();
    let at = |offset: u64| Place {
        vaddr: 0x7fff_0000 + offset,
        frame: 9,
    };
    let page = images.locate(at(0x100), &a[0x100..0x140]);
    assert_eq!(name(&images, page), "a|b");
    assert_eq!(images.owners().only(page), None);
    assert_eq!(images.locate(at(0x900), &a[0x900..0x940]), page);
    assert_eq!(name(&images, page), "a");
    assert_eq!(images.owners().only(page), images.find("a"));
    assert_eq!(
        images.linked(page, 0x7fff_0123).collect::<Vec<_>>(),
        [(ImageId(0), 0x123)]
    );
}

#[test]
fn neighbours_tell_a_doubtful_page() {
    let mut images = Images::default();
    let (a, mut b) = (code(1, 8192), code(2, 8192));
    b[0x1100..0x1140].copy_from_slice(&a[0x1100..0x1140]);
    images.add("a", &elf(DYN, 0, &a)).unwrap();
    images.add("b", &elf(DYN, 0, &b)).unwrap();
    let doubtful = images.locate(
        Place {
            vaddr: 0x5100,
            frame: 1,
        },
        &a[0x1100..0x1140],
    );
    assert_eq!(name(&images, doubtful), "a|b");
    // `b` runs elsewhere: no proof that it is at this place.
    images.locate(
        Place {
            vaddr: 0x9000,
            frame: 2,
        },
        &b[..64],
    );
    assert_eq!(name(&images, doubtful), "a|b");
    let sure = images.locate(
        Place {
            vaddr: 0x4000,
            frame: 3,
        },
        &a[..64],
    );
    assert_eq!(
        (name(&images, sure), name(&images, doubtful)),
        ("a".into(), "a".into())
    );
}

#[test]
fn a_few_bytes_prove_nothing() {
    let mut images = Images::default();
    let a = code(1, 4096);
    images.add("a", &elf(DYN, 0, &a)).unwrap();
    let at = |offset: u64| Place {
        vaddr: 0x9000 + offset,
        frame: 1,
    };
    // The same block again is no more proof, another one is.
    for _ in 0..3 {
        let page = images.locate(at(0), &a[..40]);
        assert_eq!(name(&images, page), "other");
        assert_eq!(images.owners().only(page), None);
    }
    let page = images.locate(at(50), &a[50..80]);
    assert_eq!(name(&images, page), "a");
}

#[test]
fn a_refilled_frame_is_another_page() {
    let mut images = Images::default();
    let (a, b) = (code(1, 4096), code(2, 4096));
    images.add("a", &elf(DYN, 0, &a)).unwrap();
    images.add("b", &elf(DYN, 0, &b)).unwrap();
    let at = Place {
        vaddr: 0x1000,
        frame: 1,
    };
    let first = images.locate(at, &a[..64]);
    let second = images.locate(at, &b[..64]);
    assert_ne!(first, second);
    assert_eq!(name(&images, first), "a");
    assert_eq!(name(&images, second), "b");
}

#[test]
fn segments_need_not_start_at_a_page() {
    let mut images = Images::default();
    let a = code(7, 5000);
    images.add("a", &elf(FIXED, 0x1230, &a)).unwrap();
    let first = images.locate(
        Place {
            vaddr: 0x1230,
            frame: 1,
        },
        &a[..8],
    );
    // A block that runs over the page's end, and one behind it.
    let over = images.locate(
        Place {
            vaddr: 0x1ffc,
            frame: 1,
        },
        &a[0xdcc..0xdd8],
    );
    let second = images.locate(
        Place {
            vaddr: 0x2000,
            frame: 2,
        },
        &a[0xdd0..0xe10],
    );
    assert_eq!(first, over);
    assert_ne!(first, second);
    assert_eq!(name(&images, second), "a");
    // Behind the last byte nothing matches.
    let behind = Place {
        vaddr: 0x1230 + 4990,
        frame: 2,
    };
    assert_eq!(images.locate(behind, &[0; 32]), PageId::OTHER);
}

#[test]
fn refuses_what_is_no_program() {
    let mut images = Images::default();
    assert!(matches!(
        images.add("x", b"no elf"),
        Err(ImageError::Elf(_))
    ));
    let mut data = elf(FIXED, 0, &[0; 16]);
    data[64 + 4] = 4;
    assert!(matches!(images.add("x", &data), Err(ImageError::NoCode)));
}
