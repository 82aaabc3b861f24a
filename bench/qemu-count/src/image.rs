//! Recognises which program a piece of code belongs to, by its bytes.
//!
//! A plugin of QEMU 7.2 cannot read registers, so it knows no task and no CR3. But it sees the
//! bytes of each block it translates, and where they lie in guest memory. Code of L4Re programs is
//! mapped from boot modules or copied from them unchanged (relocations touch data only), so the
//! bytes are found in the ELF file: at the exact address for a fixed image, at the same offset in a
//! page for a relocatable one.
//!
//! One block is too short to tell two programs that share a library apart. So each page of guest
//! memory keeps the list of image pages that all blocks seen on it agree with, and only the report
//! asks for the name: by then a page has shown many blocks, and a page that still fits several images
//! belongs to the one that other pages show to be loaded at the same distance from its link address.
//! A block that agrees with none of the list means that the page was filled anew; it then counts as
//! another page.
//!
//! Limits: two instances of one program, and two programs with byte-equal pages, cannot be told
//! apart; the latter are named together (`a|b`). A shared library is named as itself.

use std::collections::HashMap;

use object::{Object, ObjectSegment, SegmentFlags, elf};

/// Size of a guest page in bytes.
const PAGE: u64 = 4096;
/// Bytes of blocks that must agree before code is called a program's: a block of two or three bytes,
/// say a return, is found in nearly every image by chance.
const PROOF: u64 = 64;

/// Index of an image, in the order of addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(u16);

/// Index of a page of code that ran; [`PageId::OTHER`] is code of no known image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageId(u32);

impl PageId {
    /// Code that is in no image.
    pub const OTHER: PageId = PageId(0);
}

/// Where a block of code was translated from.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Guest-virtual address of the first byte.
    pub vaddr: u64,
    /// Any number that is equal for equal guest-physical pages and differs for different ones.
    pub frame: u64,
}

/// Why a file is no usable image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not an ELF file, or a broken one.
    #[error("not a readable ELF file: {0}")]
    Elf(#[from] object::Error),
    /// No executable segment.
    #[error("the ELF file has no executable segment")]
    NoCode,
}

#[derive(Debug)]
struct Segment {
    vaddr: u64,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Image {
    name: String,
    relocatable: bool,
    code: Vec<Segment>,
}

/// A page of an image that a guest page may hold; `link` is its address as linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    image: ImageId,
    segment: u16,
    link: u64,
}

/// A page of guest code: where it is, and what it may hold.
#[derive(Debug, Default)]
struct Page {
    vaddr: u64,
    candidates: Vec<Candidate>,
    /// Length in bytes of each block seen, by its offset: what the candidates rest on.
    seen: HashMap<u16, u16>,
}

impl Page {
    /// The image, if only one is left.
    fn only(&self) -> Option<ImageId> {
        let first = self.candidates.first()?.image;
        self.candidates
            .iter()
            .all(|candidate| candidate.image == first)
            .then_some(first)
    }

    /// Bytes of blocks seen; blocks that overlap count twice.
    fn seen_bytes(&self) -> u64 {
        self.seen.values().map(|len| u64::from(*len)).sum()
    }

    /// Distance of the page from where `candidate` is linked.
    fn bias(&self, candidate: &Candidate) -> u64 {
        self.vaddr.wrapping_sub(candidate.link)
    }
}

/// The images, and what is known of the guest's code pages.
#[derive(Debug)]
pub struct Images {
    images: Vec<Image>,
    current: HashMap<(u64, u64), PageId>,
    pages: Vec<Page>,
}

/// Which images each page may belong to, as known at one time.
#[derive(Debug)]
pub struct Owners(Vec<Vec<ImageId>>);

impl Owners {
    /// The image that `page` holds, if one is known for sure.
    pub fn only(&self, page: PageId) -> Option<ImageId> {
        match self.0[page.0 as usize].as_slice() {
            [image] => Some(*image),
            _ => None,
        }
    }
}

impl Default for Images {
    fn default() -> Self {
        Images {
            images: Vec::new(),
            current: HashMap::new(),
            pages: vec![Page::default()],
        }
    }
}

impl Images {
    /// Adds the ELF file with contents `file`, 32 or 64 bit.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn add(&mut self, name: &str, file: &[u8]) -> Result<ImageId, ImageError> {
        let parsed = object::File::parse(file)?;
        let mut code = Vec::new();
        for segment in parsed.segments() {
            if let SegmentFlags::Elf { p_flags, .. } = segment.flags()
                && p_flags.0 & elf::PF_X.0 != 0
            {
                code.push(Segment {
                    vaddr: segment.address(),
                    bytes: segment.data()?.to_vec(),
                });
            }
        }
        if code.is_empty() {
            return Err(ImageError::NoCode);
        }
        let relocatable = parsed.kind() == object::ObjectKind::Dynamic;
        self.images.push(Image {
            name: name.to_owned(),
            relocatable,
            code,
        });
        Ok(ImageId(self.images.len() as u16 - 1))
    }

    /// The image named `name`.
    pub fn find(&self, name: &str) -> Option<ImageId> {
        let index = self.images.iter().position(|image| image.name == name)?;
        Some(ImageId(index as u16))
    }

    /// The page that the block `bytes` at `place` belongs to.
    pub fn locate(&mut self, place: Place, bytes: &[u8]) -> PageId {
        let (page, offset) = (place.vaddr / PAGE, place.vaddr % PAGE);
        let known = self.current.get(&(place.frame, page)).copied();
        if let Some(id) = known {
            let agreed: Vec<_> = self.pages[id.0 as usize]
                .candidates
                .iter()
                .copied()
                .filter(|candidate| self.holds(*candidate, offset, bytes))
                .collect();
            if !agreed.is_empty() {
                let known = &mut self.pages[id.0 as usize];
                known.candidates = agreed;
                known.seen.insert(offset as u16, bytes.len() as u16);
                return id;
            }
        }
        let candidates = self.candidates(place.vaddr, bytes);
        if candidates.is_empty() {
            return PageId::OTHER;
        }
        let id = PageId(self.pages.len() as u32);
        self.pages.push(Page {
            vaddr: page * PAGE,
            candidates,
            seen: HashMap::from([(offset as u16, bytes.len() as u16)]),
        });
        self.current.insert((place.frame, page), id);
        id
    }

    /// The linked addresses that the byte at `offset` of `page` may have, with their images.
    pub fn linked(&self, page: PageId, vaddr: u64) -> impl Iterator<Item = (ImageId, u64)> + '_ {
        let offset = vaddr % PAGE;
        self.pages[page.0 as usize]
            .candidates
            .iter()
            .map(move |c| (c.image, c.link + offset))
    }

    /// What a page is known to be now: an image's, no image's (`Some(None)`), or undecided (`None`).
    pub fn only(&self, page: PageId) -> Option<Option<ImageId>> {
        let page = &self.pages[page.0 as usize];
        match page.candidates.first() {
            None => Some(None),
            Some(_) => page.only().map(Some),
        }
    }

    /// What is known now of the pages' images.
    pub fn owners(&self) -> Owners {
        let mut proof: HashMap<(ImageId, u64), u64> = HashMap::new();
        for page in &self.pages {
            if let (Some(image), Some(first)) = (page.only(), page.candidates.first()) {
                *proof.entry((image, page.bias(first))).or_default() += page.seen_bytes();
            }
        }
        let loaded = |page: &Page, candidate: &Candidate| {
            let proof = proof.get(&(candidate.image, page.bias(candidate)));
            proof.is_some_and(|bytes| *bytes >= PROOF)
        };
        let owners = self.pages.iter().map(|page| {
            let certain = page.candidates.iter().filter(|c| loaded(page, c));
            let mut images: Vec<_> = certain.map(|c| c.image).collect();
            if images.is_empty() && page.seen_bytes() >= PROOF {
                images = page.candidates.iter().map(|c| c.image).collect();
            }
            images.sort_unstable();
            images.dedup();
            images
        });
        Owners(owners.collect())
    }

    /// The program's name for the report: `other` if unknown, `a|b` if several are left.
    pub fn name(&self, owners: &Owners, page: PageId) -> String {
        let names: Vec<_> = owners.0[page.0 as usize]
            .iter()
            .map(|id| self.images[usize::from(id.0)].name.as_str())
            .collect();
        if names.is_empty() {
            "other".to_owned()
        } else {
            names.join("|")
        }
    }

    fn holds(&self, candidate: Candidate, offset: u64, bytes: &[u8]) -> bool {
        let segment = &self.images[candidate.image.0 as usize].code[usize::from(candidate.segment)];
        let Some(start) = (candidate.link + offset).checked_sub(segment.vaddr) else {
            return false;
        };
        let start = start as usize;
        segment.bytes.get(start..start.saturating_add(bytes.len())) == Some(bytes)
    }

    fn candidates(&self, vaddr: u64, bytes: &[u8]) -> Vec<Candidate> {
        let mut found = Vec::new();
        let offset = vaddr % PAGE;
        for (i, image) in self.images.iter().enumerate() {
            for (s, segment) in image.code.iter().enumerate() {
                let first = segment.vaddr / PAGE;
                let last = (segment.vaddr + segment.bytes.len() as u64).div_ceil(PAGE);
                let pages = if image.relocatable {
                    first..last
                } else {
                    let page = vaddr / PAGE;
                    page.max(first)..(page + 1).min(last)
                };
                for page in pages {
                    let candidate = Candidate {
                        image: ImageId(i as u16),
                        segment: s as u16,
                        link: page * PAGE,
                    };
                    if self.holds(candidate, offset, bytes) {
                        found.push(candidate);
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
