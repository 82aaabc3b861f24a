//! What the paper reports (Tian, Waddington, Kuang, COMPSAC 2012), for the column beside ours.
//!
//! The paper gives slowdowns at 48 cores against one core; it has no absolute times to compare.

/// A slowdown from the paper: time at 48 cores over time at one, minus one, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reported {
    /// What was measured, in the words of the source table.
    pub what: &'static str,
    /// Percent; the paper says "over" or "about".
    pub percent: f64,
    /// How the paper qualifies it.
    pub word: &'static str,
}

/// Cores of the paper's largest run.
pub const CORES: u32 = 48;
/// Pages that each core allocates and frees in it.
pub const PAGES: u32 = 10_000;

/// Allocation with one pager for all cores.
pub const ALLOC_CENTRAL: Reported = Reported {
    what: "default allocator, allocate",
    percent: 2500.0,
    word: "over",
};
/// Free with one pager for all cores.
pub const FREE_CENTRAL: Reported = Reported {
    what: "default allocator, free",
    percent: 230.0,
    word: "over",
};
/// The paper's scheme, one pager a core, in the figure where the default has over 240 %.
pub const PER_CORE: Reported = Reported {
    what: "one pager a core",
    percent: 5.0,
    word: "about",
};
